# SPDX-License-Identifier: Apache-2.0
"""SQL and words for a database's administrator, written once with their comments in both languages. Pure.

Invariant: what is not a comment is the same in both, for it stands there once.
"""

from terminal.language import Text

_ZH, _EN = "zh|", "en|"


def in_both(template: str) -> Text:
    r"""Give the lines of `template` by language: `zh|` and `en|` begin those of one of them, the others are of both.

    A Chinese line never ends in a Chinese character: where a pipe takes UTF-8 for GBK (PowerShell 5), the last byte of such a
    line would take the line end with it, and the comment the statement after it.

    >>> in_both("zh|-- 只读：\nen|-- Only to read:\nGRANT SELECT;\n")
    Text(zh='-- 只读： \nGRANT SELECT;\n', en='-- Only to read:\nGRANT SELECT;\n')
    """
    lines = template.split("\n")
    return Text(
        zh="\n".join(_close(line.removeprefix(_ZH)) for line in lines if not line.startswith(_EN)),
        en="\n".join(line.removeprefix(_EN) for line in lines if not line.startswith(_ZH)),
    )


def _close(line: str) -> str:
    return line if line[-1:].isascii() else line + " "
