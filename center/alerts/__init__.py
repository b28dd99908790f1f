# SPDX-License-Identifier: Apache-2.0
"""The center's watch: what is amiss at units and here, and who is told of it. It reads the evidence, and never writes it."""
