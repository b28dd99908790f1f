# SPDX-License-Identifier: Apache-2.0
"""The center: re-checks, keeps and locks what agents send; restores, compares, certifies it."""
