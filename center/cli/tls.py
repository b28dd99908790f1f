# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center tls renew|status`: another certificate for the same key, or another key, announced beforehand."""

import argparse
from datetime import timedelta

from center.cli.opening import open_center
from center.cli.unit import account
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
from terminal.language import Text
from terminal.printer import Printer

_DAYS = 90
_MOST_DAYS = 3650


class TlsRenew:
    """Renew the certificate, or announce a new key."""

    name = "tls renew"
    help = Text(zh="更新 TLS 证书；--new-key 换密钥", en="renew the TLS certificate; --new-key: announce another key")
    description = Text(
        zh="只换证书时，采集端毫无察觉（它们只认公钥），重启 serve 后生效。--new-key 生成新密钥，由日志密钥签署公告：\n"
        "各采集端在旧密钥仍在用时即取得公告；到期后第一次启动 serve 时启用。期间未联络的采集端，须由人送去公告文件\n"
        "（jinsuo-agent tls accept）。启用后，此前发出而未用的登记码作废。记入日志。",
        en="A new certificate for the same key is noticed by no agent (they look at the key alone); restart `serve` to use\n"
        "it. --new-key makes another key, which the log's key announces: agents learn of it while the old one is in use, and\n"
        "the first start of `serve` after its day takes it. An agent that has not called in the meantime is brought the\n"
        "announcement by a person (`jinsuo-agent tls accept`). Codes that were given before and not used are void then. Logged.",
    )
    examples = Examples(
        sh="jinsuo-center tls renew --new-key --days 90", powershell="jinsuo-center tls renew --new-key --days 90"
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add --new-key, --days."""
        parser.add("--new-key", action="store_true", help=Text(zh="换密钥", en="another key, too"))
        parser.add(
            "--days",
            type=int,
            default=_DAYS,
            metavar="DAYS",
            help=Text(zh=f"多少天后启用新密钥；默认 {_DAYS}", en=f"days until the new key is used; {_DAYS} by default"),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Renew."""
        if not 0 <= args.days <= _MOST_DAYS:
            raise UsageError(
                Text(
                    zh=f"--days：应为 0 至 {_MOST_DAYS}，得到 {args.days}",
                    en=f"--days: expected 0 to {_MOST_DAYS}, found {args.days}",
                ),
                hint=Text(zh="例如 --days 90", en="such as --days 90"),
            )
        with open_center(args, out) as center:
            if not args.new_key:
                center.renew_tls()
                out.say(
                    Text(
                        zh="证书已更新，密钥未变；重启 serve 后生效",
                        en="the certificate is new, the key is not; restart `serve`",
                    )
                )
                out.result({"new_key": False})
                return EXIT_OK
            announcement = center.announce_tls(center.clock() + timedelta(days=args.days), account())
        when = out.time(announcement.from_)
        out.say(
            Text(
                zh=f"新密钥 {announcement.spki.hex()[:32]} 已公告，{when} 之后第一次启动 serve 时启用",
                en=f"the key {announcement.spki.hex()[:32]} is announced; the first start of `serve` after {when} uses it",
            )
        )
        out.result({"new_key": True, "spki_sha256": announcement.spki.hex(), "from": announcement.from_})
        return EXIT_OK


class TlsStatus:
    """Tell which key is in use, and which follows."""

    name = "tls status"
    help = Text(zh="在用的与已公告的 TLS 密钥", en="the TLS key in use, and the one that follows")
    description = Text(
        zh="公告文件 tls/announced.json 可原样送给失联的采集端。",
        en="The file tls/announced.json is what a person brings to an agent that missed the announcement.",
    )
    examples = Examples(sh="jinsuo-center tls status", powershell="jinsuo-center tls status --json")

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Tell it."""
        from center.receive.tls import TlsFiles, find_next, read_spki_sha256

        with open_center(args, out) as center:
            folder = center.folder / "tls"
            current = read_spki_sha256(TlsFiles.within(folder).certificate)
            following = find_next(folder, center.ledger.log_key)
        out.say(Text(zh=f"在用：{current.hex()}", en=f"in use: {current.hex()}"))
        if following is not None:
            when = out.time(following.from_)
            out.say(Text(zh=f"{when} 之后：{following.spki.hex()}", en=f"from {when}: {following.spki.hex()}"))
        out.result(
            {
                "spki_sha256": current.hex(),
                "next": None if following is None else following.spki.hex(),
                "from": None if following is None else following.from_,
            }
        )
        return EXIT_OK
