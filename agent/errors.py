# SPDX-License-Identifier: Apache-2.0
"""The errors of the agent, drawn as one tree; each says what the caller can do.

AgentError                   (terminal.OperatorError: message, hint, code, exit code)
├── SourceError              the source cannot be read as it is: a person mends rights, name, server
│   ├── SourceDownError      nobody answers, or the connection broke: try again later
│   ├── LoginError           the password or the account is refused: do not try again by itself
│   │   └── LoginsStoppedError   the same password was refused twice: no further try until it is another
│   ├── BudgetError          a limit protecting the live system was reached: read at a quieter hour
│   ├── CommandFailedError   a dump command failed, or left nothing: see what it said
│   └── DriverError          a driver's own process died, hung or sent too much: update the driver
├── PausedError              the operator has paused the agent, or it is quiet hours: later
├── TableLostError           one table cannot be read (rights, dropped, altered): omit it, say so, go on
├── SourceChangedError       what was read is not one state: read again
├── BusyError                another run of the source is under way: wait
├── SpoolError               the agent's own folder is full or damaged: make room
├── CenterError…             see below: what the center's answers mean to the agent
│   ├── CenterDownError      no line, or the center is busy: try again later; nothing is lost
│   ├── CenterRefusedError   the center refused for a reason that will not go away by itself
│   └── PinError             the other end is not the center of the enrolment code: stop, call the archives
├── ReceiptError             a receipt or checkpoint does not verify: keep everything, call the archives
├── EnrolmentError           this folder is not enrolled, or the code is wrong
├── ServiceError             the machine's service manager refuses, or is not there: run as its administrator
└── SecretError              a password is not there, or others can read the file it is in
"""

from terminal.errors import EXIT_RETRY, EXIT_USAGE, OperatorError
from terminal.language import Text


class AgentError(OperatorError):
    """Root of the agent's errors."""

    code = "JS-2000"


class SourceError(AgentError):
    """The source cannot be read as it is."""

    code = "JS-2100"


class SourceDownError(SourceError):
    """Nobody answers at the source, or the connection broke."""

    code = "JS-2101"
    exit_code = EXIT_RETRY


class LoginError(SourceError):
    """The source refused the account or its password."""

    code = "JS-2102"


class BudgetError(SourceError):
    """A limit that protects the live system was reached."""

    code = "JS-2103"
    exit_code = EXIT_RETRY


class LoginsStoppedError(LoginError):
    """The source has refused the same account and password twice; nobody tries again until they are others."""

    code = "JS-2105"


class PausedError(AgentError):
    """The operator has paused the agent, or it is quiet hours."""

    code = "JS-2104"
    exit_code = EXIT_RETRY


class CommandFailedError(SourceError):
    """A dump command ended with a failure, or says that it succeeded and left no dump."""

    code = "JS-2130"


class DriverError(SourceError):
    """The process that holds a driver died, gave no answer, or sent what it must not; the agent goes on."""

    code = "JS-2140"
    exit_code = EXIT_RETRY


class TableLostError(AgentError):
    """One table cannot be read: no rights, dropped or altered. Attribute: `reason`, one line for the manifest."""

    code = "JS-2110"

    def __init__(self, message: str, *, hint: str, reason: str) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class SourceChangedError(AgentError):
    """What was read is not one state of the source."""

    code = "JS-2111"
    exit_code = EXIT_RETRY


class BusyError(AgentError):
    """Another run of the source is under way."""

    code = "JS-2120"
    exit_code = EXIT_RETRY


class SpoolError(AgentError):
    """The agent's own folder is full or damaged."""

    code = "JS-2200"


class CenterDownError(AgentError):
    """The center cannot be reached or is busy; nothing is lost."""

    code = "JS-2300"
    exit_code = EXIT_RETRY


class CenterRefusedError(AgentError):
    """The center refused. Attribute: `refusal`, the center's own code, such as JS-3103."""

    code = "JS-2301"

    def __init__(self, message: str | Text, *, hint: str | Text, refusal: str = "") -> None:
        super().__init__(message, hint=hint)
        self.refusal = refusal


class PinError(AgentError):
    """The other end does not hold the key that the enrolment code names."""

    code = "JS-2302"


class ReceiptError(AgentError):
    """A receipt or checkpoint from the center does not verify."""

    code = "JS-2303"


class EnrolmentError(AgentError):
    """The agent is not enrolled, or the code is wrong."""

    code = "JS-2310"
    exit_code = EXIT_USAGE


class SecretError(AgentError):
    """A password is not there, cannot be kept, or lies where others can read it."""

    code = "JS-2320"
    exit_code = EXIT_USAGE


class ServiceError(AgentError):
    """The machine's service manager refuses, or this machine has none that is known."""

    code = "JS-2430"
