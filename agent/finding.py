# SPDX-License-Identifier: Apache-2.0
"""One line of `jinsuo-agent check`. The doctor makes findings about settings, collectors about their sources."""

from dataclasses import dataclass
from enum import StrEnum

from terminal.language import Language, Text


class Severity(StrEnum):
    """How `check` rates a finding."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"
    NOT_EXAMINED = "NOT EXAMINED"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was examined, how it stands, what to do. `subject` is short: `spool`, `his: rights`.

    `code`: of the error that it comes from, or "": so that a refused login is known as one.
    """

    severity: Severity
    subject: str
    message: str | Text
    hint: str | Text = ""
    code: str = ""

    def sentence(self, language: Language) -> str:
        """Give how it stands, in the reader's language if it is known in it."""
        return self.message.into(language) if isinstance(self.message, Text) else self.message

    def advice(self, language: Language) -> str:
        """Give what to do, in the reader's language if it is known in it; "" if nothing."""
        return self.hint.into(language) if isinstance(self.hint, Text) else self.hint
