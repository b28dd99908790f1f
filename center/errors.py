# SPDX-License-Identifier: Apache-2.0
"""The errors of the center, drawn as one tree. `status` is what the receiver answers; `code` goes with it.

CenterError
├── RefusedError 400         what was sent cannot be admitted; the same bytes will be refused again
│   ├── PackError 422        a pack or an object in it is damaged or not of this source
│   ├── StatementError 422   a statement's content does not hold (not the one tree, false root, wrong previous)
│   └── BagError 422         a bag is forged, not for this center, or leads out of itself
├── ConflictError 409        another statement has this sequence; logged
├── UnauthorizedError 401    no token, or a false, late or used one
├── ForbiddenError 403       the unit is disabled, or asks for what is another's
├── NotFoundError 404        no such unit, source, statement, table or row
├── TooLargeError 413        a body is over its bound; it was not read
├── BusyError 429            more requests than are taken at once: try again later
├── HeldError 503            the ledger has stopped signing until an operator has looked
├── FullError 507            the disk is full; nothing was admitted
├── ServedError 500          another daemon serves this center: stop that one first
├── ServiceError 500         the machine's service manager refuses, or is not there
├── StoreError 500           what is stored is damaged or missing: run `audit`
│   └── LostError 500        for good, whatever the device does next: only who sent it can help
├── MediumError 500          an offline medium cannot be read: mend the path, take another copy
├── InboxError 500           a drop box cannot be read or written: mend its rights, or the settings
└── TargetError 500          a target of a restore refuses, or is not empty: mend the target
"""

from typing import ClassVar

from terminal.errors import EXIT_RETRY, EXIT_USAGE, OperatorError
from terminal.language import Text


class CenterError(OperatorError):
    """Root of the center's errors."""

    code = "JS-3000"
    status: ClassVar[int] = 500


class RefusedError(CenterError):
    """What was sent cannot be admitted."""

    code = "JS-3100"
    status = 400


class PackError(RefusedError):
    """A pack, or an object in it, is damaged or not of this source."""

    code = "JS-3101"
    status = 422


class StatementError(RefusedError):
    """What a statement claims does not hold."""

    code = "JS-3102"
    status = 422


class BagError(RefusedError):
    """A bag cannot be taken in: forged, sealed to another key, or not made of files alone."""

    code = "JS-3110"
    status = 422


class ConflictError(CenterError):
    """Another statement was admitted under this sequence."""

    code = "JS-3103"
    status = 409


class UnauthorizedError(CenterError):
    """No token, or a false, late or used one."""

    code = "JS-3104"
    status = 401


class ForbiddenError(CenterError):
    """The unit is disabled, or asks for what is another's."""

    code = "JS-3105"
    status = 403


class NotFoundError(CenterError):
    """No such unit, source, statement, table or row."""

    code = "JS-3106"
    status = 404
    exit_code = EXIT_USAGE


class TooLargeError(CenterError):
    """A body is over its bound; it was not read."""

    code = "JS-3107"
    status = 413


class BusyError(CenterError):
    """More requests than are taken at once."""

    code = "JS-3108"
    status = 429
    exit_code = EXIT_RETRY


class HeldError(CenterError):
    """The ledger has stopped signing."""

    code = "JS-3200"
    status = 503
    exit_code = EXIT_RETRY


class FullError(CenterError):
    """The disk is full; nothing was admitted."""

    code = "JS-3201"
    status = 507
    exit_code = EXIT_RETRY


class StoreError(CenterError):
    """What is stored is damaged or missing."""

    code = "JS-3202"


class LostError(StoreError):
    """Bytes are in the store no more, or are others than were stored.

    Attribute: `pack`, the name of the pack that is to be doubted, where it was one.
    """

    def __init__(self, message: str | Text, *, hint: str | Text, pack: str = "") -> None:
        super().__init__(message, hint=hint)
        self.pack = pack


class ServedError(CenterError):
    """Another daemon serves this center."""

    code = "JS-3205"


class MediumError(CenterError):
    """There is no offline medium where one is named, or its copy cannot be written."""

    code = "JS-3120"
    exit_code = EXIT_USAGE


class InboxError(CenterError):
    """A drop box cannot be read or written."""

    code = "JS-3111"


class ServiceError(CenterError):
    """The machine's service manager refuses, or this machine has none that is known."""

    code = "JS-3230"


class TargetError(CenterError):
    """A target of a restore refuses what it is given, or is not empty."""

    code = "JS-3300"
