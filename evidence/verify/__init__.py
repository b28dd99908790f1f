# SPDX-License-Identifier: Apache-2.0
"""The stranger's side: bundle, policy, numbered steps, report."""
