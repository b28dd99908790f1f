# SPDX-License-Identifier: Apache-2.0
"""What a source will ask of the night: measured by a bounded sample of real reading, never guessed."""
