# SPDX-License-Identifier: Apache-2.0
"""The paths, headers and bounds of `/v1`: which body goes where. Pure.

    GET  /v1/center                                     -> CenterInfo            no token
    GET  /v1/nonce                                      -> NonceAnswer           no token
    GET  /v1/log/checkpoint, /v1/log/tile/…             -> the file, as C2SP tlog-tiles has it; no token
    GET  /v1/tls                                        -> announcements of TLS keys (`evidence.wire.announcement`); no token
    POST /v1/enroll                      EnrolRequest   -> EnrolAnswer           token of unit `-` by the new key
    POST /v1/sources/SOURCE              DepositRequest -> DepositAnswer
    POST /v1/sources/SOURCE/recover      RecoverRequest -> RecoverAnswer
    POST /v1/missing                     MissingRequest -> MissingAnswer
    PUT  /v1/packs/NAME?source=SOURCE    the pack       -> PackAnswer
    POST /v1/statements?source=SOURCE[&register=1]  the note -> StatementAnswer
    GET  /v1/statements/latest?source=SOURCE            -> LatestAnswer
    GET  /v1/receipts/DIGEST                            -> a receipt
    POST /v1/cosignatures                CosignRequest  -> CosignAnswer
    POST /v1/heartbeats                  Heartbeat      -> HeardAnswer           `evidence.wire.heartbeat`
    anything that fails                                 -> Refusal               {"code","hint","message"}

Headers: `Authorization: Jinsuo <token>`, `Jinsuo-Checkpoint: <base64 of the newest checkpoint's note that the agent has
seen>`, and in every answer `Jinsuo-Nonce: <nonce for a next request>`; where a TLS key has been announced, also `Jinsuo-Tls:
<hex SHA-256 of the newest one's SubjectPublicKeyInfo>`. Source: design section 6.
"""

from typing import Final

from evidence.digest import Sha256
from evidence.manifest.grammar import check_source_name

HEADER_NONCE: Final = "Jinsuo-Nonce"
HEADER_CHECKPOINT: Final = "Jinsuo-Checkpoint"
HEADER_TLS: Final = "Jinsuo-Tls"

PATH_CENTER: Final = "/v1/center"
PATH_NONCE: Final = "/v1/nonce"
PATH_TLS: Final = "/v1/tls"
PATH_ENROLL: Final = "/v1/enroll"
PATH_MISSING: Final = "/v1/missing"
PATH_LATEST: Final = "/v1/statements/latest"
PATH_COSIGNATURES: Final = "/v1/cosignatures"
PATH_LOG: Final = "/v1/log/"

MAX_NOTE_BYTES: Final = 64 << 10
MAX_CHECKPOINT_BYTES: Final = 16 << 10


def path_of_source(source: str) -> str:
    """Give the path where a source's secrets are deposited."""
    check_source_name(source)
    return f"/v1/sources/{source}"


def path_of_recovery(source: str) -> str:
    """Give the path where a source's secrets are asked back."""
    return f"{path_of_source(source)}/recover"


def path_of_pack(source: str, name: str) -> str:
    """Give the path to put a pack."""
    check_source_name(source)
    return f"/v1/packs/{name}?source={source}"


def path_of_statements(source: str, register_only: bool = False) -> str:
    """Give the path to submit a statement; `register_only`: although content is missing."""
    check_source_name(source)
    return f"/v1/statements?source={source}{'&register=1' if register_only else ''}"


def path_of_latest(source: str) -> str:
    """Give the path of a source's latest statement."""
    check_source_name(source)
    return f"{PATH_LATEST}?source={source}"


def path_of_receipt(digest: Sha256) -> str:
    """Give the path of the receipt of the statement with this digest."""
    return f"/v1/receipts/{digest.hex()}"
