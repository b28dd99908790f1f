# SPDX-License-Identifier: Apache-2.0
"""Technical bundles for rows and files, and the policy that a verifier takes."""
