# SPDX-License-Identifier: Apache-2.0
"""Units, their secrets, and the catalog of what is stored, which can be rebuilt from store and ledger."""
