# SPDX-License-Identifier: Apache-2.0
"""The commands of `jinsuo-agent`, one file each; `main` lists them, `facade` says what they ask of the agent."""
