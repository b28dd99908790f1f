# SPDX-License-Identifier: Apache-2.0
"""What can name a source, a group or a secret in agent.yaml."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from terminal.language import Text
from terminal.settings import mistake

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_name(text: str) -> bool:
    """Tell whether `text` can name a source or a secret; `.` and `..` cannot, for folders are named after sources."""
    return _NAME.fullmatch(text) is not None and text.strip(".") != ""


def _check_name(name: str) -> str:
    if not is_name(name):
        raise mistake(Text(zh="1 至 64 个字母、数字或 . _ -", en="1 to 64 of the letters A-Z a-z, digits and . _ -"))
    return name


Name = Annotated[str, AfterValidator(_check_name)]
Text1 = Annotated[str, Field(min_length=1)]
