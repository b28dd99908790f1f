# SPDX-License-Identifier: Apache-2.0
"""The handover: everything that a successor needs, nothing that a thief could use."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import CONFIG_NAME, AgentConfig, load_config
from agent.example import EXAMPLE
from agent.health.handover import Premises, write_handover
from terminal.language import Language
from tests.fakes.agent import NOW, FakeAgent

PREMISES = Premises("his-front", "Linux", "jinsuo", "/opt/jinsuo/bin/python", "jinsuo 0.1.0", "log+1+key")


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    (tmp_path / CONFIG_NAME).write_text(EXAMPLE, encoding="utf-8")
    return load_config(tmp_path)


@pytest.mark.parametrize("language", list(Language))
def test_every_source_stands_in_it_with_account_and_place_of_its_password(
    config: AgentConfig, language: Language
) -> None:
    text = write_handover(config, FakeAgent().status(), PREMISES, NOW, language)
    for source in config.sources:
        assert f"| {source.name} |" in text
    assert "| his | postgresql localhost:5432/hospital | jinsuo | secret:his | his#411 | 1 d 2 h |" in text
    for what in ("https://c:1", "log+1+key", "his-front", "keys/", "agent.yaml"):
        assert what in text


@pytest.mark.parametrize("language", list(Language))
def test_what_is_open_is_named(config: AgentConfig, language: Language) -> None:
    status = FakeAgent().status()
    text = write_handover(config, status, PREMISES, NOW, language)
    assert "no rights" in text
    calm = replace(status, sources=(replace(status.sources[0], waiting=0),))
    assert ("- nothing\n" if language is Language.EN else "- 没有。\n") in write_handover(
        config, calm, PREMISES, NOW, language
    )


def test_cell_of_a_table_cannot_break_it(config: AgentConfig) -> None:
    source = config.sources[0].model_copy(update={"database": "a|b\x1b"})
    text = write_handover(
        config.model_copy(update={"sources": (source,)}), FakeAgent().status(), PREMISES, NOW, Language.EN
    )
    assert "a\\|b\\u001b" in text


@pytest.mark.parametrize("language", list(Language))
def test_the_agents_keys_belong_in_no_backup_as_the_handbook_says(config: AgentConfig, language: Language) -> None:
    text = write_handover(config, FakeAgent().status(), PREMISES, NOW, language)
    (said,) = [line for line in text.splitlines() if "keys/" in line]
    handbook = (
        Path(__file__).parents[4] / "docs" / {Language.ZH: "operate.zh-CN.md", Language.EN: "operate.md"}[language]
    )
    never = {Language.ZH: "`keys/` 不得放进", Language.EN: "`keys/` belongs in no"}[language]
    assert never in said
    assert never in handbook.read_text(encoding="utf-8")
