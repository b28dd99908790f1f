# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center rebuild`: the catalog, from store and ledger; every stored snapshot is judged again on the way."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from center.cli.opening import find_passphrase
from center.errors import CenterError, StoreError
from evidence.errors import EvidenceError
from terminal.command import Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK, words_of
from terminal.language import Text
from terminal.printer import Printer, format_size

if TYPE_CHECKING:
    from center.audit.audit import AuditedCenter
    from center.registry.catalog import Catalog

_JUDGING = Text(zh="核对快照", en="judging snapshots")


class Rebuild:
    """Rebuild the catalog."""

    name = "rebuild"
    help = Text(zh="从存储和日志重建目录库", en="the catalog, from store and ledger")
    description = Text(
        zh="目录库损坏、丢失或版本不符时用；不会丢失任何内容。先停止 serve。旧目录库保留到新的完成为止。\n"
        "随后重新核对每个已入库的快照，使下一次接收不必重算；--quick 省去这一步。",
        en="For a catalog that is damaged, lost, or of another version; nothing is lost. Stop `serve` first. The old\n"
        "catalog stays until the new one is whole. Then every stored snapshot is judged again, so that the next one\n"
        "need not be; --quick leaves that out.",
    )
    examples = Examples(sh="jinsuo-center rebuild", powershell="jinsuo-center rebuild --quick")

    def add_arguments(self, parser: Parser) -> None:
        """Add --quick."""
        parser.add("--quick", action="store_true", help=Text(zh="不重新核对快照", en="do not judge snapshots again"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Rebuild it."""
        from center.audit.opening import open_audited
        from center.config import CONFIG_NAME, load_config
        from center.ledger.ledger import Ledger
        from center.registry.rebuild import rebuild_catalog
        from evidence.keys.key import KeyType
        from evidence.keys.signer import open_signer

        parts = open_audited(args.folder, find_passphrase(args, out))
        if parts.units is None:
            _, where, reason = parts.troubles[0]
            raise StoreError(
                Text(zh=f"{where}：{reason.zh}", en=f"{where}: {reason.en}"),
                hint=Text(
                    zh="从备份恢复 keys 目录，再重建", en="restore the keys folder from its backup, then rebuild"
                ),
            )
        units, troubles = parts.units, []
        origin = load_config(args.folder / CONFIG_NAME).origin
        signer = open_signer(f"file:{args.folder / 'keys' / 'log.pem'}", origin, KeyType.ED25519)
        with Ledger(args.folder / "ledger", signer, lambda: datetime.now(UTC)) as ledger:
            report = rebuild_catalog(
                args.folder / "catalog.sqlite",
                parts.store,
                ledger,
                units,
                out,
                None if args.quick else lambda catalog: troubles.extend(_judge(parts, catalog, out)),
            )
        out.say(
            Text(
                zh=f"目录库已重建：{report.packs:,} 个数据包（{format_size(report.bytes_)}），"
                f"{report.objects:,} 个对象，{report.statements:,} 条声明",
                en=f"the catalog is rebuilt: {report.packs:,} packs ({format_size(report.bytes_)}), {report.objects:,} "
                f"objects, {report.statements:,} statements",
            )
        )
        damaged = [*report.damaged, *troubles]
        for line in damaged:
            out.warn(line)
        if damaged:
            out.warn(Text(zh="请运行 jinsuo-center audit", en="run `jinsuo-center audit`"))
        out.result(
            {
                "packs": report.packs,
                "bytes": report.bytes_,
                "objects": report.objects,
                "statements": report.statements,
                "damaged": [line.en for line in damaged],
            }
        )
        return EXIT_FAILED if damaged else EXIT_OK


def _judge(parts: "AuditedCenter", catalog: "Catalog", out: Printer) -> list[Text]:
    """Judge every stored snapshot as at admission, so that the catalog knows its facts; give what does not hold."""
    from center.receive.closure import Closure
    from center.registry.carried import check_carried, manifests_of
    from center.registry.objects import SourceObjects
    from evidence.manifest.manifest import Manifest, parse_manifest
    from evidence.objects.object import ObjectKind
    from evidence.rows.commit import row_key

    assert parts.units is not None
    troubles: list[Text] = []
    closed: dict[tuple[str, str], Manifest] = {}
    rows = [row for row in catalog.statements() if row.kind == "snapshot" and row.stored_index is not None]
    with out.progress(_JUDGING, total=len(rows)) as bar:
        for row in rows:
            name = f"{row.unit} {row.source}#{row.sequence}"
            try:
                secrets = parts.units.secrets(row.unit, row.source)
                objects = SourceObjects(parts.store, catalog, row.unit, row.source, secrets.storage_key)
                if row.manifest_object is None:
                    raise StoreError(
                        Text(zh="它的清单不在存储中", en="its manifest is not in the store"),
                        hint=Text(zh="运行 `jinsuo-center audit`", en="run `jinsuo-center audit`"),
                    )
                closure = Closure(catalog, objects, row.unit, row.source, row_key(secrets.row_secret))
                manifest = parse_manifest(objects.read(row.manifest_object, ObjectKind.MANIFEST))
                before = closed.get((row.unit, row.source))
                closure.check(manifest, before)
                if not check_carried(manifest, before, manifests_of(catalog, objects, row.unit, row.source)):
                    troubles.append(
                        Text(
                            zh=f"{name}：它沿用了表的那个快照不在存储中",
                            en=f"{name}: a snapshot from which it carries tables over is not in the store",
                        )
                    )
                if closure.missing:
                    lacking = len(closure.missing)
                    troubles.append(
                        Text(
                            zh=f"{name}：{lacking} 个对象不在存储中",
                            en=f"{name}: {lacking} objects are not in the store",
                        )
                    )
                else:
                    closed[row.unit, row.source] = manifest
            except (CenterError, EvidenceError) as err:
                troubles.append(Text(zh=f"{name}：{words_of(err).zh}", en=f"{name}: {err}"))
            bar.advance()
    return troubles
