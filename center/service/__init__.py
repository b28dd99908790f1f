# SPDX-License-Identifier: Apache-2.0
"""The center as a service of its machine."""
