# SPDX-License-Identifier: Apache-2.0
"""The outcome of a verification as data, in Chinese and English: steps, verdict, what is proven and what is not. Pure.

A report is made by `evidence.verify.verify`; this module knows how its parts are worded and laid out. Texts for people
are pairs; error messages of steps that fail stand in both as they are.
"""

import html
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from evidence.encode import Json

LANGUAGES: Final = ("zh", "en")
_LAST: Final = datetime.max.replace(tzinfo=UTC)


class Message(NamedTuple):
    """One text for people in both languages."""

    zh: str
    en: str

    def into(self, language: str) -> str:
        """Give the text in `language`, `zh` or `en`."""
        return self.zh if language == "zh" else self.en

    def to_json(self) -> Json:
        """Give both texts."""
        return {"en": self.en, "zh": self.zh}


class Outcome(StrEnum):
    """What became of a step, and of all."""

    HOLDS = "holds"
    FAILS = "does-not-hold"
    UNKNOWN = "cannot-tell"
    SKIPPED = "not-examined"


EXIT_CODES: Final = {Outcome.HOLDS: 0, Outcome.FAILS: 1, Outcome.UNKNOWN: 2}
_WORDS: Final = {
    Outcome.HOLDS: Message("成立", "holds"),
    Outcome.FAILS: Message("不成立", "DOES NOT HOLD"),
    Outcome.UNKNOWN: Message("无法判定", "CANNOT TELL"),
    Outcome.SKIPPED: Message("未检查", "not examined"),
}
_VERDICTS: Final = {
    Outcome.HOLDS: Message("结论：成立", "Verdict: it holds"),
    Outcome.FAILS: Message("结论：不成立", "Verdict: it does not hold"),
    Outcome.UNKNOWN: Message("结论：无法判定", "Verdict: cannot tell"),
}
_PROVEN: Final = Message("已证明", "Proven")
_NOT_PROVEN: Final = Message("未证明", "Not proven")
_FACTS: Final = Message("事实", "Facts")
_ROWS: Final = Message("记录", "Records")
_STEPS: Final = Message("步骤", "Steps")
_TITLES: Final = {
    "bundle": Message("金锁技术证明包验证报告", "Jinsuo: verification of a bundle"),
    "receipt": Message("金锁回执验证报告", "Jinsuo: verification of a receipt"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """A numbered step: what was asked, what became of it, what was found."""

    number: int
    title: Message
    outcome: Outcome
    finding: Message


@dataclass(frozen=True, slots=True)
class Fact:
    """A thing read from what was verified: `name` for machines, `label` for people."""

    name: str
    label: Message
    value: str | int


@dataclass(frozen=True, slots=True)
class Row:
    """A record as the source stated it: column names and values; None is NULL; a large cell stands as its token.

    `shown` has the values as people read them, no two of them alike (`evidence.verify.findings`).
    """

    table: str
    cells: tuple[tuple[str, str | None], ...]
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of verifying one file; `subject` is `bundle` or `receipt`."""

    subject: str
    steps: tuple[Step, ...]
    facts: tuple[Fact, ...]
    rows: tuple[Row, ...]
    proven: tuple[Message, ...]
    not_proven: tuple[Message, ...]

    @property
    def verdict(self) -> Outcome:
        """The worst of the steps: a step that does not hold decides, then one that cannot tell."""
        outcomes = {step.outcome for step in self.steps}
        if Outcome.FAILS in outcomes:
            return Outcome.FAILS
        return Outcome.UNKNOWN if Outcome.UNKNOWN in outcomes or not outcomes else Outcome.HOLDS

    @property
    def exit_code(self) -> int:
        """0 holds, 1 does not, 2 cannot tell."""
        return EXIT_CODES[self.verdict]

    def to_json(self) -> dict[str, Json]:
        """Give all of it for machines."""
        return {
            "exit_code": self.exit_code,
            "facts": {fact.name: fact.value for fact in self.facts},
            "not_proven": [message.to_json() for message in self.not_proven],
            "proven": [message.to_json() for message in self.proven],
            "rows": [{"cells": dict(row.cells), "table": row.table} for row in self.rows],
            "steps": [
                {
                    "finding": step.finding.to_json(),
                    "number": step.number,
                    "outcome": step.outcome.value,
                    "title": step.title.to_json(),
                }
                for step in self.steps
            ],
            "subject": self.subject,
            "verdict": self.verdict.value,
        }


def format_time(moment: datetime) -> str:
    """Write a UTC time for people, to the second."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def format_bound(moment: datetime) -> str:
    """Write a time by which something is proven, rounded up: a second earlier would not be proven."""
    rest = timedelta(microseconds=-moment.microsecond % 1_000_000)
    return format_time(moment + rest if moment <= _LAST - rest else moment)


def render_text(report: Report, language: str) -> str:
    """Write the report for a terminal."""
    lines = [_TITLES[report.subject].into(language), ""]
    for step in report.steps:
        lines.append(f"{step.number:3}. {step.title.into(language)}: {_WORDS[step.outcome].into(language)}")
        if step.finding.en:
            lines.append(f"     {_printable(step.finding.into(language))}")
    lines += ["", _VERDICTS[report.verdict].into(language)]
    if report.facts:
        lines += ["", _FACTS.into(language)]
        lines += [f"  {fact.label.into(language)}: {_show(fact.value)}" for fact in report.facts]
    for row in report.rows:
        lines += ["", f"{_ROWS.into(language)} {_printable(row.table)}"]
        lines += [
            f"  {_printable(name)}: {_show(value)}" for (name, _), value in zip(row.cells, row.shown, strict=True)
        ]
    for title, messages in ((_PROVEN, report.proven), (_NOT_PROVEN, report.not_proven)):
        if messages:
            lines += ["", title.into(language), *(f"  - {_printable(message.into(language))}" for message in messages)]
    return "\n".join(lines) + "\n"


def render_html(report: Report, language: str) -> str:
    """Write the report as one HTML page that needs nothing else; all that was read is escaped."""
    title = html.escape(_TITLES[report.subject].into(language))
    steps = "".join(
        f'<li class="{step.outcome.value}"><b>{html.escape(step.title.into(language))}</b>'
        f" <em>{html.escape(_WORDS[step.outcome].into(language))}</em>"
        f"<p>{html.escape(_printable(step.finding.into(language)))}</p></li>\n"
        for step in report.steps
    )
    facts = "".join(
        f"<tr><th>{html.escape(fact.label.into(language))}</th><td>{html.escape(_show(fact.value))}</td></tr>\n"
        for fact in report.facts
    )
    rows = "".join(
        f"<h3>{html.escape(_printable(row.table))}</h3><table>"
        + "".join(
            f"<tr><th>{html.escape(_printable(name))}</th><td>{html.escape(_show(value))}</td></tr>\n"
            for (name, _), value in zip(row.cells, row.shown, strict=True)
        )
        + "</table>\n"
        for row in report.rows
    )
    lists = "".join(
        f"<h2>{heading.into(language)}</h2><ul>"
        + "".join(f"<li>{html.escape(_printable(message.into(language)))}</li>\n" for message in messages)
        + "</ul>\n"
        for heading, messages in ((_PROVEN, report.proven), (_NOT_PROVEN, report.not_proven))
        if messages
    )
    return (
        f'<!DOCTYPE html>\n<html lang="{"zh-CN" if language == "zh" else "en"}"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        f'<p class="verdict {report.verdict.value}">{html.escape(_VERDICTS[report.verdict].into(language))}</p>\n'
        f"<h2>{_FACTS.into(language)}</h2><table>{facts}</table>\n"
        f"<h2>{_ROWS.into(language)}</h2>{rows}\n{lists}"
        f"<h2>{_STEPS.into(language)}</h2><ol>{steps}</ol>\n</body></html>\n"
    )


_STYLE: Final = (
    "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em;line-height:1.5}"
    "table{border-collapse:collapse}th,td{border:1px solid #bbb;padding:.3em .6em;text-align:left;"
    "vertical-align:top;overflow-wrap:anywhere}th{background:#f3f3f3;white-space:nowrap}"
    ".verdict{font-size:1.4em;font-weight:bold}.holds em,.verdict.holds{color:#1a6b1a}"
    ".does-not-hold em,.verdict.does-not-hold{color:#a11}.cannot-tell em,.verdict.cannot-tell{color:#8a5a00}"
    "li p{margin:.1em 0 .6em;overflow-wrap:anywhere}"
)


def _show(value: str | int) -> str:
    return _printable(str(value))


def _printable(text: str) -> str:
    """Give a text without what could move a terminal's cursor or turn the direction of writing."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
