# SPDX-License-Identifier: Apache-2.0
"""The texts and documents of evidence: claims, manifests, statements, entries of the log, receipts."""
