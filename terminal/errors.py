# SPDX-License-Identifier: Apache-2.0
"""Errors that a command shows a person, and the exit codes. The roots of both sides' error trees derive from here.

Exit codes: 0 done · 1 refused, damaged or failed · 2 cannot tell, or try again later · 64 wrong usage or settings ·
70 an error of the program itself · 130 interrupted by the person · 141 whoever read our output went away.
"""

from typing import ClassVar

from terminal.language import Language, Text

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_RETRY = 2
EXIT_USAGE = 64
EXIT_UNEXPECTED = 70
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141


class OperatorError(Exception):
    """Something went wrong that a person can act on.

    The message is one sentence: what happened, to what. `hint` says what to do next. Either may be a `Text`; then
    `str()` and `.hint` give the English one, `sentence` and `advice` the reader's. `code` can be read over a phone;
    `exit_code` is the command's.
    """

    code: ClassVar[str] = "JS-0001"
    exit_code: ClassVar[int] = EXIT_FAILED

    def __init__(self, message: str | Text, *, hint: str | Text) -> None:
        self._message = message
        self._hint = hint
        super().__init__(message.en if isinstance(message, Text) else message)
        self.hint = hint.en if isinstance(hint, Text) else hint

    @property
    def message(self) -> str | Text:
        """What happened, in all languages in which it is known; to be handed on."""
        return self._message

    @property
    def remedy(self) -> str | Text:
        """What to do next, in all languages in which it is known; to be handed on."""
        return self._hint

    def sentence(self, language: Language) -> str:
        """Give what happened, in the reader's language if it is known in it."""
        return self._message.into(language) if isinstance(self._message, Text) else str(self)

    def advice(self, language: Language) -> str:
        """Give what to do next, in the reader's language if it is known in it."""
        return self._hint.into(language) if isinstance(self._hint, Text) else self.hint


def words_of(said: Exception | Text | str) -> Text:
    """Give what was said, in both languages where it is known in both; the words of libraries as they are.

    Errors of `evidence` speak English, and bring what their kind means in Chinese as `meaning_zh`.
    """
    words = said.message if isinstance(said, OperatorError) else said
    if isinstance(words, Text):
        return words
    meaning = getattr(said, "meaning_zh", None)
    return Text(zh=str(words) if meaning is None else f"{meaning}：{words}", en=str(words))


class UnexpectedError(OperatorError):
    """The program itself erred; the trace lies in a file for whoever mends it."""

    code = "JS-0000"
    exit_code = EXIT_UNEXPECTED


class SystemRefusedError(OperatorError):
    """The operating system refused: a file that is not there, no rights, no room, an address in use."""

    code = "JS-0002"


class UsageError(OperatorError):
    """The command line is wrong."""

    code = "JS-0064"
    exit_code = EXIT_USAGE


class SettingsError(OperatorError):
    """A settings file is wrong: which file, which key, which line, and what was probably meant.

    Attributes: `path` (as given), `line` (from 1, or None), `key` (dotted, or "").
    """

    code = "JS-0065"
    exit_code = EXIT_USAGE

    def __init__(
        self, message: str | Text, *, hint: str | Text, path: str = "", line: int | None = None, key: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.line = line
        self.key = key
