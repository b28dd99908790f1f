# SPDX-License-Identifier: Apache-2.0
"""The road to the center. Others see what `base` promises; `roads`, `agent.identity` and `agent.acts.road` name concrete roads."""
