# SPDX-License-Identifier: Apache-2.0
"""The settings of single rooms, as frozen models; center.config puts them together."""
