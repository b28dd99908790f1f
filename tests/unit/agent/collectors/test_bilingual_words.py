# SPDX-License-Identifier: Apache-2.0
"""SQL with comments in two languages: the SQL stands there once, and no pipe makes a comment of it."""

import re

import pytest

from agent.collectors.bilingual import in_both
from agent.collectors.odbc.dialects import DIALECTS
from agent.collectors.sqlserver.dialect import SQLSERVER


def test_a_line_is_of_one_language_or_of_both() -> None:
    words = in_both("zh|-- 甲\nen|-- a\nGRANT SELECT;\n  zh|kept\n")
    assert words.zh == "-- 甲 \nGRANT SELECT;\n  zh|kept\n"
    assert words.en == "-- a\nGRANT SELECT;\n  zh|kept\n"


@pytest.mark.parametrize("dialect", [*DIALECTS.values(), SQLSERVER], ids=lambda dialect: dialect.name)
def test_every_dialect_has_its_comments_in_both_languages(dialect) -> None:  # type: ignore[no-untyped-def]  # a dialect
    zh, en = in_both(dialect.grants)
    assert zh != en
    assert not re.search("[一-鿿]", en)
    assert [line for line in zh.splitlines() if not line.startswith("--")] == [
        line for line in en.splitlines() if not line.startswith("--")
    ]
    # Read as GBK, as a pipe of PowerShell 5 may, every line still ends where it ended.
    for text in (zh, en):
        assert text.encode().decode("gbk", "replace").count("\n") == text.count("\n")
        assert all(line[-1:].isascii() for line in text.splitlines())
