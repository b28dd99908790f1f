# SPDX-License-Identifier: Apache-2.0
"""What an opened agent does, one file per kind of act; `agent.app` puts them together. Others see only that."""
