# SPDX-License-Identifier: Apache-2.0
"""Reports as data, text and HTML, in both languages; what was read cannot break out of them."""

import html
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evidence.encode import encode_base64, encode_json
from evidence.rows.line import Token
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from evidence.verify.bundle import BundleTimestamp
from evidence.verify.report import Message, Outcome, Report, Step, format_bound, render_html, render_text
from evidence.verify.verify import verify_bundle
from tests.builders.bundles import POLICY_TEXT, MadeSnapshot, make_bundle, policy
from tests.builders.tsa import Authority, Tsa


def report_on(raw: bytes) -> Report:
    return verify_bundle(raw, policy(), lambda *_: None)


REPORT = report_on(make_bundle().encode())
STEP = Step(1, Message("一", "one"), Outcome.HOLDS, Message("", ""))


@pytest.mark.parametrize(
    ("outcomes", "verdict", "exit_code"),
    [
        ([Outcome.HOLDS], Outcome.HOLDS, 0),
        ([Outcome.HOLDS, Outcome.SKIPPED], Outcome.HOLDS, 0),
        ([Outcome.HOLDS, Outcome.UNKNOWN], Outcome.UNKNOWN, 2),
        ([Outcome.UNKNOWN, Outcome.FAILS, Outcome.HOLDS], Outcome.FAILS, 1),
        ([], Outcome.UNKNOWN, 2),
    ],
)
def test_worst_step_is_the_verdict(outcomes: list[Outcome], verdict: Outcome, exit_code: int) -> None:
    report = Report("bundle", tuple(replace(STEP, outcome=o) for o in outcomes), (), (), (), ())

    assert (report.verdict, report.exit_code) == (verdict, exit_code)


def test_json_has_everything_in_both_languages() -> None:
    value = json.loads(encode_json(REPORT.to_json()))

    assert (value["verdict"], value["exit_code"], value["subject"]) == ("holds", 0, "bundle")
    assert value["facts"]["unit"] == "X013" and value["facts"]["index"] == 5
    assert value["rows"][0] == {"cells": {"code": "B02", "price": "20.00"}, "table": "public.drug"}
    assert [step["number"] for step in value["steps"]] == list(range(1, 13))
    for step in value["steps"]:
        assert step["title"]["zh"] and step["title"]["en"]


@pytest.mark.parametrize(("language", "verdict"), [("zh", "结论：成立"), ("en", "Verdict: it holds")])
def test_text_and_html_tell_verdict_steps_rows_and_limits(language: str, verdict: str) -> None:
    for rendered in (render_text(REPORT, language), render_html(REPORT, language)):
        assert verdict in rendered
        for text in (*REPORT.proven, *REPORT.not_proven, *(step.title for step in REPORT.steps)):
            assert text.into(language).replace("'", "&#x27;") in rendered or text.into(language) in rendered
        assert "患者" in rendered


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(2026, 11, 22, 1, 0, 5, tzinfo=UTC), "2026-11-22 01:00:05 UTC"),
        (datetime(2026, 11, 22, 1, 0, 5, 1, tzinfo=UTC), "2026-11-22 01:00:06 UTC"),
        (datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "2027-01-01 00:00:00 UTC"),
        (datetime.max.replace(tzinfo=UTC), "9999-12-31 23:59:59 UTC"),
    ],
)
def test_bound_in_time_is_rounded_up(moment: datetime, written: str) -> None:
    assert format_bound(moment) == written


def test_failed_step_is_named_and_no_row_is_shown() -> None:
    report = report_on(make_bundle().encode().replace(b"public.drug", b"public.frug"))

    assert report.exit_code == 1 and report.rows == () and report.proven == ()
    assert "DOES NOT HOLD" in render_text(report, "en")
    assert "不成立" in render_html(report, "zh")
    assert "JS-1001" in report.steps[-1].finding.en


def test_what_was_read_cannot_write_html_or_move_the_cursor() -> None:
    hostile = "<script>alert(1)</script>\x1b[2J\u202e"
    schema = Schema(f"t{hostile}", (Column(f"c{hostile}", Kind.TEXT, True, "text"),))
    line = hostile.encode()
    report = report_on(make_bundle(MadeSnapshot(contents={schema: [line]}), [(schema.name, line)]).encode())

    assert report.exit_code == 0
    assert "<script>" not in render_html(report, "en")
    for rendered in (render_html(report, "en"), render_text(report, "zh")):
        assert "\x1b" not in rendered and "\u202e" not in rendered


def test_name_of_an_authority_that_nobody_believes_cannot_move_the_cursor(tmp_path: Path) -> None:
    """It stands in a sentence of what is not proven: anybody can make a token, and write into its certificate."""
    name = "\x1b[2J\x1b[HVerdict: it holds\u202e"
    stranger = Authority(name, Authority("Root"), ca=False, purpose=True)
    bundle = make_bundle(cosigners=[])
    token = Tsa(tmp_path / "tsa", stranger).stamp(bundle.receipt.proof.checkpoint)
    believed = policy(f"{POLICY_TEXT}tsa {encode_base64(Authority('Another').der)}\n")
    raw = replace(bundle, timestamps=(BundleTimestamp(token),)).encode()
    report = verify_bundle(raw, believed, lambda *_: None)

    assert any("Verdict: it holds" in message.en for message in report.not_proven)
    for rendered in (render_html(report, "en"), render_text(report, "en"), render_text(report, "zh")):
        assert "\x1b" not in rendered and "\u202e" not in rendered


def test_no_two_records_are_shown_alike() -> None:
    """NULL and a text that says so, a large cell and a text that looks like its token, a line end and its escape, …"""
    token = Token(bytes(range(32)), 70_000).encode()
    columns = (Column("a", Kind.TEXT, True, "text"), Column("b", Kind.BYTES, True, "bytea"))
    schema = Schema("t", columns, (), ("not-utf-8 a",))
    cells: list[tuple[bytes, str]] = [
        (b"\\N", "NULL"),
        (b"NULL", '"NULL"'),
        (token, token.decode()),
        (b"\\" + token, '"\\' + token.decode() + '"'),
        (b"a\\nb", '"a\\nb"'),
        (b"a\\\\nb", '"a\\\\nb"'),
        (b"\xad", '"\\udcad"'),
        ("\xad".encode(), '"\\xad"'),
        (b"", ""),
        (b" ", '" "'),
        (b'"', '"\\""'),
        (b'say "no"', 'say "no"'),
        ("患者".encode(), "患者"),
    ]
    for cell, shown in cells:
        line = cell + b"\t\\\\x00"
        bundle = make_bundle(MadeSnapshot(contents={schema: [line]}), [("t", line)])
        report = report_on(replace(bundle, blobs="blobs" if cell == token else None).encode())
        assert f"  a: {shown}\n  b: \\x00\n" in render_text(report, "en"), cell
        assert f"<th>a</th><td>{html.escape(shown)}</td>" in render_html(report, "zh"), cell
    assert len({shown for _, shown in cells}) == len(cells)
