# SPDX-License-Identifier: Apache-2.0
"""What the center watches for, whom it tells, and where it shows its figures: `alerts:` and `metrics:` of center.yaml.

Knows forms and bounds only. No secret stands in the file: `env:VARIABLE` or `file:PATH` says where one is.
Invariant: what comes out can be used as it is; days, times, zones and dates have been read once.
"""

import re
from datetime import date, timedelta
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from terminal.language import Text
from terminal.loopback import parse_loopback
from terminal.settings import Seconds, Settings, SizeBytes, mistake

MOST_RANGE_DAYS: Final = 366
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PATTERN = re.compile(r"[A-Za-z0-9._*?-]{1,64}", re.ASCII)
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_MONTHLY = re.compile(r"monthly (?P<day>[1-9]|1[0-9]|2[0-8])", re.ASCII)
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:.+")
_RANGE = re.compile(r"(?P<first>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:\.\.(?P<last>[0-9]{4}-[0-9]{2}-[0-9]{2}))?", re.ASCII)
_MAIL = re.compile(r"[^\s@<>,;\"]{1,64}@[^\s@<>,;\"]{1,255}")


def parse_dates(text: str) -> tuple[date, ...] | None:
    """Give the days of `2026-10-01` or `2026-10-01..2026-10-07`, at most a year of them; None if it is neither."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    try:
        first = date.fromisoformat(match["first"])
        last = date.fromisoformat(match["last"] or match["first"])
    except ValueError:
        return None
    count = (last - first).days + 1
    if not 1 <= count <= MOST_RANGE_DAYS:
        return None
    return tuple(first + timedelta(days=i) for i in range(count))


def parse_days(text: str) -> frozenset[int] | int | None:
    """Give the weekdays (Monday 0) that a text names, or the day of the month of `monthly 3`; None if it is neither.

    `daily`, `workdays` (all of them: a calendar decides), `mon-fri`, `sat,sun`.

    >>> sorted(parse_days("mon-wed,sat"))
    [0, 1, 2, 5]
    """
    if text in ("daily", "workdays"):
        return frozenset(range(7))
    if match := _MONTHLY.fullmatch(text):
        return int(match["day"])
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if first not in WEEKDAYS or (dash and last not in WEEKDAYS):
            return None
        start, stop = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        days.update(day % 7 for day in range(start, stop + 1 if stop >= start else stop + 8))
    return frozenset(days)


def _check_pattern(text: str) -> str:
    if not _PATTERN.fullmatch(text):
        raise mistake(Text(zh="名称或模式，如 X013、X0*", en="a name or pattern, such as X013 or X0*"))
    return text


def _check_time(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise mistake(Text(zh="一天中的时刻，如 08:30（加引号）", en='a time of day such as "08:30", in quotes'))
    return text


def _check_days(text: str) -> str:
    if parse_days(text) is None:
        raise mistake(
            Text(
                zh="daily、workdays、mon-fri、sat,sun 或 monthly 3（1 至 28）",
                en="daily, workdays, mon-fri, sat,sun, or monthly 3 (1 to 28)",
            )
        )
    return text


def _check_dates(text: str) -> str:
    if parse_dates(text) is None:
        raise mistake(
            Text(
                zh='"2026-10-01" 或 "2026-10-01..2026-10-07"（加引号）',
                en='a day or days, in quotes: "2026-10-01" or "2026-10-01..2026-10-07"',
            )
        )
    return text


def _check_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        # `from None` would hide nothing: the library's sentence is about files of its own.
        raise mistake(Text(zh="时区，如 Asia/Shanghai", en="a time zone such as Asia/Shanghai")) from None
    return text


def _check_reference(value: object) -> object:
    if not isinstance(value, str) or not _REFERENCE.fullmatch(value):
        raise mistake(
            Text(
                zh="env:变量 或 file:路径，不写口令本身",
                en="env:VARIABLE or file:PATH, never the secret itself",
            ),
            hidden=True,
        )
    return value


def _check_mail(text: str) -> str:
    if not _MAIL.fullmatch(text) or not text.isascii():
        raise mistake(Text(zh="邮件地址，如 a@archives.example", en="a mail address such as a@archives.example"))
    return text


def _check_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", text):
        raise mistake(Text(zh="地址，如 https://bot.example/hook", en="an address such as https://bot.example/hook"))
    return text


def _check_loopback(text: str) -> str:
    try:
        _, port = parse_loopback(text)
    except ValueError:
        port = 0
    if port == 0:  # who scrapes must know where
        raise mistake(
            Text(
                zh="本机地址:端口，如 127.0.0.1:9464",
                en="an address of this machine alone and a port, such as 127.0.0.1:9464",
            )
        )
    return text


Pattern = Annotated[str, AfterValidator(_check_pattern)]
TimeOfDay = Annotated[str, AfterValidator(_check_time)]
Days = Annotated[str, AfterValidator(_check_days)]
Dates = Annotated[str, AfterValidator(_check_dates)]
Zone = Annotated[str, AfterValidator(_check_zone)]
Reference = Annotated[str, BeforeValidator(_check_reference)]
"""Where a secret is: `env:VARIABLE` or `file:PATH`; `center.alerts.secrets` looks it up."""
Mail = Annotated[str, AfterValidator(_check_mail)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class Expected(Settings):
    """By when snapshots of sources must have come. `zone` None: that of `alerts`. `level`: what counts as come."""

    unit: Pattern = "*"
    source: Pattern = "*"
    days: Days = "daily"
    by: TimeOfDay
    zone: Zone | None = None
    on_holidays: bool = False
    level: Literal["registered", "stored"] = "registered"


class Channel(Settings):
    """One way by which alerts reach people. `least`: from this severity on."""

    name: Name
    least: Literal["notice", "warning", "error"] = "notice"


class MailChannel(Channel):
    """Mail by SMTP. `tls`: `starttls`, `tls` from the first byte, or `none` (only to this machine)."""

    kind: Literal["mail"]
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: str | None = None
    user: str | None = None
    password: Reference | None = None
    sender: Mail
    to: Annotated[tuple[Mail, ...], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise mistake(Text(zh="user 和 password 同时设置", en="`user` and `password` both, or neither"))
        if self.tls == "none" and (self.user is not None or self.host not in ("127.0.0.1", "localhost", "::1")):
            raise mistake(
                Text(
                    zh="tls: none 只用于本机且无口令的邮件服务器",
                    en="`tls: none` only for a mail server on this machine, without a password",
                )
            )
        return self


class WebhookChannel(Channel):
    """A POST of JSON. `secret`: of the HMAC-SHA256 in the header `Jinsuo-Signature`."""

    kind: Literal["webhook"]
    url: Annotated[str, AfterValidator(_check_url)]
    secret: Reference | None = None
    ca_file: str | None = None


class CommandChannel(Channel):
    """A program that is run without a shell and reads the JSON from its standard input."""

    kind: Literal["command"]
    argv: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1, max_length=64)]
    timeout: Annotated[Seconds, Field(ge=1, le=120)] = 20


AnyChannel = Annotated[MailChannel | WebhookChannel | CommandChannel, Field(discriminator="kind")]


class AlertSettings(Settings):
    """`alerts:` of center.yaml."""

    quiet_after: Annotated[Seconds, Field(ge=600)] = 6 * 3600
    not_watched: tuple[Pattern, ...] = ()
    shrink: Annotated[float, Field(gt=0, lt=100)] | None = 30
    grow: Annotated[float, Field(gt=1)] | None = 3
    clock: Annotated[Seconds, Field(ge=30)] = 5 * 60
    disk: Annotated[float, Field(gt=0, lt=100)] = 10
    agent_free: Annotated[SizeBytes, Field(ge=0)] = 5 << 30
    content_within: Annotated[Seconds, Field(ge=3600)] = 14 * 86_400
    certificate: Annotated[Seconds, Field(ge=86_400)] = 30 * 86_400
    repeat: Annotated[Seconds, Field(ge=86_400)] | None = 86_400
    settle: Annotated[Seconds, Field(ge=0, le=86_400)] = 10 * 60
    zone: Zone = "Asia/Shanghai"
    holidays: tuple[Dates, ...] = ()
    workdays: tuple[Dates, ...] = ()
    calendar: str | None = None
    expected: tuple[Expected, ...] = ()
    test_day: Annotated[int, Field(ge=1, le=28)] | None = 1
    test_at: TimeOfDay = "09:00"
    channels: tuple[AnyChannel, ...] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [channel.name for channel in self.channels]
        for i, name in enumerate(names):
            if name in names[:i]:
                text = Text(zh="与其他渠道不同的名称", en="a name that no other channel has")
                raise mistake(text, at=("channels", i, "name"))
        return self


class MetricsSettings(Settings):
    """Where figures for Prometheus are shown, on loopback; None: nowhere."""

    listen: Annotated[str, AfterValidator(_check_loopback)] | None = None
