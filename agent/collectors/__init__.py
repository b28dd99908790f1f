# SPDX-License-Identifier: Apache-2.0
"""How sources are read. Others see only `base`; `agent.sources` alone names concrete collectors."""
