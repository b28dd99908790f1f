# SPDX-License-Identifier: Apache-2.0
"""How a daemon of either side becomes a service of its machine: the unit's text, systemd's words, the commands."""
