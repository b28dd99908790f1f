# SPDX-License-Identifier: Apache-2.0
"""Numbered steps of an examination: what became of each is recorded, and a step that does not hold ends it. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from evidence.errors import EvidenceError, MissingObjectError, UnknownSignerError, UnsupportedError
from evidence.verify.report import Message, Outcome, Step

_CANNOT_TELL = (UnknownSignerError, UnsupportedError, MissingObjectError)


class ExaminationEnded(Exception):
    """A step did not hold, or could not tell, and the next ones would have nothing to stand on."""


@dataclass(slots=True)
class OpenStep:
    """A step being taken."""

    outcome: Outcome = Outcome.HOLDS
    finding: Message = field(default_factory=lambda: Message("", ""))

    def found(self, zh: str, en: str) -> None:
        """Say what was found."""
        self.finding = Message(zh, en)

    def unsure(self, zh: str, en: str) -> None:
        """Say why the step cannot tell; the examination goes on."""
        self.outcome, self.finding = Outcome.UNKNOWN, Message(zh, en)


class Steps:
    """Numbers the steps and records what became of them."""

    def __init__(self) -> None:
        self.taken: list[Step] = []

    @contextmanager
    def take(self, zh: str, en: str) -> Iterator[OpenStep]:
        """Take the next step; its title in Chinese and English.

        Raises: ExaminationEnded if the step raised an EvidenceError, which is recorded.
        """
        step = OpenStep()
        try:
            yield step
        except EvidenceError as err:
            step.outcome = Outcome.UNKNOWN if isinstance(err, _CANNOT_TELL) else Outcome.FAILS
            step.found(f"{err.meaning_zh}：{err}（{err.code}）", f"{err} ({err.code})")
            raise ExaminationEnded from err
        finally:
            self.taken.append(Step(len(self.taken) + 1, Message(zh, en), step.outcome, step.finding))
