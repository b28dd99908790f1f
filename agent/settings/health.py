# SPDX-License-Identifier: Apache-2.0
"""Where the agent shows how it is: a page and figures on loopback."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

from terminal.language import Text
from terminal.pages import is_loopback
from terminal.settings import Settings, mistake

_LISTEN: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+):(?P<port>0|[1-9][0-9]{0,4})")


def parse_listen(text: str) -> tuple[str, int]:
    """Give host and port of `127.0.0.1:9464` or `[::1]:9464`; port 0 is any free one. Raises: ValueError."""
    match = _LISTEN.fullmatch(text)
    if match is None or int(match["port"]) > 65535 or not is_loopback(match["host"].strip("[]")):
        raise ValueError(text)
    return match["host"].strip("[]"), int(match["port"])


def _check_listen(text: str) -> str:
    try:
        parse_listen(text)
    except ValueError:
        raise mistake(
            Text(
                zh="本机地址和端口，例如 127.0.0.1:9464 或 [::1]:9464",
                en="an address of this machine alone and a port, such as 127.0.0.1:9464 or [::1]:9464",
            )
        ) from None
    return text


class HealthSettings(Settings):
    """The status page (`/`), its figures as JSON (`/status.json`) and for Prometheus (`/metrics`). `listen` None: none."""

    listen: Annotated[str, AfterValidator(_check_listen)] | None = None
