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
│   ├── WindowOverError      the window of the schedule is over: in the next one
│   └── StoppedError         the daemon ends, or something more urgent is due: nothing is lost
├── TableLostError           one table cannot be read (rights, dropped, altered): omit it, say so, go on
│   └── TableBusyError       others need it now: read it after the others, then omit it
├── SourceChangedError       what was read is not one state: read again
├── BusyError                another run of the source is under way: wait
├── SpoolError               the agent's own folder is full or damaged: make room
│   └── SpoolFullError       there is no room for new content; what waits stays, and a gap will say so
├── CenterError…             see below: what the center's answers mean to the agent
│   ├── CenterDownError      no line, or the center is busy: try again later; nothing is lost
│   │   └── DropBoxError     the drop box cannot be read or written: mend its folder, or wait for its server
│   ├── CenterRefusedError   the center refused for a reason that will not go away by itself
│   └── PinError             the other end is not the center of the enrolment code: stop, call the archives
├── ReceiptError             a receipt or checkpoint does not verify: keep everything, call the archives
├── MediumError              an offline medium cannot be written as asked: a person mends size, room, program
│   ├── MediumDamagedError   what was written does not read back: take another medium
│   └── MediumUnknownError   a file from the way back is not about a medium of this agent
├── KeyChangeError           the agent's key cannot be replaced as things are
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


class WindowOverError(PausedError):
    """The window of the schedule ended while the source was being read."""

    code = "JS-2400"


class StoppedError(PausedError):
    """The daemon was told to stop, or has something more urgent to do."""

    code = "JS-2401"


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

    def __init__(self, message: Text, *, hint: Text, reason: str) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class TableBusyError(TableLostError):
    """One table cannot be read now, for others need it; later in the same run it may be."""


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


class SpoolFullError(SpoolError):
    """The spool or its volume is at its limit: nothing new is taken until there is room."""

    code = "JS-2410"
    exit_code = EXIT_RETRY


class CenterDownError(AgentError):
    """The center cannot be reached or is busy; nothing is lost. Attribute: `refusal`, its code if it has answered."""

    code = "JS-2300"
    exit_code = EXIT_RETRY

    def __init__(self, message: str | Text, *, hint: str | Text, refusal: str = "") -> None:
        super().__init__(message, hint=hint)
        self.refusal = refusal


class DropBoxError(CenterDownError):
    """A drop box cannot be read or written; what was to go there waits in the spool."""

    code = "JS-2340"


class CenterRefusedError(AgentError):
    """The center refused. Attribute: `refusal`, the center's own code, such as JS-3103."""

    code = "JS-2301"

    def __init__(self, message: str | Text, *, hint: str | Text, refusal: str = "") -> None:
        super().__init__(message, hint=hint)
        self.refusal = refusal


class PinError(AgentError):
    """The other end does not hold the key that the enrolment code names."""

    code = "JS-2302"


class HostKeyError(PinError):
    """The SSH server holds another host key than the settings name."""

    code = "JS-2330"


class SshLoginError(CenterRefusedError):
    """The SSH server does not take this agent's key."""

    code = "JS-2331"


class ForwardError(CenterRefusedError):
    """The SSH server took the key, and will not connect it to the center."""

    code = "JS-2332"


class RoadError(AgentError):
    """The road that the settings name cannot be used as it is: no key, no library, or it is not meant for this."""

    code = "JS-2333"
    exit_code = EXIT_USAGE


class ProxyError(CenterRefusedError):
    """The proxy refuses to let this agent through to the center."""

    code = "JS-2334"


class ReceiptError(AgentError):
    """A receipt or checkpoint from the center does not verify."""

    code = "JS-2303"


class MediumError(AgentError):
    """An offline medium cannot be written as asked."""

    code = "JS-2420"


class MediumDamagedError(MediumError):
    """What was written on a medium does not read back."""

    code = "JS-2421"


class MediumUnknownError(MediumError):
    """A receipt or a list of what is lacking is not about a medium that this agent has written, or its packs are gone."""

    code = "JS-2422"


class EnrolmentError(AgentError):
    """The agent is not enrolled, or the code is wrong."""

    code = "JS-2310"
    exit_code = EXIT_USAGE


class KeyChangeError(AgentError):
    """The agent's key cannot be replaced as things are."""

    code = "JS-2411"


class SecretError(AgentError):
    """A password is not there, cannot be kept, or lies where others can read it."""

    code = "JS-2320"
    exit_code = EXIT_USAGE


class NotTheServiceError(SecretError):
    """A password that systemd gives the service alone; whether it is right is not seen from here."""


class ServiceError(AgentError):
    """The machine's service manager refuses, or this machine has none that is known."""

    code = "JS-2430"
