# SPDX-License-Identifier: Apache-2.0
"""The host key that an SSH server must hold: a fingerprint, or the key itself as known_hosts writes it. Pure.

A fingerprint does not say which of its keys a server should show, so it shows the one that both prefer: Ed25519 where it
has one. A line of known_hosts says it. Source: RFC 4253 section 6.6; sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
"""

import hmac
from dataclasses import dataclass
from typing import Final

import paramiko

from agent.errors import RoadError
from terminal.language import Text

_SIGNED_AS: Final = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""Names of what a key signs with, where they are not the key's own; SHA-1 is not among them."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """The pin. `algorithms`: what the server may prove its key with; empty: whatever both prefer."""

    fingerprint: str
    algorithms: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.fingerprint

    def fits(self, key: paramiko.PKey) -> bool:
        """Tell whether `key` is the pinned one."""
        return hmac.compare_digest(key.fingerprint.encode(), self.fingerprint.encode())


def parse_host_key(text: str) -> HostKey:
    """Read `SHA256:…`, or a line `[hosts] type key [comment]`. Raises: RoadError."""
    if text.startswith("SHA256:"):
        return HostKey(text)
    words = text.split()
    at = next((i for i, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-"))), len(words))
    try:
        kind, raw = words[at : at + 2]
        entry = paramiko.hostkeys.HostKeyEntry.from_line(f"host {kind} {raw}")
    except (ValueError, paramiko.SSHException) as err:
        raise _unreadable(text) from err
    if entry is None or entry.key is None or entry.key.get_name() != kind:
        raise _unreadable(text)
    return HostKey(entry.key.fingerprint, _SIGNED_AS.get(kind, (kind,)))


def _unreadable(text: str) -> RoadError:
    return RoadError(
        Text(
            zh=f"road.ssh.host_key 中的密钥读不出来：{text:.60}…",
            en=f"the key in `road.ssh.host_key` cannot be read: {text:.60}…",
        ),
        hint=Text(
            zh="照抄服务器的 /etc/ssh/ssh_host_ed25519_key.pub，或写其 SHA256:… 指纹",
            en="copy the server's /etc/ssh/ssh_host_ed25519_key.pub, or write its fingerprint SHA256:…",
        ),
    )
