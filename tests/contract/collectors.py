# SPDX-License-Identifier: Apache-2.0
"""What every collector must do, whatever its source: one suite, run over one harness per source.

A harness makes a source with something in it, works on it as its application would, and can tell whether the
agent left a trace. Adding a source is adding a harness.
"""

import re
import threading
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

import pytest

from agent.collectors.base import Collector, Severity, Sized, Table, View
from agent.errors import AgentError, SourceError
from evidence.manifest.statement import Consistency
from evidence.rows.line import KeySpec, Token, check_order, parse_line
from evidence.rows.names import encode_name, parse_name
from evidence.rows.values import check_value
from tests.fakes.blobsink import MemorySink


def find_statements(words: str) -> Iterator[str]:
    """Yield what an administrator runs of what `grants` says, without remarks."""
    for line in words.splitlines():
        if line.startswith("  ") or (line.rstrip().endswith(";") and not line.startswith("--")):
            yield re.split(r" {4,}[(（]", line)[0].rstrip()


class Harness(Protocol):
    """A source that a test may work on."""

    def collector(self) -> Collector:
        """Give a collector of the source, which holds tables of several shapes and some large cells."""

    def missing(self) -> Collector:
        """Give a collector of a source that is not there."""

    def transfer(self) -> None:
        """Move money between accounts (columns `id`, `balance`) in one transaction, over two tables if it can."""

    def balances(self) -> tuple[str, ...]:
        """Give the tables whose balances sum to a constant; none if the source knows no transactions."""

    def trace(self) -> object:
        """Give what must be the same before and after the source was read."""

    def check_released(self) -> None:
        """Raises: AssertionError unless the source is as free as if nobody had ever read it."""

    def grow(self, size_bytes: int) -> str:
        """Put so many bytes into one table, in rows of usual size and in one huge cell; give its name."""

    def close(self) -> None:
        """End the application and let the source go."""


def read_lines(view: View, table: Table, sink: MemorySink | None = None) -> list[bytes]:
    """Read a table; check that blocks are blocks."""
    lines: list[bytes] = []
    for block in view.read(table, sink or MemorySink()):
        assert block, "no block is empty"
        assert block.endswith(b"\n"), "a block ends with a whole line"
        assert len(block) <= 8 << 20, "a block is up to about 4 MiB"
        lines += block.split(b"\n")[:-1]
    return lines


def find_table(view: View, name: str) -> Table:
    """Give the table `name` as the view states it now."""
    return next(t for t in view.tables() if t.schema.name == name)


class CollectorContract:
    """The suite. `harness` is a fixture of the module that runs it."""

    def test_names_differ_and_are_spelled_as_the_design_says(self, harness: Harness) -> None:
        with harness.collector().open_view() as view:
            names = [t.schema.name for t in view.tables()]
        assert names
        assert len(set(names)) == len(names)
        for name in names:
            assert name in ("@files", "@sequences") or encode_name(parse_name(name)) == name

    def test_every_line_is_the_one_spelling_of_canonical_values(self, harness: Harness) -> None:
        with harness.collector().open_view() as view:
            count = 0
            for table in view.tables():
                lines = read_lines(view, table)
                schema = find_table(view, table.schema.name).schema
                for line in lines:
                    count += 1
                    for cell, column in zip(parse_line(line, schema), schema.columns, strict=True):
                        assert cell is not None or column.null, f"{schema.name}.{column.name} says it is never NULL"
                        if isinstance(cell, bytes):
                            check_value(column.kind, column.scale, cell, raw_text=schema.is_raw_text(column.name))
            assert count > 100

    def test_schema_after_reading_differs_in_notes_only(self, harness: Harness) -> None:
        with harness.collector().open_view() as view:
            for table in view.tables():
                read_lines(view, table)
                after = find_table(view, table.schema.name).schema
                assert (after.columns, after.key) == (table.schema.columns, table.schema.key)
                assert after.notes[: len(table.schema.notes)] == table.schema.notes

    def test_ordered_tables_ascend_strictly_by_key(self, harness: Harness) -> None:
        with harness.collector().open_view() as view:
            ordered = [t for t in view.tables() if t.ordered]
            assert ordered
            for table in ordered:
                spec = KeySpec.of(table.schema)
                for before, after in pairwise(read_lines(view, table)):
                    check_order(spec, spec.key_of(before), spec.key_of(after))

    def test_tokens_stand_for_the_bytes_that_the_sink_got(self, harness: Harness) -> None:
        sink = MemorySink()
        found = 0
        with harness.collector().open_view() as view:
            for table in view.tables():
                for line in read_lines(view, table, sink):
                    for cell in parse_line(line, table.schema):
                        if isinstance(cell, Token):
                            found += 1
                            assert len(sink.blobs[cell.sha256]) == cell.size
        assert found
        assert sink.puts == found

    def test_second_reading_gives_the_same_rows(self, harness: Harness) -> None:
        with harness.collector().open_view() as view:
            for table in view.tables():
                assert read_lines(view, table) == read_lines(view, table)

    def test_second_view_gives_the_same_rows_if_nothing_happened(self, harness: Harness) -> None:
        def take() -> dict[str, list[bytes]]:
            with harness.collector().open_view() as view:
                return {t.schema.name: sorted(read_lines(view, t)) for t in view.tables()}

        assert take() == take()

    def test_sum_of_money_never_changes_under_a_concurrent_writer(self, harness: Harness) -> None:
        if not harness.balances():
            pytest.skip("the source knows no transactions; its class is live")
        with _Working(harness):
            sums = {self._sum_of_money(harness) for _ in range(20)}
        assert len(sums) == 1

    def test_view_stays_one_state_while_a_writer_works(self, harness: Harness) -> None:
        if not harness.balances():
            pytest.skip("the source knows no transactions; its class is live")
        with harness.collector().open_view() as view:
            assert view.consistency is Consistency.CONSISTENT
            first = {t.schema.name: read_lines(view, t) for t in view.tables()}
            for _ in range(5):
                harness.transfer()
            assert {t.schema.name: read_lines(view, t) for t in view.tables()} == first

    def test_reading_leaves_no_trace_at_the_source(self, harness: Harness) -> None:
        before = harness.trace()
        with harness.collector().open_view() as view:
            for table in view.tables():
                read_lines(view, table)
            view.documents()
        harness.collector().check()
        assert harness.trace() == before

    def test_iterator_closed_midway_releases_the_source_with_its_view(self, harness: Harness) -> None:
        harness.grow(4 << 20)
        with harness.collector().open_view() as view:
            for table in view.tables():
                blocks = view.read(table, MemorySink())
                next(blocks, None)
                assert isinstance(blocks, Iterator)
                blocks.close()  # type: ignore[attr-defined]  # collectors' iterators are generators
        harness.check_released()

    def test_view_left_by_an_exception_releases_the_source(self, harness: Harness) -> None:
        def fail() -> None:
            with harness.collector().open_view() as view:
                blocks = view.read(view.tables()[0], MemorySink())
                next(blocks, None)
                raise KeyError("somewhere else")

        with pytest.raises(KeyError):
            fail()
        harness.check_released()

    def test_missing_source_is_an_error_that_says_what_to_do(self, harness: Harness) -> None:
        with pytest.raises(SourceError) as caught, harness.missing().open_view():
            pass
        assert isinstance(caught.value, AgentError)
        assert caught.value.hint
        assert "\n" not in str(caught.value)

    def test_check_never_raises_and_rates_what_it_finds(self, harness: Harness) -> None:
        assert all(f.severity is not Severity.FAIL for f in harness.collector().check())
        failed = [f for f in harness.missing().check() if f.severity is Severity.FAIL]
        assert failed
        assert all(f.hint for f in failed)

    def test_omissions_notes_and_position_are_single_lines(self, harness: Harness) -> None:
        with harness.collector().open_view() as view:
            for table in view.tables():
                read_lines(view, table)
            texts = [view.position, *view.notes(), *(t for o in view.omitted() for t in (o.name, o.reason))]
            documents = [d.name for d in view.documents()]
        assert all(text and "\n" not in text for text in texts)
        assert len(set(documents)) == len(documents)

    def test_sizes_are_of_tables_that_are_offered_and_leave_the_view_alive(self, harness: Harness) -> None:
        with harness.collector().open_view() as view:
            if not isinstance(view, Sized):
                return
            offered = {table.schema.name for table in view.tables()}
            assert set(view.sizes(lambda: True)) <= offered
            sizes = view.sizes(lambda: False)
            assert sizes
            assert set(sizes) <= offered
            for size in sizes.values():
                assert all(n is None or n >= 0 for n in (size.rows, size.disk_bytes, size.content_bytes))
            assert any(size.disk_bytes for size in sizes.values())
            assert any(read_lines(view, table) for table in view.tables())

    def test_grants_name_what_the_account_needs(self, harness: Harness) -> None:
        words = harness.collector().grants()
        assert words.zh != words.en
        for text in words:
            assert text.endswith("\n")
            assert not re.search(r"^(zh|en)\|", text, re.MULTILINE)

    def test_grants_run_the_same_statements_in_both_languages(self, harness: Harness) -> None:
        zh, en = (list(find_statements(text)) for text in harness.collector().grants())
        assert zh == en
        # A pipe that takes UTF-8 for GBK swallows the line end after such a byte, and the next line becomes a comment.
        assert all(line[-1].isascii() for line in harness.collector().grants().zh.splitlines() if line)

    def test_memory_does_not_grow_with_the_table(self, harness: Harness) -> None:
        name = harness.grow(48 << 20)
        with harness.collector().open_view() as view:
            table = find_table(view, name)
            tracemalloc.start()
            try:
                size = sum(len(block) for block in view.read(table, MemorySink(keep=False)))
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert size > 1 << 20
        assert peak < 16 << 20

    @staticmethod
    def _sum_of_money(harness: Harness) -> int:
        total = 0
        with harness.collector().open_view() as view:
            for name in harness.balances():
                table = find_table(view, name)
                place = table.schema.index("balance")
                for line in read_lines(view, table):
                    cell = parse_line(line, table.schema)[place]
                    assert isinstance(cell, bytes)
                    total += int(cell.removeprefix(b"i:"))
        return total


class _Working:
    """Let a writer move money without a pause while the block runs."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._stop = threading.Event()
        self._began = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self._harness.transfer()
                self._began.set()
        except BaseException as err:  # noqa: BLE001 - handed to the test
            self._failure = err
            self._began.set()

    def __enter__(self) -> None:
        self._thread.start()
        assert self._began.wait(60), "the writer has not begun"

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self._failure is None, self._failure
