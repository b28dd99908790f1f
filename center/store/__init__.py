# SPDX-License-Identifier: Apache-2.0
"""Where packs lie: put if absent, never deleted, never replaced."""
