# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center`: only the list of its commands. Each command is one file of this room; `center.app` does the work."""

import sys
from importlib.metadata import version
from pathlib import Path

from center.cli.alerts import Alerts, AlertsAck, AlertsCheck, AlertsTest
from center.cli.audit import Audit
from center.cli.certify import Certify
from center.cli.compare import Compare
from center.cli.diff import Diff
from center.cli.find import Find
from center.cli.history import History
from center.cli.inbox import InboxOnce
from center.cli.init import Init
from center.cli.key import Key
from center.cli.ledger import LedgerImportTail, LedgerRelease, LedgerStatus
from center.cli.media import MediaRead
from center.cli.rebuild import Rebuild
from center.cli.report import Report
from center.cli.restore import Restore
from center.cli.serve import Serve
from center.cli.service import make_service
from center.cli.snapshots import Snapshots
from center.cli.ssh_key import SshKeyAdd, SshKeyList, SshKeyRemove
from center.cli.tls import TlsRenew, TlsStatus
from center.cli.today import Today
from center.cli.unit import UnitAdd, UnitDisable, UnitEnable, UnitEnrollFile, UnitList, UnitRekey, UnitShow
from evidence.errors import EvidenceError
from terminal.command import Advice, Home, Program
from terminal.language import Language, Text
from terminal.service.command import service_commands
from terminal.version import Version


def main() -> int:
    """Run `jinsuo-center`; give the exit code."""
    return make_program().main()


def make_program() -> Program:
    """List the commands."""
    installed = version("jinsuo")
    return Program(
        name="jinsuo-center",
        description=Text(
            zh="金锁中心：保存各单位的快照，把声明锁入证据日志；比较、查找、恢复、出证、核查。",
            en="The Jinsuo center: keeps the snapshots of all units and locks their statements in the evidence log;\n"
            "compares, finds, restores, certifies, audits.",
        ),
        commands=(
            Init(),
            Serve(),
            InboxOnce(),
            MediaRead(),
            UnitAdd(),
            UnitEnrollFile(),
            UnitList(),
            UnitShow(),
            UnitDisable(),
            UnitEnable(),
            UnitRekey(),
            SshKeyAdd(),
            SshKeyList(),
            SshKeyRemove(),
            Today(),
            Alerts(),
            AlertsAck(),
            AlertsCheck(),
            AlertsTest(),
            Report(),
            Snapshots(),
            Diff(),
            Compare(),
            Find(),
            History(),
            Restore(),
            Certify(),
            Audit(),
            Rebuild(),
            Key(),
            LedgerStatus(),
            LedgerImportTail(),
            LedgerRelease(),
            TlsRenew(),
            TlsStatus(),
            *service_commands("jinsuo-center", make_service),
            Version("jinsuo-center", installed),
        ),
        home=Home(variable="JINSUO_CENTER_DIR", posix="/var/lib/jinsuo-center", windows=r"Jinsuo\center"),
        version=installed,
        others={EvidenceError: Advice(_EVIDENCE_HINT)},
        prefer=_prefer,
    )


_EVIDENCE_HINT = Text(
    zh="运行 jinsuo-center audit 查明损坏；不要删除任何文件",
    en="run `jinsuo-center audit` to find what is damaged; delete nothing",
)


def _prefer(folder: Path) -> Language | None:
    from center.config import CONFIG_NAME, load_config
    from terminal.errors import SettingsError

    if not (folder / CONFIG_NAME).is_file():
        return None
    try:
        return load_config(folder / CONFIG_NAME).language
    except (SettingsError, OSError):
        return None  # whoever opens the center tells what is wrong


if __name__ == "__main__":
    sys.exit(main())
