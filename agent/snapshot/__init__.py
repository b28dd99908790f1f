# SPDX-License-Identifier: Apache-2.0
"""From one view of a source to a signed statement, and on to its receipt; and comparing without sending."""
