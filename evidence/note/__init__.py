# SPDX-License-Identifier: Apache-2.0
"""Signed notes and cosignatures, as C2SP has them."""
