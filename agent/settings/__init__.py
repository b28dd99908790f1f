# SPDX-License-Identifier: Apache-2.0
"""The settings of single rooms, as frozen models; agent.config puts them together."""
