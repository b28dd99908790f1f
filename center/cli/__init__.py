# SPDX-License-Identifier: Apache-2.0
"""The commands of `jinsuo-center`, one file each; `main` only lists them."""
