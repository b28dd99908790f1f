# SPDX-License-Identifier: Apache-2.0
"""Offline media: how they are numbered, what lies on them and where, and how what is lacking is named."""
