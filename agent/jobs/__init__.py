# SPDX-License-Identifier: Apache-2.0
"""What runs by itself: which run is due, remembered durably, and the daemon that takes it, sends, and looks after watches."""
