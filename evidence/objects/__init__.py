# SPDX-License-Identifier: Apache-2.0
"""Objects by content: kinds and ids, packs, blobs."""
