# SPDX-License-Identifier: Apache-2.0
"""Whether what the center holds is still what it acknowledged: everything read again, damage named."""
