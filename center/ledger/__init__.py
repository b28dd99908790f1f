# SPDX-License-Identifier: Apache-2.0
"""The evidence log at the center: `Ledger` in ledger.py; one writer, staged, locked by compare-and-swap, static files.

Reading order: sequence.py (the commit order, as numbered steps), lock.py, publish.py, published.py, gate.py, ledger.py.
"""
