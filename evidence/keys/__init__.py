# SPDX-License-Identifier: Apache-2.0
"""Public keys and signers, and who speaks for whom from when to when."""
