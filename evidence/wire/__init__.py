# SPDX-License-Identifier: Apache-2.0
"""What passes between agent and center: requests, answers, tokens, enrolment codes, sealed secrets. No sockets."""
