# SPDX-License-Identifier: Apache-2.0
"""Writing offline media: what goes on them, in which volumes, and what is awaited until the receipt."""
