# SPDX-License-Identifier: Apache-2.0
"""What all tests share. Fixtures stand beside what they make."""

pytest_plugins = ["tests.builders.drops", "tests.servers.fixtures"]
