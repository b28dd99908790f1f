# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-verify`: the stranger's command. Reads files, prints, gives an exit code; all judgement is elsewhere.

Exit codes: 0 holds · 1 does not hold · 2 cannot tell · 64 wrong usage. Needs nothing but `evidence` and its few
dependencies. Whatever a file holds, a person gets a sentence, never a traceback.
"""

import argparse
import json
import locale
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, NoReturn, TextIO

from evidence.encode import Json, parse_hex
from evidence.errors import EvidenceError, FormatError, PolicyError
from evidence.rows.commit import commit_lines, row_key
from evidence.rows.line import Token
from evidence.tree.build import CountingSink, TreeBuilder
from evidence.tree.nodes import Tree
from evidence.verify.bundle import MAX_BUNDLE_BYTES
from evidence.verify.policy import MAX_POLICY_BYTES, Policy, parse_policy
from evidence.verify.report import LANGUAGES, Message, Report, render_html, render_text
from evidence.verify.verify import verify_bundle, verify_receipt_file

EXIT_HOLDS: Final = 0
EXIT_CANNOT_TELL: Final = 2
EXIT_USAGE: Final = 64
_BLOCK_BYTES: Final = 1 << 20

_DESCRIPTION: Final = Message(
    "离线验证金锁的技术证明包：记录是否如单位所声明、声明何时已存在。不联网，只相信策略文件中列出的密钥。",
    "Verify a Jinsuo bundle offline: whether records are what the unit stated, and since when. Nothing is fetched; only"
    " the keys in the policy file are believed.",
)
_EPILOG: Final = Message(
    "其他命令：jinsuo-verify receipt 文件 --policy 策略；jinsuo-verify table-root --row-secret 密钥文件 [行文件]\n"
    "退出码：0 成立，1 不成立，2 无法判定，64 用法错误\n\n"
    "sh:          jinsuo-verify 证明.jinsuo --policy trust.policy --report 报告.html\n"
    "PowerShell:  jinsuo-verify .\\证明.jinsuo --policy .\\trust.policy --report .\\报告.html",
    "Also: jinsuo-verify receipt FILE --policy POLICY; jinsuo-verify table-root --row-secret HEXFILE [LINES_FILE]\n"
    "Exit codes: 0 holds, 1 does not hold, 2 cannot tell, 64 wrong usage\n\n"
    "sh:          jinsuo-verify record.jinsuo --policy trust.policy --report report.html\n"
    "PowerShell:  jinsuo-verify .\\record.jinsuo --policy .\\trust.policy --report .\\report.html",
)
_ROOT_DESCRIPTION: Final = Message(
    "由规范行（每行以换行结束）重新计算一张表的根；输出一个 JSON。",
    "Compute a table's root from its canonical lines (each ended by LF), in their order; prints one JSON document.",
)


class _UsageError(Exception):
    """The command line, or a file that it names, cannot be used."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    language = _find_language(arguments)
    try:
        return _run(arguments, language)
    except _UsageError as err:
        _complain(Message(f"用法有误，或文件不能用：{err}", str(err)), "JS-0064", language)
        return EXIT_USAGE
    except PolicyError as err:
        _complain(Message(f"{err.meaning_zh}：{err}", str(err)), err.code, language)
        return EXIT_USAGE
    except EvidenceError as err:
        _complain(Message(f"{err.meaning_zh}：{err}", str(err)), err.code, language)
        return 1
    except BrokenPipeError:
        return EXIT_CANNOT_TELL
    except (OSError, MemoryError, RecursionError) as err:
        _complain(
            Message(f"程序没能完成：{type(err).__name__}：{err}", f"{type(err).__name__}: {err}"), "JS-1099", language
        )
        return EXIT_CANNOT_TELL


def _run(arguments: list[str], language: str) -> int:
    if arguments[:1] == ["table-root"]:
        return _run_table_root(arguments[1:], language)
    if arguments[:1] == ["receipt"]:
        options = _parse_verify("jinsuo-verify receipt", arguments[1:], language)
        raw = _read(options.file, MAX_BUNDLE_BYTES)
        return _show(verify_receipt_file(raw, _read_policy(options.policy)), options, language)
    options = _parse_verify("jinsuo-verify", arguments, language)
    raw = _read(options.file, MAX_BUNDLE_BYTES)
    report = verify_bundle(raw, _read_policy(options.policy), partial(_find_blob, options.file.parent))
    return _show(report, options, language)


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of leaving with argparse's own exit code."""

    def error(self, message: str) -> NoReturn:
        """Raises: _UsageError."""
        raise _UsageError(message)


def _parse_verify(program: str, arguments: list[str], language: str) -> argparse.Namespace:
    parser = _Parser(
        prog=program,
        description=_DESCRIPTION.into(language),
        epilog=_EPILOG.into(language),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    zh = language == "zh"
    parser.add_argument("file", type=Path, metavar="FILE", help="证明包或回执" if zh else "the bundle or receipt")
    parser.add_argument("--policy", type=Path, required=True, help="策略文件：相信谁" if zh else "whom to believe")
    parser.add_argument("--report", type=Path, help="另存 HTML 报告" if zh else "also write the report as HTML")
    parser.add_argument("--json", action="store_true", help="输出 JSON" if zh else "print one JSON document")
    parser.add_argument("--lang", choices=LANGUAGES, help="语言" if zh else "language of texts")
    return parser.parse_args(arguments)


def _run_table_root(arguments: list[str], language: str) -> int:
    parser = _Parser(prog="jinsuo-verify table-root", description=_ROOT_DESCRIPTION.into(language), allow_abbrev=False)
    zh = language == "zh"
    secret_help = "含行密钥（64 位十六进制）的文件" if zh else "a file with the row secret, 64 hex digits"
    lines_help = "行文件；缺省读标准输入" if zh else "the lines; standard input if left out"
    parser.add_argument("--row-secret", type=Path, required=True, metavar="HEXFILE", help=secret_help)
    parser.add_argument("lines", type=Path, nargs="?", metavar="LINES_FILE", help=lines_help)
    parser.add_argument("--json", action="store_true", help="总是 JSON" if zh else "always so")
    parser.add_argument("--lang", choices=LANGUAGES, help="语言" if zh else "language of texts")
    options = parser.parse_args(arguments)
    try:
        secret = parse_hex(_read(options.row_secret, 4096).decode("ascii", "replace").strip(), "the row secret", 32)
    except FormatError as err:
        raise _UsageError(f"{options.row_secret}: {err}") from err
    if options.lines is None:
        tree = compute_table_root(sys.stdin.buffer, secret)
    else:
        with _open(options.lines) as file:
            tree = compute_table_root(file, secret)
    _print({"height": tree.height, "items": tree.items, "root": tree.root.hex(), "rows": tree.rows})
    return EXIT_HOLDS


def compute_table_root(lines: BinaryIO, row_secret: bytes) -> Tree:
    """Give the tree of canonical lines, in their order, by the reference hashing; memory: some of the longest lines."""
    key = row_key(row_secret)
    builder = TreeBuilder(CountingSink(), _no_hint, compiled=False)
    for block in _whole_lines(lines):
        leaves = commit_lines(key, block, compiled=False)
        builder.add(block, leaves.ends, leaves.hashes)
    return builder.finish()


def _no_hint(line: bytes) -> bytes:  # noqa: ARG001 - hints are not hashed
    return b""


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield blocks of whole lines, each ended by LF; a last line without LF gets one."""
    rest: list[bytes] = []
    while part := file.read(_BLOCK_BYTES):
        end = part.rfind(b"\n") + 1
        if end:
            yield b"".join((*rest, part[:end]))
            rest = []
        if part[end:]:
            rest.append(part[end:])
    if rest:
        yield b"".join((*rest, b"\n"))


def _find_blob(folder: Path, name: str, token: Token) -> Iterable[bytes] | None:
    path = folder / name / token.sha256.hex()
    return _read_parts(path, token.size) if path.is_file() else None


def _read_parts(path: Path, size: int) -> Iterator[bytes]:
    """Yield a file's bytes, at most one block more than `size`: a longer file is false whatever follows."""
    left = size + 1
    with path.open("rb") as file:
        while left > 0 and (part := file.read(min(_BLOCK_BYTES, left))):
            left -= len(part)
            yield part


def _read_policy(path: Path) -> Policy:
    return parse_policy(_read(path, MAX_POLICY_BYTES))


def _read(path: Path, most: int) -> bytes:
    """Give a file's bytes, one more than `most` at most, so that the reader refuses it."""
    with _open(path) as file:
        return file.read(most + 1)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as err:
        raise _UsageError(f"{path}: {err.strerror}") from err


def _show(report: Report, options: argparse.Namespace, language: str) -> int:
    if options.report is not None:
        try:
            if any(
                options.report.exists() and options.report.samefile(path) for path in (options.file, options.policy)
            ):
                raise _UsageError(
                    f"{options.report} is what is verified, or the policy; name another file for the report"
                )
            options.report.write_text(render_html(report, language), encoding="utf-8", newline="\n")
        except OSError as err:
            raise _UsageError(f"{options.report}: {err.strerror}") from err
    if options.json:
        _print(report.to_json())
    else:
        _write(sys.stdout, render_text(report, language))
    return report.exit_code


def _print(document: Json) -> None:
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, indent=2) + "\n"
    # Terminals obey some characters that JSON needs no escape for; they stand in its texts alone.
    _write(sys.stdout, "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def _write(stream: TextIO, text: str) -> None:
    """Write UTF-8 to a stream whose own encoding may be too small for the text."""
    raw = getattr(stream, "buffer", None)
    if raw is None:
        stream.write(text)
        return
    raw.write(text.encode("utf-8", "backslashreplace"))
    raw.flush()


def _complain(sentence: Message, code: str, language: str) -> None:
    hint = Message("用法见 jinsuo-verify --help", "see jinsuo-verify --help").into(language)
    _write(sys.stderr, f"jinsuo-verify: {sentence.into(language)}\n  {hint} ({code})\n")


def _find_language(arguments: Sequence[str]) -> str:
    """Give the language asked for by `--lang`, else the system's: Chinese if its locale is, English otherwise."""
    for before, after in zip(arguments, [*arguments[1:], ""], strict=False):
        if before == "--lang" and after in LANGUAGES:
            return after
        if before.startswith("--lang=") and before[7:] in LANGUAGES:
            return before[7:]
    name = locale.getlocale()[0] or ""
    return "zh" if name.lower().startswith(("zh", "chinese")) else "en"


if __name__ == "__main__":
    sys.exit(main())
