# SPDX-License-Identifier: Apache-2.0
"""The road to the center. Others see only `base`; `agent.app` alone names concrete roads."""
