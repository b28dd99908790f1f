# SPDX-License-Identifier: Apache-2.0
"""The commands of `jinsuo-agent media`: what they ask of the agent, say, and give."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from agent.cli.main import make_program
from agent.errors import MediumError
from agent.media.order import ReceiptOutcome, SetState, SetStatus, Wish
from agent.settings.media import VOLUME_SIZES, parse_volume_size
from tests.fakes.agent import NOW, FakeAgent, make_media_outcome


def run(agent: FakeAgent, *line: str, lang: str = "en") -> int:
    return make_program(agent.open, lambda: NOW).main(["-C", "folder", "--lang", lang, *line], environ={})


@pytest.mark.parametrize(
    ("line", "wish", "words"),
    [
        ((), Wish(Path("out")), ("new",)),
        (("--all", "--volume-size", "dvd"), Wish(Path("out"), VOLUME_SIZES["dvd"]), ("all",)),
        (("--waiting", "--iso", "--copies", "A,B,A"), Wish(Path("out"), None, True, "A,B"), ("waiting",)),
        (("--redundancy", "0", "--anew", "--force"), Wish(Path("out"), redundancy=0), ("new", "anew", "force")),
    ],
)
def test_media_write_asks_for_what_was_typed(line: tuple[str, ...], wish: Wish, words: tuple[str, ...]) -> None:
    agent = FakeAgent()
    assert run(agent, "media", "write", "his", "--to", "out", *line) == 0
    assert agent.asked[-1] == ("write media", "his", wish, *words)


@pytest.mark.parametrize(
    "line",
    [
        ("--volume-size", "cd"),
        ("--volume-size", "1 KB"),
        ("--copies", "a"),
        ("--redundancy", "101"),
        ("--all", "--waiting"),
    ],
)
def test_media_write_refuses_what_makes_no_sense(line: tuple[str, ...]) -> None:
    agent = FakeAgent()
    assert run(agent, "media", "write", "his", "--to", "out", *line) == 64
    assert "write media" not in [asked[0] for asked in agent.asked]


def test_media_write_says_numbers_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    agent = FakeAgent(written=make_media_outcome(resumed=True, skipped=2))
    assert run(agent, "media", "write", "his", "--to", "out") == 0
    said = capsys.readouterr().out
    assert "X013-SJ-2025-003-01of01-A: 7 packs, 30.0 MiB, read back" in said
    assert "2 media were done before" in said and "by hand" in said
    assert run(agent, "media", "write", "his", "--to", "out", lang="zh") == 0
    assert "不贴标签" in capsys.readouterr().out


def test_media_write_as_json_has_number_label_and_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FakeAgent(), "--json", "media", "write", "his", "--to", "out") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["media"][0]["label"] == "X013_SJ_2025_003_01OF01_A"
    assert (document["batch"], document["volumes"], document["resumed"]) == ("X013-SJ-2025-003", 1, False)


def test_a_medium_that_cannot_be_written_is_told_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    agent = FakeAgent(written=MediumError("it is full", hint="take another"))
    assert run(agent, "media", "write", "his", "--to", "out") == 1
    assert "JS-2420: it is full" in capsys.readouterr().err


def test_media_rewrite_takes_several_files() -> None:
    agent = FakeAgent()
    assert run(agent, "media", "rewrite", "a.txt", "b.txt", "--to", "out", "--iso") == 0
    assert agent.asked[-1] == ("rewrite media", (Path("a.txt"), Path("b.txt")), Wish(Path("out"), image=True))


@pytest.mark.parametrize(
    ("brought", "code", "words"),
    [
        (ReceiptOutcome("his", (411, 412), (), 0, (), 0), 0, ["his#411, his#412 stored", "no statement waits"]),
        (
            ReceiptOutcome("his", (), (412,), 3, ("not ours",), 1),
            2,
            ["registered", "lacks 3 packs", "refused: not ours"],
        ),
    ],
)
def test_media_receipt_says_what_came(
    brought: ReceiptOutcome, code: int, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    agent = FakeAgent(brought=brought)
    assert run(agent, "media", "receipt", "r.note") == code
    said = capsys.readouterr()
    assert all(word in said.out + said.err for word in words)
    assert agent.asked[-1] == ("media receipt", Path("r.note"))


def test_media_list_says_how_each_batch_stands(capsys: pytest.CaptureFixture[str]) -> None:
    one = SetStatus(
        "his", "X013-SJ-2025-003", "5e" * 16, 6, "AB", 900, (410, 412), NOW, NOW + timedelta(days=60), SetState.AWAITED
    )
    agent = FakeAgent(media_sets=(one,))
    assert run(agent, "media", "list") == 0
    assert "X013-SJ-2025-003" in (said := capsys.readouterr().out) and "#410-#412" in said and "receipt awaited" in said
    assert run(agent, "--json", "media", "list") == 0
    assert json.loads(capsys.readouterr().out)["media"][0]["copies"] == ["A", "B"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("dvd", 4_700_372_992),
        ("700MB", 700_000_000),
        ("4 GiB", 4 << 30),
        ("1TiB", 1 << 40),
        ("4 MB", None),
        ("07 GB", None),
        ("1,5 GB", None),
    ],
)
def test_sizes_of_volumes(text: str, size: int | None) -> None:
    assert parse_volume_size(text) == size
