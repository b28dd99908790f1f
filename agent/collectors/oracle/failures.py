# SPDX-License-Identifier: Apache-2.0
"""From Oracle's errors to the agent's: by the number behind `ORA-` or `DPY-`. No I/O, and no driver.

Source: Oracle Database Error Messages; python-oracledb, "Troubleshooting Errors".
"""

import re
from typing import Final

from agent.collectors.lost import lose_because
from agent.collectors.oracle.settings import OracleSettings
from agent.errors import AgentError, BudgetError, LoginError, SourceDownError, SourceError
from terminal.language import Text

_CODE: Final = re.compile(r"\b(?:ORA|DPY|DPI)-\d{4,5}\b")
_LOGIN: Final = frozenset({"ORA-01017", "ORA-28000", "ORA-28001", "ORA-01045", "DPY-4001"})
_DOWN: Final = frozenset({
    "ORA-12170", "ORA-12541", "ORA-12543", "ORA-12537", "ORA-12514", "ORA-12528", "ORA-01033", "ORA-01034", "ORA-01089",
    "ORA-03113", "ORA-03114", "ORA-00028", "ORA-01012", "ORA-12520", "ORA-00020", "DPY-6000", "DPY-6001", "DPY-6005",
    "DPY-4011", "DPY-4024", "DPI-1067", "DPI-1080", "ORA-12545", "ORA-12535",
})  # fmt: skip
_UNDO: Final = frozenset({"ORA-01555", "ORA-08180", "ORA-08181", "ORA-22924", "ORA-30052"})
_LOST: Final = {
    "ORA-00942": "it was dropped meanwhile, or the account has no right to SELECT from it",
    "ORA-01031": "the account has no right to read it as of a system change number (FLASHBACK)",
    "ORA-01466": "it was altered or truncated after the snapshot began",
    "ORA-08103": "it was truncated or moved while it was read",
    "ORA-00904": "a column was dropped or renamed meanwhile",
    "ORA-29913": "its external file cannot be read",
    "ORA-00376": "a file of its tablespace is offline",
    "ORA-01578": "its data are damaged on the server",
}


def code_of(text: str) -> str:
    """Give the code of an error, such as ORA-01555, or nothing."""
    match = _CODE.search(text)
    return match[0] if match else ""


def refuse_connection(text: str, settings: OracleSettings) -> SourceError:
    """Give what a refused connection means."""
    code, line = code_of(text), hide(text, settings)
    where = settings.address
    if code in _LOGIN:
        return LoginError(
            Text(
                zh=f"{where} 拒绝账户 {settings.user!r}：{line}",
                en=f"{where} refused the account {settings.user!r}: {line}",
            ),
            hint=Text(zh="检查用户名和口令", en="check user and password"),
        )
    if code == "DPY-3010":
        return SourceError(
            Text(
                zh=f"{where} 早于 12.1，驱动本身不能与它通信：{line}",
                en=f"{where} is older than 12.1, which the driver cannot speak to by itself: {line}",
            ),
            hint=Text(
                zh="安装 Instant Client（11g 用 19 或更早的版本），在 `client` 中写明其目录",
                en="install an Instant Client (19 or older for 11g) and name its folder in `client`",
            ),
        )
    if code in ("DPI-1047", "DPY-2053", "DPY-2019"):
        return SourceError(
            Text(
                zh=f"{where} 的 Instant Client 不能用：{line}",
                en=f"the Instant Client for {where} cannot be used: {line}",
            ),
            hint=Text(
                zh="检查 `client`；同一采集端的 Oracle 来源要么都用它，要么都不用",
                en="check `client`; all Oracle sources of one agent use it, or none does",
            ),
        )
    if code in _DOWN:
        return SourceDownError(
            Text(zh=f"{where} 没有应答：{line}", en=f"{where} does not answer: {line}"),
            hint=Text(
                zh="检查监听程序是否在运行、`service` 和防火墙",
                en="check that the listener runs, `service`, the firewall",
            ),
        )
    return SourceError(
        Text(zh=f"{where} 拒绝连接：{line}", en=f"{where} refused the connection: {line}"),
        hint=Text(zh="检查主机、端口和服务名；详见它的日志", en="check host, port and service; its log says more"),
    )


def refuse(text: str, settings: OracleSettings) -> SourceError:
    """Give what an error outside of any one table means."""
    line = hide(text, settings)
    if is_down(text):
        return SourceDownError(
            Text(
                zh=f"与 {settings.address} 的连接断了：{line}", en=f"the connection to {settings.address} broke: {line}"
            ),
            hint=Text(zh="查看服务器日志，稍后重试", en="check the server's log; try again later"),
        )
    return SourceError(
        Text(zh=f"{settings.address} 拒绝了一个查询：{line}", en=f"{settings.address} refused a query: {line}"),
        hint=Text(
            zh="运行 `jinsuo-agent check` 和 `jinsuo-agent grants`",
            en="run `jinsuo-agent check` and `jinsuo-agent grants`",
        ),
    )


def lose(text: str, settings: OracleSettings, table: str) -> AgentError:
    """Give what an error while reading `table` means: the table is lost, or the whole view."""
    code = code_of(text)
    if code in _UNDO:
        return BudgetError(
            Text(
                zh=f"{settings.address} 在读表 {table} 时已没有该快照的回滚数据：{hide(text, settings)}",
                en=f"{settings.address} no longer has the undo of the snapshot at table {table}: {hide(text, settings)}",
            ),
            hint=Text(
                zh="在空闲时段读取；或请管理员把 UNDO_RETENTION 调到读取时间以上（回滚表空间设 RETENTION GUARANTEE）；或把大表单独作为一个来源",
                en="read at a quieter hour, have UNDO_RETENTION raised over the reading's time (and the undo tablespace with "
                "RETENTION GUARANTEE), or read large tables as a source of their own",
            ),
        )
    if is_down(text):
        return refuse(text, settings)
    return lose_because(table, _LOST.get(code, "the server refused"), hide(text, settings))


def is_down(text: str) -> bool:
    """Tell whether the connection broke or the server ended."""
    return code_of(text) in _DOWN


def hide(text: str, settings: OracleSettings) -> str:
    """Give the server's words in one line, without the password."""
    line = " ".join(text.split())
    return line.replace(settings.password, "…") if settings.password else line
