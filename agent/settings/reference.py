# SPDX-License-Identifier: Apache-2.0
"""How settings name a secret without being one: `secret:NAME`, `credential:NAME`, `env:VARIABLE` or `file:PATH`. Pure.

Invariant: what is refused here may be a password, so no refusal shows it. `agent.secrets` looks references up.
"""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator

from terminal.language import Text
from terminal.settings import mistake

_SECRET: Final = re.compile(r"(?:secret|credential):[A-Za-z0-9._-]{1,64}|env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:.+")

REFERENCE: Final = Text(
    zh=" secret:名称（口令用 `jinsuo-agent secret set 名称` 存入）、credential:名称、env:变量 或 file:路径，不写口令本身",
    en="secret:NAME (keep the password with `jinsuo-agent secret set NAME`), credential:NAME, env:VARIABLE or "
    "file:PATH, never the password itself",
)


def is_reference(value: str) -> bool:
    """Tell whether a value says where a secret is, rather than being the value."""
    return _SECRET.fullmatch(value) is not None


def _check_reference(value: object) -> object:
    if not isinstance(value, str) or not is_reference(value):
        raise mistake(REFERENCE, hidden=True)
    return value


SecretReference = Annotated[str, BeforeValidator(_check_reference)]
"""Where a password is: `secret:NAME`, `credential:NAME` (systemd's), `env:VARIABLE` or `file:PATH`; `agent.secrets` looks it up."""
