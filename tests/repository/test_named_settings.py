# SPDX-License-Identifier: Apache-2.0
"""What a message tells people to change in agent.yaml or center.yaml is there to be changed."""

import ast
import re
from pathlib import Path

from agent.config import AgentConfig
from center.config import CenterConfig

ROOT = Path(__file__).parents[2]
_ADVICE = re.compile(r"(?:\b(?:raise|lower|shorten) |调大 ?|调小 ?)`?([a-z]+(?:[_.][a-z_]+)+)")


def _keys(schema: object) -> set[str]:
    """Give every name of a property, at any depth of a JSON schema."""
    if isinstance(schema, list):
        return {key for each in schema for key in _keys(each)}
    if not isinstance(schema, dict):
        return set()
    own = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return own | {key for each in schema.values() for key in _keys(each)}


def test_settings_that_messages_name_exist() -> None:
    known = _keys(AgentConfig.model_json_schema()) | _keys(CenterConfig.model_json_schema())
    assert {"snapshot_age_limit", "max_size", "disk_reserve"} <= known
    wrong: list[str] = []
    named = 0
    for room in ("agent", "center", "terminal"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                    continue
                for found in _ADVICE.finditer(node.value):
                    named += 1
                    if not set(found[1].split(".")) <= known:
                        wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {found[0]}")
    assert named > 10
    assert wrong == []
