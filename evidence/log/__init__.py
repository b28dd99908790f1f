# SPDX-License-Identifier: Apache-2.0
"""The log's proofs and byte formats: RFC 9162 Merkle trees, C2SP tiles, checkpoints and tlog-proofs. No I/O."""
