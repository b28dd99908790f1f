# SPDX-License-Identifier: Apache-2.0
"""Rows: canonical values, lines, order, schemas, salted leaves. Design sections 2 and 3."""
