# SPDX-License-Identifier: Apache-2.0
"""Where the agent shows how it is: a page and figures on loopback."""

from typing import Annotated

from pydantic import AfterValidator

from terminal.language import Text
from terminal.loopback import parse_loopback
from terminal.settings import Settings, mistake


def _check_listen(text: str) -> str:
    try:
        parse_loopback(text)
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
