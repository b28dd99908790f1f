# SPDX-License-Identifier: Apache-2.0
"""The agent: takes consistent snapshots at the unit that makes the data, and sends them to the center."""
