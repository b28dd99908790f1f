# SPDX-License-Identifier: Apache-2.0
"""Plans of sources that nobody has: the test states what matters."""

from dataclasses import replace

from agent.collectors.base import Table, TableSize
from agent.finding import Finding
from agent.plan.advice import advise
from agent.plan.estimate import READ_ALL, estimate
from agent.plan.figures import Line, Plan, Question, Sample, Surroundings
from agent.snapshot.carrying import ReadPlan
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind

GIB = 1 << 30
MIB = 1 << 20


def make_table(name: str, *, key: bool = True, ordered: bool = True, rows: int | None = None) -> Table:
    """Give a table of one column."""
    schema = Schema(name, (Column("id", Kind.INT, False, "int"),), ("id",) if key else ())
    return Table(schema, ordered, rows)


def make_sample(table: str, *, is_whole: bool = False, **changes: float) -> Sample:
    """Give a sample of 1,000 rows, 10 MiB in a second, packed to 4 MiB, but for `changes`."""
    facts = {"rows": 1000, "content_bytes": 10 * MIB, "packed_bytes": 4 * MIB, "seconds": 1.0} | changes
    return Sample(
        table, int(facts["rows"]), int(facts["content_bytes"]), int(facts["packed_bytes"]), facts["seconds"], is_whole
    )


def make_surroundings(**changes: object) -> Surroundings:
    """Give a PostgreSQL source that was never taken, with room for everything, but for `changes`."""
    facts: dict[str, object] = {
        "kind": "postgresql",
        "age_limit_s": 4 * 3600.0,
        "is_seeded": False,
        "sent": (),
        "spool_room_bytes": 20 * GIB,
        "spool_limit_bytes": 20 * GIB,
        "spool_free_bytes": 50 * GIB,
        "sort_room_bytes": 50 * GIB,
        "last": None,
    }
    return Surroundings(**(facts | changes))  # type: ignore[arg-type]  # the test states what it changes


def make_plan(
    *tables: Table, sizes: dict[str, TableSize] | None = None, samples: tuple[Sample, ...] | None = None,
    around: Surroundings | None = None, question: Question | None = None, line: Line | None = None,
    is_copy: bool = False, source: str = "his", reads: ReadPlan = READ_ALL,
) -> Plan:  # fmt: skip
    """Give a plan with its advice; by default of one table of 10,000 rows, of which a tenth was read."""
    if not tables:
        tables, samples = (make_table("visit", rows=10_000),), (make_sample("visit"),)
    asked = question or Question()
    plan = estimate(
        source, "consistent", tables, sizes or {}, samples or (), around or make_surroundings(), asked,
        is_copy=is_copy, line=line or asked.line, line_trouble="", opening_s=0.0,
        reads=reads,
    )  # fmt: skip
    return replace(plan, advice=tuple(advise(plan)))


def find_advice(plan: Plan, subject: str) -> Finding:
    """Give the one finding about `subject`."""
    (found,) = [finding for finding in plan.advice if finding.subject == subject]
    return found
