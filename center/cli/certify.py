# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center certify UNIT SOURCE N TABLE KEY… --out F.jinsuo`: the technical bundle for rows or files."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from center.certify.certify import find_withdrawal, make_bundle, parse_key, write_bundle
from center.cli.opening import add_snapshot, is_snapshot_text, open_center, open_named
from center.cli.unit import account
from center.compare.find import parse_key as parse_typed_key
from evidence.digest import sha256
from evidence.manifest.entry import Act
from evidence.verify.bundle import parse_bundle
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK
from terminal.language import Text
from terminal.printer import Printer

if TYPE_CHECKING:
    from center.registry.snapshots import Snapshot


class Certify:
    """Make a bundle."""

    name = "certify"
    help = Text(
        zh="为记录或文件生成可离线验证的证明包", en="the technical bundle for rows or files, to be verified offline"
    )
    description = Text(
        zh="证明包含有该行及其到已签名根的路径、声明、日志回执和见证签名；不泄露其他行。文件用表 @files，主键为路径。\n"
        "大字段与文件内容写在旁边的目录。用 jinsuo-verify F.jinsuo --policy POLICY 验证。\n"
        "它还不是签发的证明书。",
        en="Row and path to the signed root, statement, receipt, cosignatures; nothing of other rows. For files:\n"
        "table @files, the key is the path; contents are written to a folder beside. A stranger verifies it with\n"
        "`jinsuo-verify F.jinsuo --policy POLICY`. It is not yet an issued certificate.",
    )
    examples = Examples(
        sh="jinsuo-center certify X013 his 412 patient 17 --out patient-17.jinsuo",
        powershell="jinsuo-center certify X013 scans latest '@files' 2026/001.pdf --out scan.jinsuo",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, SOURCE, N or --at, TABLE, KEY…, --row, --out."""
        add_snapshot(parser)
        parser.add("table", metavar="TABLE", help=Text(zh="表名", en="the table"))
        parser.add(
            "key",
            metavar="KEY",
            nargs="+",
            help=Text(
                zh=r"主键各列的值；无主键的表给出全部列：NULL 写作 \N，大字段写作 find 所示的 \@sha256:…，与此同形的文字多写一个反斜杠",
                en=r"the key's values; without a key those of all columns: NULL as \N, a large cell as `find` shows it"
                r" (\@sha256:…), a text that looks so with one backslash more",
            ),
        )
        parser.add(
            "--row",
            action="append",
            nargs="+",
            default=[],
            metavar="TABLE KEY",
            help=Text(zh="再加一行，可重复", en="one more row; may be repeated"),
        )
        parser.add("--out", required=True, metavar="F.jinsuo", help=Text(zh="写到哪里", en="where to write it"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Make it and write it."""
        if args.n is not None and not is_snapshot_text(args.n):
            # N may be left out for --at; argparse cannot know.
            args.n, args.table, args.key = None, args.n, [args.table, *args.key]
        path = Path(args.out)
        with open_center(args, out) as center:
            snapshot = open_named(center, args)
            rows = [_find(snapshot, row[0], row[1:]) for row in ([args.table, *args.key], *args.row)]
            statements = center.catalog.statements(args.unit, args.source)
            withdrawal = find_withdrawal(statements, snapshot.row.digest)
            later = [] if withdrawal is None else [withdrawal.index]
            raw = make_bundle(snapshot, center.ledger, rows, blobs=f"{path.stem}-blobs", later=later)
            blobs = write_bundle(path, raw, snapshot)
            label = f"{args.source}#{snapshot.row.sequence}"
            # Which rows is between the archives and who asked: the log keeps that a bundle left, and its hash.
            reason = f"{len(rows)} rows of {label}, bundle sha256 {sha256(raw).hex()}"
            center.record(
                "certificate", Act("dissemination", f"{args.unit}/{args.source}", "bundle made", account(), reason)
            )
            index = snapshot.row.index
        shown = [row.table for row in parse_bundle(raw).rows]
        carried = [t for name in dict.fromkeys(shown) if (t := snapshot.table(name)).carried_from is not None]
        out.say(
            Text(
                zh=f"已写入 {path}：{label}（log@{index}）的 {len(shown)} 行，{len(raw):,} 字节，附件 {blobs} 个",
                en=f"{path}: {len(shown)} rows of {label} (log@{index}), {len(raw):,} bytes, {blobs} contents beside",
            )
        )
        for table in carried:
            read = f"{args.source}#{table.carried_from}"
            out.warn(
                Text(
                    zh=f"表 {table.name} 在 {label} 中未读，沿用 {read} 于 {out.time(table.read_at[0])} 的读取",
                    en=f"table {table.name} was not read in {label}: it is carried over from {read}, read at"
                    f" {out.time(table.read_at[0])}",
                )
            )
        if withdrawal is not None:
            by = f"{args.source}#{withdrawal.sequence}"
            out.warn(
                Text(
                    zh=f"单位已以 {by} 撤回 {label}（log@{withdrawal.index}）；证明包载明此事",
                    en=f"the unit has withdrawn {label} by {by} (log@{withdrawal.index}); the bundle shows it",
                )
            )
        policy = f"jinsuo-verify {path} --policy trust.policy"
        out.say(
            Text(
                zh=f"验证：{policy}（策略：jinsuo-center key --policy）",
                en=f"verify it: {policy} (`jinsuo-center key --policy`)",
            )
        )
        out.result(
            {
                "file": path,
                "unit": args.unit,
                "source": args.source,
                "sequence": snapshot.row.sequence,
                "log_index": index,
                "rows": len(shown),
                "bytes": len(raw),
                "blobs": blobs,
                "carried": {table.name: table.carried_from for table in carried},
            }
        )
        return EXIT_OK


def _find(snapshot: "Snapshot", table: str, key: list[str]) -> tuple[str, bytes]:
    """Give what finds a row; people type values, which are brought to their canonical form."""
    schema = snapshot.table(table).schema
    return table, parse_typed_key(schema, key) if schema.key else parse_key(schema, key)
