# SPDX-License-Identifier: Apache-2.0
"""What people and programs are told: items put into one letter, as a subject, a text and a JSON document. Pure.

    {"at","center","format":"jinsuo/alerts@v1","id","items":[{"alert"|null,"at","what"}],"subject","text"}

`id` follows from the items: a letter that is sent twice, because a crash forgot that it was, can be known by it.
Worst first; what data says (names of tables, reasons) cannot break a header or move a cursor. Source: docs/format.md 12.11.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from center.alerts.alert import Severity
from center.alerts.course import Item, What
from evidence.digest import sha256
from evidence.encode import Json, encode_json, encode_time
from terminal.language import Language, Text
from terminal.printer import make_one_line, make_visible

FORMAT: Final = "jinsuo/alerts@v1"
MOST_SUBJECT: Final = 120
_MOST_CENTER: Final = 60
_WORDS: Final = {
    What.RAISED: Text(zh="告警", en="alert"),
    What.REPEATED: Text(zh="仍未解决", en="still so"),
    What.CLEARED: Text(zh="已解除", en="all clear"),
    What.TEST: Text(zh="例行测试", en="routine test"),
}
SEVERITIES: Final = {
    Severity.NOTICE: Text(zh="提示", en="notice"),
    Severity.WARNING: Text(zh="警告", en="warning"),
    Severity.ERROR: Text(zh="严重", en="error"),
}
TEST: Final = Text(
    zh="这是例行测试：告警渠道畅通。收不到这条消息时，请检查中心。",
    en="This is the routine test: alerts get through by this way. If it ever fails to come, look at the center.",
)


@dataclass(frozen=True, slots=True)
class Letter:
    """One message. `document`: the JSON, JCS; its members are of the same content as `subject` and `text`."""

    id: str
    at: datetime
    subject: str
    text: str
    document: bytes


def compose(items: Sequence[Item], center: str, language: Language, now: datetime) -> Letter:
    """Put items, at least one, into a letter."""
    ordered = sorted(items, key=_rank)
    told: list[Json] = [
        {
            "alert": None if item.alert is None else item.alert.to_json(),
            "at": encode_time(item.at),
            "what": item.what.value,
        }
        for item in ordered
    ]
    name = sha256(encode_json({"center": center, "items": told})).hex()[:32]
    subject = _subject(ordered, center, language)
    text = "\n\n".join(_paragraph(item, language) for item in ordered) + f"\n\n-- \n{center}\n"
    document = encode_json(
        {
            "at": encode_time(now), "center": center, "format": FORMAT, "id": name, "items": told,
            "subject": subject, "text": text,
        }
    )  # fmt: skip
    return Letter(name, now, subject, text, document)


def _rank(item: Item) -> tuple[int, int, datetime]:
    order = (What.RAISED, What.REPEATED, What.CLEARED, What.TEST).index(item.what)
    return order, -(item.alert.severity if item.alert is not None else 0), item.at


def _subject(items: Sequence[Item], center: str, language: Language) -> str:
    first = items[0]
    said = TEST if first.alert is None else first.alert.what
    more = len(items) - 1
    tail = Text(zh=f"（另有 {more} 条）", en=f" (and {more} more)").into(language) if more else ""
    name = center if len(center) <= _MOST_CENTER else center[: _MOST_CENTER - 1] + "…"
    head = f"[{name}] {_WORDS[first.what].into(language)}: "
    line = " ".join(make_visible(said.into(language)).split())
    room = MOST_SUBJECT - len(head) - len(tail)
    return head + (line if len(line) <= room else line[: max(1, room - 1)] + "…") + tail


def _paragraph(item: Item, language: Language) -> str:
    if item.alert is None:
        return TEST.into(language)
    alert = item.alert
    severity = SEVERITIES[alert.severity].into(language)
    lines = [
        f"{_WORDS[item.what].into(language)} [{severity}] {alert.id}",
        make_one_line(alert.what.into(language)),
        Text(
            zh=f"始于 {alert.since:%Y-%m-%d %H:%M} UTC", en=f"since {alert.since:%Y-%m-%d %H:%M} UTC"
        ).into(language),
    ]  # fmt: skip
    if item.what is not What.CLEARED:
        todo = Text(zh="怎么办：", en="What to do: ").into(language)
        lines.append(todo + make_one_line(alert.remedy.into(language)))
        lines.append(
            Text(
                zh=f"有人处理时：jinsuo-center alerts ack {alert.id} --reason …",
                en=f"once somebody sees to it: jinsuo-center alerts ack {alert.id} --reason ...",
            ).into(language)
        )
    return "\n".join(lines)
