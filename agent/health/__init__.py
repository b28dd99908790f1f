# SPDX-License-Identifier: Apache-2.0
"""How the agent is, for whoever asks: as a document, as a page on loopback, as figures, and as a handover."""
