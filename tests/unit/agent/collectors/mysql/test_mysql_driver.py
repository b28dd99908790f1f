# SPDX-License-Identifier: Apache-2.0
"""The driver is needed by sources of its kind alone, and whoever lacks it is told what to install."""

import subprocess
import sys
from pathlib import Path

SOURCES = """sources:
- {name: pacs, kind: mysql, database: pacs, user: jinsuo}
- {name: lis, kind: sqlite, path: lis.db}
"""
PROGRAM = """
import sys
from pathlib import Path
sys.modules["MySQLdb"] = None
from agent.app import Agent
from agent.errors import SourceError
with Agent.open(Path(sys.argv[1])) as agent:
    agent.collector("lis")
    try:
        agent.collector("pacs")
    except SourceError as err:
        print(err, err.hint)
    print(*(f"{f.subject}: {f.severity.name}" for f in agent.check() if f.subject == "pacs"))
"""
LOADED = """
import sys
import agent.app, agent.cli.main
print(sorted(name for name in sys.modules if "mysql" in name.lower()))
"""


def run(program: str, *words: str) -> str:
    return subprocess.run([sys.executable, "-c", program, *words], capture_output=True, check=True, text=True).stdout


def test_source_without_its_driver_is_refused_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text(SOURCES)
    said = run(PROGRAM, str(tmp_path))
    assert "the driver that source 'pacs' needs cannot be loaded" in said
    assert "pip install 'jinsuo[mysql]'" in said
    assert "pacs: FAIL" in said


def test_driver_is_not_loaded_before_a_source_needs_it() -> None:
    assert run(LOADED) == "[]\n"
