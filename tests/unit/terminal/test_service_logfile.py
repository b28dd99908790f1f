# SPDX-License-Identifier: Apache-2.0
"""A log file that stays bounded for years."""

import threading
from pathlib import Path

import pytest

from terminal.service.logfile import RotatingText


def test_lines_are_there_at_once_and_an_older_file_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "service.log"
    with RotatingText(path) as log:
        print("第一", file=log)
        assert path.read_text(encoding="utf-8") == "第一\n"
    with RotatingText(path) as log:
        print("second", file=log)
    assert path.read_text(encoding="utf-8") == "第一\nsecond\n"


def test_full_file_makes_way_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "service.log"
    with RotatingText(path, most_bytes=10, kept=2) as log:
        for number in range(5):
            print(f"line {number} 0123456789", file=log)
        print("last", file=log)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["service.log", "service.log.1", "service.log.2"]
    assert [each.read_text().split(" 0")[0].strip() for each in sorted(tmp_path.iterdir())] == [
        "last",
        "line 4",
        "line 3",
    ]


def test_a_line_written_in_parts_is_not_torn_over_two_files(tmp_path: Path) -> None:
    path = tmp_path / "service.log"
    with RotatingText(path, most_bytes=4) as log:
        print("one", "two", "three", file=log)
        print("four", file=log)
    assert (tmp_path / "service.log.1").read_text() in ("one two three\n", "four\n")
    assert "one two three\n" in [each.read_text() for each in tmp_path.iterdir()]


def test_disk_that_takes_nothing_does_not_end_the_daemon(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.fail("this system has no /dev/full")
    (tmp_path / "service.log").symlink_to("/dev/full")
    log = RotatingText(tmp_path / "service.log")
    print("lost", file=log)
    log.flush()


def test_lines_of_many_threads_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "service.log"
    with RotatingText(path, most_bytes=1000, kept=1000) as log:

        def write(name: int) -> None:
            for number in range(200):
                log.write(f"{name} {number}\n")

        threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = [line for each in tmp_path.iterdir() for line in each.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{name} {number}" for name in range(4) for number in range(200))
    assert max(each.stat().st_size for each in tmp_path.iterdir()) < 1020
