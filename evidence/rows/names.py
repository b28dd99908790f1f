# SPDX-License-Identifier: Apache-2.0
r"""Names of tables: a source's own identifiers as one text, and back. Pure.

    name = identifiers joined by `.`; inside them `\` and `.` are written `\\` and `\.`; a leading `@` of the whole
    name is written `\@`, for names with a bare `@` (`@files`, `@blobs`) are ours. No Unicode normalisation.

One list of identifiers has one name: `parse_name` refuses every other spelling. Source: design section 2.
"""

import re
from collections.abc import Sequence

from evidence.errors import FormatError

_PART = re.compile(r"(?:[^\\.]|\\[\\.])*")


def encode_name(parts: Sequence[str]) -> str:
    r"""Join a source's identifiers, such as schema and table.

    >>> encode_name(["public", "a.b"]), encode_name(["@odd"])
    ('public.a\\.b', '\\@odd')
    """
    if not parts:
        raise FormatError("a table's name needs at least one identifier")
    name = ".".join(part.replace("\\", "\\\\").replace(".", "\\.") for part in parts)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as err:
        raise FormatError(f"the name {name!a} is not valid UTF-8; give the table a name with `as:`") from err
    return "\\" + name if name.startswith("@") else name


def parse_name(name: str) -> list[str]:
    r"""Split what `encode_name` wrote. Raises: FormatError, also for names of our own (`@…`).

    >>> parse_name("public.a\\.b")
    ['public', 'a.b']
    """
    rest = name[1:] if name.startswith("\\@") else name
    parts: list[str] = []
    at = 0
    while True:
        match = _PART.match(rest, at)
        assert match is not None
        parts.append(re.sub(r"\\(.)", r"\1", match[0]))
        at = match.end()
        if at == len(rest):
            break
        if rest[at] != ".":
            raise FormatError(f"the name {name!r} has a backslash that escapes nothing")
        at += 1
    if encode_name(parts) != name:
        raise FormatError(f"the name {name!r} is not the one spelling of a source's own name")
    return parts
