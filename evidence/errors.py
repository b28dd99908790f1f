# SPDX-License-Identifier: Apache-2.0
"""The errors of `evidence`, drawn as one tree. No I/O, no state.

EvidenceError                what was read is not evidence that can be relied on
├── FormatError              bytes do not follow their grammar: refuse them
│   └── LimitError           a size is over its bound: refuse before allocating
├── SignatureError           a signature by a known key does not verify: refuse
├── UnknownSignerError       nobody whom the reader trusts has signed: cannot tell
├── ProofError               hashes do not lead to the root: refuse
├── TreeError                a tree is hashed rightly but is not the one tree of its rows: refuse
├── IdentityError            an object's bytes do not give its id: ask for it again
├── MissingObjectError       an object is named but not at hand: ask for it
├── UnsupportedError         written by a newer version: update this program
└── PolicyError              the verifier's policy file is wrong: mend the file

Invariant: the message is one sentence that names what was read, what was expected and what was found; the
facts are attributes too. `code` can be read over a phone and is listed in docs/operate.md; `meaning_zh` says what kind of error
it is to whoever reads Chinese: it stands before the sentence, which is one for all.
"""

from typing import ClassVar


class EvidenceError(Exception):
    """What was read is not evidence that can be relied on."""

    code: ClassVar[str] = "JS-1000"
    meaning_zh: ClassVar[str] = "读到的内容不能作为证据采信"


class FormatError(EvidenceError):
    """Bytes do not follow their grammar. The reader refuses them; nothing is repaired."""

    code = "JS-1001"
    meaning_zh = "不合格式"


class LimitError(FormatError):
    """A size is over its bound; raised before anything of that size is allocated."""

    code = "JS-1002"
    meaning_zh = "超过大小上限"


class SignatureError(EvidenceError):
    """A signature by a key that the reader knows does not verify."""

    code = "JS-1003"
    meaning_zh = "签名不符"


class UnknownSignerError(EvidenceError):
    """Nobody whom the reader trusts has signed: nothing is refuted, nothing is shown."""

    code = "JS-1004"
    meaning_zh = "签署者不在信任之列"


class ProofError(EvidenceError):
    """The hashes given do not lead to the root given."""

    code = "JS-1005"
    meaning_zh = "哈希推不出所称的根"


class TreeError(EvidenceError):
    """A tree is hashed rightly, but is not the one tree that its rows have (design section 3)."""

    code = "JS-1006"
    meaning_zh = "树的形状不合规则"


class IdentityError(EvidenceError):
    """An object's bytes do not give the id under which it came.

    Attributes: `expected` and `found`, ids as bytes.
    """

    code = "JS-1007"
    meaning_zh = "内容与其编号不符"

    def __init__(self, message: str, *, expected: bytes, found: bytes) -> None:
        super().__init__(message)
        self.expected = expected
        self.found = found


class MissingObjectError(EvidenceError):
    """An object is named but is not at hand. Attribute: `object_id`."""

    code = "JS-1008"
    meaning_zh = "缺少所指的对象"

    def __init__(self, message: str, *, object_id: bytes) -> None:
        super().__init__(message)
        self.object_id = object_id


class UnsupportedError(EvidenceError):
    """The version is one that this program does not know."""

    code = "JS-1009"
    meaning_zh = "由较新的版本写成：请更新本程序"


class PolicyError(EvidenceError):
    """The verifier's policy file does not follow its grammar or contradicts itself."""

    code = "JS-1010"
    meaning_zh = "策略文件有误"
