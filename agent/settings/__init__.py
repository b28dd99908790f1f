# SPDX-License-Identifier: Apache-2.0
"""The parts of agent.yaml, as frozen models; agent.config puts them together."""
