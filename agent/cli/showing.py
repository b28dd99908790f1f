# SPDX-License-Identifier: Apache-2.0
"""How the commands show outcomes: the same words, tables and JSON wherever a snapshot is told of."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent.outcome import Outcome, Stage
from terminal.errors import EXIT_OK, EXIT_RETRY, words_of
from terminal.language import Text
from terminal.printer import Printer, format_size
from terminal.progress import Bar, Measure

STAGES = {
    Stage.SPOOLED: Text(zh="在发件箱中", en="in the spool"),
    Stage.REGISTERED: Text(zh="已登记", en="registered"),
    Stage.STORED: Text(zh="已入库", en="stored"),
}

FORCE = Text(zh="即使已暂停或在静默时段", en="although the agent is paused, or it is quiet hours")
RETRY_LOGIN = Text(zh="登录曾被拒绝两次，仍再试一次", en="try a login again that was refused twice")


@dataclass(frozen=True, slots=True)
class Bars:
    """Show a run as two bars, rows of the table being read and bytes acknowledged: a Progress of `agent.snapshot`."""

    source: str
    rows: Bar
    line: Bar

    def begin(self, label: str, total: int | None) -> None:
        """Begin a table."""
        self.rows.restart(f"{self.source} {label}".strip(), total)

    def advance(self, rows: int, size_bytes: int) -> None:  # noqa: ARG002 - rows are what people count here
        """Count rows."""
        self.rows.advance(rows)

    def sent(self, size_bytes: int) -> None:
        """Count what the center has acknowledged."""
        self.line.advance(size_bytes)


@contextmanager
def show_bars(out: Printer, source: str) -> Iterator[Bars]:
    """Show both bars until the context ends."""
    with out.progress(source) as rows, out.progress(Text(zh="已送达", en="sent"), measure=Measure.BYTES) as line:
        yield Bars(source, rows, line)


def show_outcome(out: Printer, outcome: Outcome) -> None:
    """Tell a person of one snapshot, and warn of what is not in it."""
    out.say(
        Text(
            zh=f"{outcome.label} {STAGES[outcome.stage].zh}{_log_zh(outcome)}：{outcome.tables} 张表，"
            f"{outcome.rows:,} 行，{format_size(outcome.bytes_)}；发送 {format_size(outcome.sent_bytes)}，"
            f"用时 {outcome.took.total_seconds():.1f} 秒",
            en=f"{outcome.label} {STAGES[outcome.stage].en}{_log_en(outcome)}: {outcome.tables} tables, "
            f"{outcome.rows:,} rows, {format_size(outcome.bytes_)}; {format_size(outcome.sent_bytes)} sent "
            f"in {outcome.took.total_seconds():.1f} s",
        )
    )
    for left in outcome.omitted:
        out.warn(
            Text(
                zh=f"{outcome.label} 不含表 {left.name}：{left.reason}",
                en=f"{outcome.label} is without table {left.name}: {left.reason}",
            )
        )
    for note in outcome.notes:
        out.say(f"  {out.words(note)}")
    if outcome.trouble is not None:
        out.complain(outcome.trouble)


def describe_outcome(out: Printer, outcome: Outcome) -> dict[str, object]:
    """Give one snapshot as JSON has it."""
    return {
        "source": outcome.source,
        "sequence": outcome.sequence,
        "level": outcome.stage.value,
        "log_index": outcome.log_index,
        "tables": outcome.tables,
        "rows": outcome.rows,
        "bytes": outcome.bytes_,
        "sent_bytes": outcome.sent_bytes,
        "taken_at": outcome.taken_at,
        "seconds": round(outcome.took.total_seconds(), 3),
        "consistency": outcome.consistency,
        "root": outcome.root,
        "receipt": outcome.receipt_path,
        "omitted": [{"name": left.name, "reason": left.reason} for left in outcome.omitted],
        "notes": [words_of(note).en for note in outcome.notes],
        "trouble": out.describe(outcome.trouble) if outcome.trouble else None,
    }


def outcome_code(outcome: Outcome) -> int:
    """Give the exit code of one snapshot: whole but not where it was meant to go is "try again later"."""
    if outcome.trouble is None:
        return EXIT_OK
    return outcome.trouble.exit_code or EXIT_RETRY


def _log_zh(outcome: Outcome) -> str:
    return "" if outcome.log_index is None else f"（log@{outcome.log_index}）"


def _log_en(outcome: Outcome) -> str:
    return "" if outcome.log_index is None else f" at log@{outcome.log_index}"
