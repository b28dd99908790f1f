# SPDX-License-Identifier: Apache-2.0
"""Recovery data: what is planned is what the program writes, and it mends as much as was asked for."""

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evidence.errors import LimitError
from evidence.medium.recovery import (
    BEYOND,
    MOST_BLOCKS,
    MOST_FILE_BYTES,
    REPAIRED,
    create_command,
    find_program,
    plan_recovery,
    repair_command,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 5 << 20), max_size=100), st.integers(0, 100))
def test_a_plan_has_blocks_for_all_and_as_much_more_as_was_asked_for(sizes: list[int], percent: int) -> None:
    plan = plan_recovery(sizes, percent)
    if not percent or not any(sizes):
        assert plan is None
        return
    assert plan is not None
    assert plan.blocks == sum(-(-size // plan.block_size) for size in sizes) <= MOST_BLOCKS
    assert plan.block_size % 4 == 0
    assert plan.recovery_blocks * 100 >= plan.blocks * percent
    assert plan.size_bytes >= plan.recovery_blocks * plan.block_size


def test_more_files_than_par2_has_blocks_for_are_refused() -> None:
    assert plan_recovery([1] * MOST_BLOCKS, 10) is not None
    with pytest.raises(LimitError):
        plan_recovery([1] * (MOST_BLOCKS + 1), 10)


@pytest.mark.parametrize("file_bytes", [MOST_FILE_BYTES, 100_000])
@pytest.mark.parametrize("sizes", [[5], [3_000_000, 70_001, 54, 900_000], [4_100] * 250])
def test_the_program_writes_what_is_planned_and_mends_what_is_damaged(
    sizes: list[int], file_bytes: int, tmp_path: Path
) -> None:
    chance = random.Random(5)
    folder = tmp_path / "电子档案" / "2026"
    folder.mkdir(parents=True)
    bodies = {folder / f"{place:04}.pack": chance.randbytes(size) for place, size in enumerate(sizes)}
    for path, body in bodies.items():
        path.write_bytes(body)
    program, plan = find_program(), plan_recovery(sizes, 10, file_bytes=file_bytes)
    assert program is not None and plan is not None
    target = tmp_path / "recovery.par2"
    subprocess.run(create_command(program, plan, tmp_path, "电子档案", target), check=True, capture_output=True)
    written = [path.stat().st_size for path in tmp_path.glob("*.par2")]
    assert len(written) == plan.files + 1
    assert 0.7 * plan.size_bytes < sum(written) <= plan.size_bytes

    # As many blocks as there are recovery blocks, each hit once; or whole files gone, as long as they have no more.
    gone = list(bodies)[: max(1, plan.recovery_blocks * len(sizes) // plan.blocks // 2)]
    if -(-sizes[0] // plan.block_size) * len(gone) <= plan.recovery_blocks:
        for path in gone:
            path.unlink()
    else:
        largest = max(bodies, key=lambda path: len(bodies[path]))
        spoilt = bytearray(bodies[largest])
        for block in range(plan.recovery_blocks):
            spoilt[block * plan.block_size] ^= 1
        largest.write_bytes(spoilt)
    done = subprocess.run(repair_command(program, tmp_path, target), capture_output=True, check=False)
    assert done.returncode == REPAIRED, done.stdout
    assert {path: path.read_bytes() for path in bodies} == bodies


def test_damage_beyond_the_recovery_data_is_told_as_that(tmp_path: Path) -> None:
    folder = tmp_path / "电子档案"
    folder.mkdir()
    body = random.Random(6).randbytes(500_000)
    (folder / "a").write_bytes(body)
    program, plan = find_program(), plan_recovery([len(body)], 5)
    assert program is not None and plan is not None
    target = tmp_path / "recovery.par2"
    subprocess.run(create_command(program, plan, tmp_path, "电子档案", target), check=True, capture_output=True)
    (folder / "a").write_bytes(body[:250_000])
    done = subprocess.run(repair_command(program, tmp_path, target), capture_output=True, check=False)
    assert done.returncode == BEYOND
