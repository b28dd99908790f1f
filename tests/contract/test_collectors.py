# SPDX-License-Identifier: Apache-2.0
"""The contract of collectors, over one harness per source."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.collectors.base import Collector
from agent.collectors.command import CommandCollector, CommandSettings, Output
from agent.collectors.files import FilesCollector, FilesSettings
from tests.contract.collectors import CollectorContract, Harness
from tests.contract.odbc_harnesses import MariadbOverOdbc, PostgresqlOverOdbc, SqliteOverOdbc
from tests.contract.sqlite_harness import SqliteHarness


class FilesHarness:
    """A tree of scanned documents."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tree"
        for i in range(120):
            path = self._path / f"{i % 7}" / f"卷{i % 3}" / f"scan {i}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"%d" % i * i)
        (self._path / "0.txt").write_bytes(b"")
        (self._path / "0-").mkdir()
        (self._path / "link").symlink_to("0.txt")
        if os.name != "nt":
            (self._path / os.fsdecode(b"caf\xe9\n\t\\")).write_bytes(b"odd")
        os.utime(self._path / "0.txt", ns=(0, -1))

    def collector(self) -> Collector:
        return FilesCollector(FilesSettings(self._path), pause=lambda _: None)

    def missing(self) -> Collector:
        return FilesCollector(FilesSettings(self._path / "gone"))

    def transfer(self) -> None:
        raise AssertionError("a tree has no accounts")

    def balances(self) -> tuple[str, ...]:
        return ()

    def trace(self) -> object:
        return sorted(
            (os.fsencode(path), path.lstat()[:-3], path.lstat().st_mtime_ns, path.lstat().st_ctime_ns)
            for path in self._path.rglob("*")
        )

    def check_released(self) -> None:
        if Path("/proc/self/fd").exists():
            opened = [fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
            assert not [path for path in opened if path.is_relative_to(self._path)]
        self._path.rename(self._path.with_name("moved")).rename(self._path)

    def grow(self, size_bytes: int) -> str:
        with (self._path / "huge.bin").open("wb") as file:
            file.truncate(size_bytes // 2)
        folder = self._path / ("n" * 200)
        folder.mkdir()
        for i in range(min(3000, size_bytes // 1000)):
            (folder / f"{'r' * 200}{i}").touch()
        return "@files"

    def close(self) -> None:
        pass


_DUMP = """
import json, sys
for name, size in json.load(open(sys.argv[1], encoding="utf-8")):
    with open(f"{sys.argv[2]}/{name}.dmp", "wb") as file:
        for at in range(0, size, 1 << 20):
            file.write(bytes(min(1 << 20, size - at)))
print("done", file=sys.stderr)
"""


class CommandHarness:
    """A command that leaves a file for each table of its source, which is a list of names and sizes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._source = folder / "source.json"
        self._dumps = folder / "dumps"
        self._dumps.mkdir()
        (self._dumps / "old.dmp").write_bytes(b"last week's")
        self._tables: list[tuple[str, int]] = [(f"表 {i * 37 % 120}", i * 1000) for i in range(1, 121)]
        self._save()

    def _save(self) -> None:
        self._source.write_text(json.dumps(self._tables), encoding="utf-8")

    def collector(self) -> Collector:
        argv = (sys.executable, "-I", "-S", "-c", _DUMP, str(self._source), str(self._dumps))
        path = self._dumps / "*.dmp"
        return CommandCollector(CommandSettings(argv, "his", output=Output.FILE, path=path, remove=True), {})

    def missing(self) -> Collector:
        return CommandCollector(CommandSettings((str(self._folder / "gone"),), "his"), {})

    def transfer(self) -> None:
        raise AssertionError("a dump has no accounts")

    def balances(self) -> tuple[str, ...]:
        return ()

    def trace(self) -> object:
        return sorted((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in self._folder.rglob("*") if p.is_file())

    def check_released(self) -> None:
        assert not [path for path in self._dumps.iterdir() if path.name != "old.dmp"]
        if Path("/proc").exists():
            words = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.is_file()]
            assert not [line for line in words if os.fsencode(self._source) in line]

    def grow(self, size_bytes: int) -> str:
        self._tables.append(("huge", size_bytes // 2))
        self._tables += [(f"{'r' * 240}{i}", 1) for i in range(min(5000, size_bytes // 1000))]
        self._save()
        return "@files"

    def close(self) -> None:
        pass


def _over_odbc(made: Callable[..., Harness], request: pytest.FixtureRequest, server: str) -> Harness:
    return made(request.getfixturevalue(f"{server}_server"), request.getfixturevalue(f"{server}_database"))


# A source with a server takes it from the request's fixtures.
HARNESSES: dict[str, Callable[[pytest.FixtureRequest, Path], Harness]] = {
    "sqlite": lambda _, folder: SqliteHarness(folder),
    "files": lambda _, folder: FilesHarness(folder),
    "command": lambda _, folder: CommandHarness(folder),
    "sqlite over odbc": lambda _, folder: SqliteOverOdbc(folder),
    "postgresql over odbc": lambda request, _: _over_odbc(PostgresqlOverOdbc, request, "postgres"),
    "mariadb over odbc": lambda request, _: _over_odbc(MariadbOverOdbc, request, "mariadb"),
}


@pytest.fixture(params=sorted(HARNESSES))
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    made = HARNESSES[request.param](request, tmp_path)
    yield made
    made.close()


class TestCollectors(CollectorContract):
    """Every source keeps the contract."""
