# SPDX-License-Identifier: Apache-2.0
"""The agent as a service of its machine: under systemd, and under Windows' service manager."""
