# SPDX-License-Identifier: Apache-2.0
"""Texts in Chinese and English, and which of them a person reads. Asks the environment once, at `choose_language`."""

import locale
import os
from enum import StrEnum
from typing import Final, NamedTuple


class Language(StrEnum):
    """The languages of all user texts."""

    ZH = "zh"
    EN = "en"


class Text(NamedTuple):
    """One message in both languages."""

    zh: str
    en: str

    def into(self, language: Language) -> str:
        """Give the message in `language`."""
        return self.zh if language is Language.ZH else self.en


NOTHING: Final = Text("", "")
"""No words."""


def choose_language(asked: str | None) -> Language:
    """Give the language asked for, else the system's: Chinese if its locale is, English otherwise."""
    if asked is not None:
        return Language(asked)
    name = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    if not name and os.name == "nt":  # pragma: no cover
        name = locale.getlocale()[0] or ""
    return Language.ZH if name.lower().startswith(("zh", "chinese")) else Language.EN
