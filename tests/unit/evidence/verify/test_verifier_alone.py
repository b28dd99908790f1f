# SPDX-License-Identifier: Apache-2.0
"""The verifier needs the standard library and four packages: run in an environment that has nothing else."""

import importlib.util
import json
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.builders.bundles import POLICY_TEXT, ROW_SECRET, make_bundle

ROOT = Path(__file__).parents[4]
NEEDED = ("blake3", "cryptography", "zstandard", "rfc3161-client", "cffi", "pycparser")
"""The four, and what cryptography itself is built on."""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the interpreter of a fresh environment with the four packages, as installed here, and `evidence` alone."""
    folder = tmp_path_factory.mktemp("alone")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    for name in NEEDED:
        _link_distribution(name, Path(purelib))
    (Path(purelib) / "evidence").symlink_to(ROOT / "evidence", target_is_directory=True)
    return python


def _link_distribution(name: str, target: Path) -> None:
    """Link the top-level files and folders of an installed distribution into `target`."""
    if name in ("cffi", "pycparser") and importlib.util.find_spec(name) is None:
        return
    found = distribution(name)
    for top in {Path(str(file)).parts[0] for file in found.files or []} - {"..", "__pycache__"}:
        source = Path(str(found.locate_file(top)))
        if not (target / top).exists():
            (target / top).symlink_to(source, target_is_directory=source.is_dir())


FOREIGN = (
    "numpy", "pyarrow", "datafusion", "yaml", "pydantic", "rich", "sqlalchemy", "httpcore", "paramiko", "granian", "psycopg2",
    "terminal", "agent", "center",
)  # fmt: skip


def run(python: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [python, "-I", "-W", "error", "-X", "utf8", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_bundle_is_verified_where_nothing_else_is_installed(python: Path, tmp_path: Path) -> None:
    (tmp_path / "b.jinsuo").write_bytes(make_bundle().encode())
    (tmp_path / "policy").write_text(POLICY_TEXT, encoding="utf-8")

    done = run(
        python, "-m", "evidence.verify.command", tmp_path / "b.jinsuo", "--policy", tmp_path / "policy", "--lang", "zh"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "结论：成立" in done.stdout


def test_table_root_is_computed_where_nothing_else_is_installed(python: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(ROW_SECRET.hex())
    (tmp_path / "lines").write_bytes(b"".join(b"%d\n" % i for i in range(5000)))

    done = run(
        python, "-m", "evidence.verify.command", "table-root", "--row-secret", tmp_path / "secret", tmp_path / "lines"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["rows"] == 5000


def test_the_fresh_environment_has_nothing_else(python: Path) -> None:
    for name in FOREIGN:
        assert run(python, "-c", f"import {name}").returncode == 1, name


def test_verifying_imports_none_of_what_the_daemons_need(tmp_path: Path) -> None:
    """Where all is installed, the verifier still loads only the few, and the reference alone."""
    (tmp_path / "secret").write_text(ROW_SECRET.hex())
    (tmp_path / "lines").write_bytes(b"x\n" * 40_000)
    (tmp_path / "b.jinsuo").write_bytes(make_bundle().encode())
    (tmp_path / "policy").write_text(POLICY_TEXT, encoding="utf-8")
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from evidence.verify.command import main\n"
        f"assert main(['table-root', '--row-secret', {str(tmp_path / 'secret')!r}, {str(tmp_path / 'lines')!r}]) == 0\n"
        f"assert main([{str(tmp_path / 'b.jinsuo')!r}, '--policy', {str(tmp_path / 'policy')!r}]) == 0\n"
        "loaded = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(*sorted(loaded), file=sys.stderr)\n"
    )

    done = run(Path(sys.executable), "-c", program)

    assert done.returncode == 0, done.stderr
    assert not set(FOREIGN) & set(done.stderr.split())
