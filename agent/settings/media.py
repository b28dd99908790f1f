# SPDX-License-Identifier: Apache-2.0
"""The settings of offline media (`media:` in agent.yaml): volume sizes, recovery data, how long a receipt is awaited."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from terminal.language import Text
from terminal.settings import Seconds, Settings, mistake

VOLUME_SIZES: Final = {"dvd": 4_700_372_992, "bd25": 24_220_008_448, "bd100": 97_000_000_000}
"""What a volume of each kind holds: DVD+R; BD-R and BDXL formatted with spare sectors."""
LEAST_VOLUME: Final = 4 << 20
_SIZE = re.compile(r"([1-9][0-9]{0,11}) ?(B|MB|GB|KiB|MiB|GiB|TiB)")
_UNITS = {"B": 1, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def parse_volume_size(text: str) -> int | None:
    """Give the bytes that `dvd`, `bd25`, `bd100`, `700 MB` or `4 GiB` stand for; None if it is none of these."""
    if text in VOLUME_SIZES:
        return VOLUME_SIZES[text]
    match = _SIZE.fullmatch(text)
    size = int(match[1]) * _UNITS[match[2]] if match else 0
    return size if size >= LEAST_VOLUME else None


def _parse_size(value: object) -> object:
    size = parse_volume_size(value) if isinstance(value, str) else None
    if size is None:
        raise mistake(Text(zh="dvd、bd25、bd100 或大小，例如 700 MB", en="dvd, bd25, bd100 or a size such as 700 MB"))
    return size


def _check_copies(text: str) -> str:
    letters = text.split(",")
    if len(set(letters)) != len(letters) or not all(re.fullmatch("[A-Z]", letter) for letter in letters):
        raise mistake(Text(zh="以逗号分隔的字母，例如 A,B,C", en="letters with commas, such as A,B,C"))
    return text


Line = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class MediaSettings(Settings):
    """How offline media are written. Texts stand in 说明文件.TXT; empty ones are left for the pen."""

    volume_size: Annotated[int, BeforeValidator(_parse_size)] = VOLUME_SIZES["dvd"]
    redundancy: Annotated[int, Field(ge=0, le=100)] = 10
    copies: Annotated[str, AfterValidator(_check_copies)] = "A"
    wait: Annotated[Seconds, Field(ge=0)] = 60 * 86_400
    kind: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")] = "SJ"
    secrecy: Line = "内部"
    medium: Line = ""
    keeper: Line = ""
    maker: Line = ""
    checker: Line = ""
    hardware: Line = ""
    software: Line = ""
