# SPDX-License-Identifier: Apache-2.0
"""`enroll --code FILE`: the file that came with the letter, or one that is something else."""

from pathlib import Path

import pytest

from agent.cli.enroll import _read_code
from agent.errors import EnrolmentError
from evidence.wire.enrolment import EnrolmentCode, encode_code_file
from terminal.language import Language
from terminal.printer import Printer


def test_file_of_the_letter_is_read_as_the_code_itself(tmp_path: Path) -> None:
    code = EnrolmentCode(bytes(16), bytes(16), bytes(range(16)))
    path = tmp_path / "X013.code"
    path.write_bytes(b"\xef\xbb\xbf" + encode_code_file(code))
    assert _read_code(str(path), Printer(Language.EN)) == code.encode()
    assert _read_code(code.encode(), Printer(Language.EN)) == code.encode()


@pytest.mark.parametrize("raw", [b"\xff\xfe not text", b"JS1-TYPO", b"x" * 100_000])
def test_file_that_holds_no_code_is_refused_with_its_name(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "X013.code"
    path.write_bytes(raw)
    with pytest.raises(EnrolmentError, match="holds no enrolment code") as caught:
        _read_code(str(path), Printer(Language.EN))
    assert "letter" in caught.value.hint
