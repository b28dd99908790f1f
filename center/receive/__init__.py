# SPDX-License-Identifier: Apache-2.0
"""What agents send: who may, what is admitted, over HTTP. Every byte is re-checked before it is kept."""
