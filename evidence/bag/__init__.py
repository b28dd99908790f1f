# SPDX-License-Identifier: Apache-2.0
"""What travels where no live line to the center exists: sealed bags on their way there, files of receipts on the way back."""
