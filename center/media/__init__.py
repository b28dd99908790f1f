# SPDX-License-Identifier: Apache-2.0
"""Reading offline media: every file, whatever order, repaired where it can be, named where it cannot."""
