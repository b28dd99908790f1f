# SPDX-License-Identifier: Apache-2.0
"""What is carried to machines without internet: one Linux archive, one Windows setup program, each with checksums."""
