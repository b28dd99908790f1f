# SPDX-License-Identifier: Apache-2.0
"""Benchmarks against the limit and against peers. Each prints ratios of figures measured in one run."""
