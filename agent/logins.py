# SPDX-License-Identifier: Apache-2.0
"""Two refused logins stop the third: an account that gets locked shall not be the agent's doing.

    logins/SOURCE.json    {"salt": hex, "credentials": scrypt(salt, account and secret), "refusals": n}

Counted are refusals in a row of the same account with the same secret, over all processes. Another secret, user or address gives
another digest and so a fresh count; a login that succeeds removes the file. The secret itself stands nowhere, and what does
cannot be tried out quickly. Source: decision 0045.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.errors import LoginsStoppedError
from evidence.disk import write_over
from terminal.language import Text

MOST_REFUSALS: Final = 2


@dataclass(frozen=True, slots=True)
class _Refused:
    salt: bytes
    credentials: bytes
    refusals: int


class LoginGuard:
    """The refusals of one source. `credentials`: all that a login is made of; `reference`: where its secret is set."""

    def __init__(self, folder: Path, source: str, credentials: tuple[str, ...], reference: str | None) -> None:
        self._path = folder / "logins" / f"{source}.json"
        self._source = source
        self._credentials = json.dumps(credentials).encode()
        self._reference = reference

    def check(self) -> None:
        """Raises: LoginsStoppedError if this account and secret have been refused twice."""
        if self._count() >= MOST_REFUSALS:
            raise LoginsStoppedError(
                Text(
                    zh=f"{self._source} 的账户和口令已被拒绝 {MOST_REFUSALS} 次；为免锁定账户，不再尝试",
                    en=f"the account and password of {self._source} were refused {MOST_REFUSALS} times: no further try, "
                    "so that the account is not locked",
                ),
                hint=self._hint(),
            )

    def note_refusal(self) -> None:
        """Count a refusal, durably. Raises: OSError."""
        refusals = self._count() + 1
        salt = os.urandom(16)
        document = {"salt": salt.hex(), "credentials": self._digest(salt).hex(), "refusals": refusals}
        old_mask = os.umask(0o077)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_over(self._path, json.dumps(document).encode())
        finally:
            os.umask(old_mask)

    def clear(self) -> None:
        """Forget the refusals: a login has succeeded, or a person says to try again. Raises: OSError."""
        with suppress(FileNotFoundError):
            self._path.unlink()

    def _count(self) -> int:
        refused = self._read()
        if refused is None or self._digest(refused.salt) != refused.credentials:
            return 0
        return refused.refusals

    def _digest(self, salt: bytes) -> bytes:
        return hashlib.scrypt(self._credentials, salt=salt, n=1 << 14, r=8, p=1, dklen=32)

    def _read(self) -> _Refused | None:
        try:
            document = json.loads(self._path.read_bytes())
            salt, digest = bytes.fromhex(document["salt"]), bytes.fromhex(document["credentials"])
            return _Refused(salt, digest, int(document["refusals"]))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            return None  # damaged: counted anew, which costs at most two tries more

    def _hint(self) -> Text:
        scheme, _, name = (self._reference or "").partition(":")
        if scheme == "secret":
            zh, en = f"运行 `jinsuo-agent secret set {name}`", f"run `jinsuo-agent secret set {name}`"
        elif scheme in ("env", "file"):
            zh, en = f"更改 {self._reference} 中的口令", f"change the password in {self._reference}"
        else:
            zh, en = "更改 agent.yaml 中的账户", "change the account in agent.yaml"
        return Text(
            zh=f"{zh}；若账户已在服务器上改好，加 --retry-login", en=f"{en}; --retry-login if the server was mended"
        )
