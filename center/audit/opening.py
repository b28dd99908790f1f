# SPDX-License-Identifier: Apache-2.0
"""Open what an audit needs of a center's folder, piece by piece: what cannot be opened is damage to report.

Unlike `Center.open` nothing is repaired, caught up or made; a center too damaged to start can still be audited.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from center.audit.audit import AuditedCenter
from center.audit.findings import Thing
from center.audit.registry import MASTER_KEY, SEALING_KEY
from center.config import CONFIG_NAME, load_config
from center.errors import CenterError, NotFoundError, StoreError
from center.registry.seal import open_master_key, open_sealing_key
from center.registry.units import Units
from center.store.folder import FolderStore
from evidence.errors import EvidenceError
from evidence.keys.key import KeyType, VerificationKey
from evidence.keys.signer import open_signer
from terminal.errors import words_of
from terminal.language import Text

LOG_KEY = "keys/log.pem"
OPERATOR_KEY = "keys/operator.pem"


def open_audited(folder: Path, passphrase: bytes | None = None) -> AuditedCenter:
    """Open the center in `folder` for an audit.

    Raises: NotFoundError if there is no center; SettingsError if its settings cannot be read, since they say the
    log's name and where the store is: mend them first.
    """
    if not (folder / CONFIG_NAME).exists() and not (folder / "ledger").exists():
        raise NotFoundError(
            Text(zh=f"{folder} 中没有中心", en=f"there is no center in {folder}"),
            hint=Text(zh="用 -C 目录或 JINSUO_CENTER_DIR 指明", en="name its folder with -C DIR or JINSUO_CENTER_DIR"),
        )
    config = load_config(folder / CONFIG_NAME)
    troubles: list[tuple[Thing, str, Text]] = []
    return AuditedCenter(
        folder=folder,
        store=FolderStore(config.find_store(folder)),
        log_key=_read_key(folder, LOG_KEY, config.origin, troubles),
        operator_key=_read_key(folder, OPERATOR_KEY, f"{config.origin}/operator", troubles),
        units=_open_units(folder, passphrase, troubles),
        troubles=tuple(troubles),
    )


def _read_key(folder: Path, path: str, name: str, troubles: list[tuple[Thing, str, Text]]) -> VerificationKey | None:
    try:
        return open_signer(f"file:{folder / path}", name, KeyType.ED25519).key
    except EvidenceError as err:
        troubles.append((Thing.KEY, path, words_of(err)))
        return None


def _open_units(folder: Path, passphrase: bytes | None, troubles: list[tuple[Thing, str, Text]]) -> Units | None:
    try:
        master = open_master_key(folder / MASTER_KEY, passphrase)
    except CenterError as err:
        troubles.append((Thing.KEY, MASTER_KEY, words_of(err)))
        return None
    try:
        open_sealing_key(folder / SEALING_KEY, master)
    except (CenterError, EvidenceError) as err:
        troubles.append((Thing.KEY, SEALING_KEY, words_of(err)))
    # Nothing is added by an audit, so there is nobody to log and no code to give.
    return Units(folder / "units", master, lambda: datetime.now(UTC), _refuse, spki_sha256=bytes(32), vkey="")


def _refuse(*_: object) -> NoReturn:
    raise StoreError(
        Text(zh="核查不改动任何内容", en="an audit changes nothing"),
        hint=Text(
            zh="这是程序的错误；请连同本信息报告", en="this is a fault of the program; report it with this message"
        ),
    )
