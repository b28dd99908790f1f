# SPDX-License-Identifier: Apache-2.0
"""This agent's own SSH key: made once, kept for its owner alone, shown as the line that the archives take.

Ed25519 in OpenSSH's own file format, without a passphrase: a service has nobody who types one. The key opens one
connection, to the center, and nothing else (the archives' line restricts it); evidence is signed by other keys.
Invariant: a key is never overwritten. Source: RFC 8709; OpenSSH PROTOCOL.key.
"""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from agent.errors import RoadError, SecretError
from agent.secrets import check_private
from evidence.disk import write_new
from terminal.language import Text


def make_key(path: Path) -> bool:
    """Make the key in the file `path` unless there is one; tell whether this call made it. Raises: OSError."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return write_new(path, pem, mode=0o600)


def load_private(path: Path) -> Ed25519PrivateKey:
    """Give the key in the file `path`. Raises: RoadError if it is not there, is no such key, or others can read it."""
    try:
        check_private(path)
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as err:
        raise RoadError(
            Text(zh=f"没有 SSH 密钥 {path}", en=f"there is no SSH key {path}"),
            hint=Text(
                zh="运行 `jinsuo-agent ssh-key`，把打印的一行交给档案馆",
                en="run `jinsuo-agent ssh-key`, and give the line that it prints to the archives",
            ),
        ) from err
    except SecretError as err:
        raise RoadError(err.message, hint=err.remedy) from err
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError) as err:
        raise _unusable(path, str(err)) from err
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path, "it is another kind of key than Ed25519")
    return key


def public_line(key: Ed25519PrivateKey, comment: str) -> str:
    """Give the public key as one line: `ssh-ed25519 AAAA… comment`."""
    return f"{key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {comment}"


def _unusable(path: Path, why: str) -> RoadError:
    return RoadError(
        Text(zh=f"SSH 密钥 {path} 不能用：{why}", en=f"the SSH key {path} cannot be used: {why}"),
        hint=Text(
            zh="把该文件移开，再运行 `jinsuo-agent ssh-key`，新的一行交给档案馆",
            en="move the file away, run `jinsuo-agent ssh-key`, and give the new line to the archives",
        ),
    )
