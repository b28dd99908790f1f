# SPDX-License-Identifier: Apache-2.0
"""Addresses of this machine alone: what only those who are on it can reach. Opens nothing, resolves no name."""

import re
from ipaddress import ip_address
from typing import Final

_PLACE: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+):(?P<port>0|[1-9][0-9]{0,4})")


def is_loopback(host: str) -> bool:
    """Tell whether a host, as an address or a name, is this machine itself.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_loopback(text: str) -> tuple[str, int]:
    """Give host and port of `127.0.0.1:9464` or `[::1]:9464`; port 0 is any free one. Raises: ValueError.

    >>> parse_loopback("[::1]:9464")
    ('::1', 9464)
    """
    match = _PLACE.fullmatch(text)
    if match is None or int(match["port"]) > 65535 or not is_loopback(match["host"].strip("[]")):
        raise ValueError(text)
    return match["host"].strip("[]"), int(match["port"])
