# SPDX-License-Identifier: Apache-2.0
"""Time-stamp tokens of authorities (RFC 3161), verify only."""
