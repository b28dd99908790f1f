# SPDX-License-Identifier: Apache-2.0
"""From sizes and samples to what one read takes: time, bytes, room. Pure: no I/O, no clock.

    a table that was read whole        its own figures, as measured
    the beginning of it was read       the same, times (rows there are / rows read), or content known / content read
    not read                           by its bytes on disk, at the rates of the tables that were read
    nothing of this is known           None, and its name stands in `unmeasured`

Invariant: a figure that rests on nothing measured is None. Sums leave out what is None and say that they are a least.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from agent.collectors.base import Table, TableSize
from agent.plan.figures import Line, Plan, Question, Sample, Surroundings, TablePlan
from agent.snapshot.carrying import ReadPlan

SORT_MEMORY_BYTES: Final = 24 << 20
"""What the sort keeps in memory before it writes a run; a line takes so much more than its bytes:"""
READ_ALL: Final = ReadPlan()
_SORT_LINE_BYTES: Final = 72
_SORT_FAN_IN: Final = 32


@dataclass(frozen=True, slots=True)
class _Rates:
    """What the sample measured over all tables; None where it measured nothing."""

    seconds_a_byte: float | None
    packed_a_byte: float | None
    content_a_disk_byte: float | None


def order_for_sample(tables: Sequence[Table], sizes: Mapping[str, TableSize]) -> list[Table]:
    """Give the tables, the largest first; those of unknown size last."""

    def weight(table: Table) -> tuple[int, int, str]:
        size = sizes.get(table.schema.name, TableSize())
        rows = size.rows if size.rows is not None else table.estimated_rows
        return (-(size.content_bytes or size.disk_bytes or 0), -(rows or 0), table.schema.name)

    return sorted(tables, key=weight)


def estimate(
    source: str, consistency: str, tables: Sequence[Table], sizes: Mapping[str, TableSize], samples: Sequence[Sample],
    around: Surroundings, question: Question, *, is_copy: bool, line: Line | None, line_trouble: str, opening_s: float,
    reads: ReadPlan = READ_ALL,
) -> Plan:  # fmt: skip
    """Estimate what a snapshot of these tables takes; `reads` says which of them are not read at each run."""
    by_name = {sample.table: sample for sample in samples}
    rows = [_describe(table, sizes.get(table.schema.name, TableSize()), by_name, reads) for table in tables]
    first = [_from_sample(row) for row in rows]
    rates = _find_rates(first)
    planned = tuple(_with_room(_from_rates(row, rates)) for row in first)
    seconds = _add(row.seconds for row in planned)
    if not planned:
        seconds = 0.0
    return Plan(
        source=source,
        consistency=consistency,
        is_copy=is_copy,
        tables=planned,
        around=around,
        question=question,
        line=line,
        line_trouble=line_trouble,
        opening_s=opening_s,
        seconds=None if seconds is None else seconds + opening_s,
        content_bytes=_whole(_add(row.content_bytes for row in planned)),
        seed_bytes=_whole(_add(row.packed_bytes for row in planned)),
        sort_bytes=max((row.sort_bytes or 0 for row in planned), default=0),
        nightly_bytes=round(sum(around.sent) / len(around.sent)) if around.sent else None,
    )


def _describe(table: Table, size: TableSize, samples: Mapping[str, Sample], reads: ReadPlan) -> TablePlan:
    if size.rows is None:
        size = TableSize(table.estimated_rows, size.disk_bytes, size.content_bytes)
    keyless = not table.schema.key
    name = table.schema.name
    return TablePlan(name, size, keyless or not table.ordered, keyless, samples.get(name), every=reads.every(name))


def _from_sample(row: TablePlan) -> TablePlan:
    """Estimate a table by what was read of itself."""
    sample = row.sample
    share = None if sample is None else _share(row.size, sample)
    if sample is None or share is None:
        return row
    return _filled(row, round(sample.content_bytes * share), round(sample.packed_bytes * share), sample.seconds * share)


def _share(size: TableSize, sample: Sample) -> float | None:
    """Give by what the sample must be multiplied, or None if that is not known."""
    if sample.is_whole:
        return 1.0
    if not sample.content_bytes:
        return None
    if size.content_bytes is not None:
        return max(1.0, size.content_bytes / sample.content_bytes)
    if size.rows is not None and sample.rows:
        # The source's own count may be old: what was read is there at the least.
        return max(1.0, size.rows / sample.rows)
    return None


def _find_rates(rows: Sequence[TablePlan]) -> _Rates:
    samples = [row.sample for row in rows if row.sample is not None and row.sample.content_bytes]
    content = sum(sample.content_bytes for sample in samples)
    if not content:
        return _Rates(None, None, None)
    sized = [row for row in rows if row.content_bytes and row.size.disk_bytes]
    disk = sum(row.size.disk_bytes or 0 for row in sized)
    return _Rates(
        sum(sample.seconds for sample in samples) / content,
        sum(sample.packed_bytes for sample in samples) / content,
        sum(row.content_bytes or 0 for row in sized) / disk if disk else None,
    )


def _from_rates(row: TablePlan, rates: _Rates) -> TablePlan:
    """Estimate a table that was not read by the rates of those that were."""
    if row.content_bytes is not None:
        return row
    content = row.size.content_bytes
    if content is None and row.size.disk_bytes is not None and rates.content_a_disk_byte is not None:
        content = round(row.size.disk_bytes * rates.content_a_disk_byte)
    if content is None or rates.seconds_a_byte is None or rates.packed_a_byte is None:
        return row
    return _filled(row, content, round(content * rates.packed_a_byte), content * rates.seconds_a_byte)


def _filled(row: TablePlan, content: int, packed: int, seconds: float) -> TablePlan:
    return replace(row, content_bytes=content, packed_bytes=packed, seconds=seconds)


def _with_room(row: TablePlan) -> TablePlan:
    """Estimate the room for sorting: runs as large as what travels, twice that while many runs are merged."""
    if not row.sorted_here or row.content_bytes is None or row.packed_bytes is None:
        return row
    taken = row.content_bytes + (row.size.rows or 0) * _SORT_LINE_BYTES
    if taken <= SORT_MEMORY_BYTES:
        room = 0
    else:
        room = row.packed_bytes * (2 if taken > SORT_MEMORY_BYTES * _SORT_FAN_IN else 1)
    return replace(row, sort_bytes=room)


def _add(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
