# SPDX-License-Identifier: Apache-2.0
"""Trees of rows: cutting, building, reading, comparing, proving. Design section 3."""
