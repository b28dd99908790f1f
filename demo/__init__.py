# SPDX-License-Identifier: Apache-2.0
"""The main job as a story: a hospital, a second unit, a center, two days, one edited record, and a stranger."""
