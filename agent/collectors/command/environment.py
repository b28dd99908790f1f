# SPDX-License-Identifier: Apache-2.0
"""What a command finds in its environment, and which words never show in what is kept of its own. Pure.

A dump command gets a handful of the system's variables and what the settings give it: not the agent's passwords, nor
another source's.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

_PASSED: Final = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ", "TMPDIR",
        "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE", "USERNAME",
        "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)", "COMMONPROGRAMFILES",
        "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE",
    }
)  # fmt: skip
_ENCODINGS: Final = ("utf-8", "utf-16-le", "gb18030")
"""In what a password may come back: as it was given, as Windows' wide text, as a Chinese console writes it."""
MASKED: Final = b"***"


def child_environment(system: Mapping[str, str], given: Mapping[str, str], default_path: str) -> dict[str, str]:
    """Give the environment of a command: the few of `system` that programs need to run at all, then `given`."""
    passed = {name: value for name, value in system.items() if name.upper() in _PASSED}
    passed.setdefault("PATH", default_path)
    return passed | dict(given)


class Mask:
    """Take secrets out of texts. Knows each in the encodings that a command may print it in."""

    def __init__(self, secrets: Iterable[str]) -> None:
        words = {word for secret in secrets if secret for word in _spellings(secret)}
        self.longest = max(map(len, words), default=0)
        """Bytes; whoever cuts a text must look so far beyond the cut, or half a secret remains."""
        # The longest first: a secret may begin with another.
        ordered = sorted(words, key=lambda word: (-len(word), word))
        self._pattern = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None

    def apply(self, raw: bytes, begin: int = 0) -> bytes:
        """Give `raw` from `begin` on, each secret replaced; one that `begin` cuts is replaced, too."""
        parts: list[bytes] = []
        at = begin
        for found in self._pattern.finditer(raw) if self._pattern else ():
            if found.end() > begin:
                parts += [raw[at : found.start()], MASKED]
                at = found.end()
        return b"".join([*parts, raw[at:]])


def _spellings(secret: str) -> Iterable[bytes]:
    for encoding in _ENCODINGS:
        try:
            yield secret.encode(encoding)
        except UnicodeEncodeError:
            continue
