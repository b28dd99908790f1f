# SPDX-License-Identifier: Apache-2.0
"""What agency, center and stranger must compute byte for byte alike.

Pure: no sockets, SQL, YAML, clock or environment. Time, keys and bytes come in as arguments.
"""
