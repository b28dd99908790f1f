# SPDX-License-Identifier: Apache-2.0
"""What a person types and reads: command lines, messages in two languages, YAML settings. Of both sides."""
