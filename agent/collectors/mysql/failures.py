# SPDX-License-Identifier: Apache-2.0
"""From the server's errors to the agent's, by their numbers, which MySQL and MariaDB share below 4000. No I/O.

What is not recognised is an error that a person reads in full; only what surely means "try again later" is a
SourceDownError. Source: MySQL error reference; MariaDB error codes.
"""

from dataclasses import dataclass
from typing import Final

from agent.collectors.lost import lose_because
from agent.errors import (
    AgentError,
    LoginError,
    SourceChangedError,
    SourceDownError,
    SourceError,
)
from terminal.language import Text

_LOGIN: Final = frozenset({1045, 1130, 1251, 1275, 1396, 1524, 1698, 1820, 1862, 2049, 2054, 2059, 2061, 3118, 4151})
_BUSY: Final = frozenset({1040, 1203, 1226, 1129, 1053, 1152, 1158, 1159, 1160, 1161, 1184})
_UNREACHED: Final = frozenset({2001, 2002, 2003, 2004, 2005, 2006, 2011, 2012, 2013, 2055})
_TLS: Final = frozenset({2026, 3159, 1759})
_DOWN: Final = frozenset(
    {1053, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 2006, 2013, 2014, 2055, 3169, 4031}
)
_INTERRUPTED: Final = frozenset({1317, 1028})
_UNKNOWN_VARIABLE: Final = 1193
_NO_DATABASE: Final = 1049
_NO_RIGHT: Final = 1044
_LOST_REASONS: Final = {
    1142: "the account has no right to SELECT from it",
    1143: "the account has no right to SELECT all of its columns",
    1044: "the account has no right to this database",
    1146: "it was dropped or renamed meanwhile",
    1051: "it was dropped or renamed meanwhile",
    1412: "it was created, altered, rebuilt or truncated after the snapshot began",
    1054: "a column was dropped or renamed meanwhile",
    1176: "its key was dropped meanwhile",
    1205: "others held it locked longer than lock_timeout",
    1213: "the server broke a deadlock at its cost",
    1317: "the server's operator cancelled reading it",
    1028: "the server's operator cancelled reading it",
    1969: "reading it took longer than max_statement_time",
    3024: "reading it took longer than max_execution_time",
    1153: "a row of it is larger than the server's max_allowed_packet",
    1021: "the server's disk is full",
    1194: "it is marked as crashed on the server",
    1195: "it is marked as crashed on the server",
    1034: "its key file is damaged on the server",
    1035: "it is from an older server and must be repaired there",
    1030: "its storage engine failed",
    1033: "its files on the server are damaged",
    1016: "its files on the server cannot be opened",
    1017: "its files on the server are missing",
    1286: "its storage engine is not there",
    1812: "its tablespace is missing on the server",
    1814: "its tablespace was discarded on the server",
    1932: "it exists in the dictionary, but not in its engine",
    1877: "its data are damaged on the server",
}


@dataclass(frozen=True, slots=True)
class Error:
    """An error as the driver tells it: the number (0 if there is none) and the words, in one line."""

    number: int
    words: str

    @classmethod
    def of(cls, err: BaseException) -> "Error":
        """Read the driver's exception."""
        number = err.args[0] if err.args and isinstance(err.args[0], int) else 0
        return cls(number, " ".join(str(err.args[-1] if err.args else err).split()))

    @property
    def is_down(self) -> bool:
        """Tell whether the connection broke or the server ended."""
        return self.number in _DOWN or self.number == 0

    @property
    def is_unknown_variable(self) -> bool:
        """Tell whether the server does not know a setting."""
        return self.number == _UNKNOWN_VARIABLE

    @property
    def is_denied(self) -> bool:
        """Tell whether a right is missing."""
        return self.number in (1044, 1142, 1143, 1227, 1370, 3530)


def refuse_connection(err: Error, address: str, user: str) -> SourceError:
    """Give what a refused connection means."""
    said = err.words
    if err.number == _NO_RIGHT:
        return SourceError(
            Text(
                zh=f"账户 {user!r} 无权使用 {address}：{said}", en=f"the account {user!r} may not use {address}: {said}"
            ),
            hint=Text(zh="执行 `jinsuo-agent grants` 打印的语句", en="run what `jinsuo-agent grants` prints"),
        )
    if err.number in _LOGIN:
        return LoginError(
            Text(zh=f"{address} 拒绝账户 {user!r}：{said}", en=f"{address} refused the account {user!r}: {said}"),
            hint=Text(
                zh="检查该来源的用户名和口令、口令是否过期、该账户是否允许从本机连接",
                en="check user and password of the source, whether it has expired, and that the account may come from "
                "this host",
            ),
        )
    if err.number == _NO_DATABASE:
        return SourceError(
            Text(zh=f"{address} 的数据库不存在：{said}", en=f"the database of {address} does not exist: {said}"),
            hint=Text(zh="检查该来源的 `database`", en="check `database` of the source"),
        )
    if err.number in _BUSY:
        return SourceDownError(
            Text(zh=f"{address} 暂不接受连接：{said}", en=f"{address} takes no connections now: {said}"),
            hint=Text(zh="稍后重试", en="it is tried again later"),
        )
    if err.number in _TLS or "SSL" in said or "TLS" in said:
        return SourceError(
            Text(zh=f"与 {address} 建立不了 TLS：{said}", en=f"no TLS with {address}: {said}"),
            hint=Text(zh="检查 `ssl_mode` 和 `ssl_ca`", en="check `ssl_mode` and `ssl_ca`"),
        )
    if err.number in _UNREACHED:
        return SourceDownError(
            Text(zh=f"{address} 没有应答：{said}", en=f"{address} does not answer: {said}"),
            hint=Text(
                zh="检查数据库服务器是否在运行、地址和防火墙",
                en="check that the server runs, its address and the firewall",
            ),
        )
    return SourceError(
        Text(
            zh=f"{address} 拒绝连接：{said}（错误 {err.number}）",
            en=f"{address} refused the connection: {said} (error {err.number})",
        ),
        hint=Text(zh="详见数据库服务器的日志", en="the server's log says more"),
    )


def refuse(err: Error, address: str) -> SourceError | SourceChangedError:
    """Give what an error outside of any one table means."""
    if err.is_down:
        said = err.words or "it was closed"
        return SourceDownError(
            Text(zh=f"与 {address} 的连接断开：{said}", en=f"the connection to {address} broke: {said}"),
            hint=Text(zh="查看服务器日志，稍后重试", en="check the server's log; try again later"),
        )
    if err.number in _LOGIN:
        return LoginError(
            Text(zh=f"{address} 拒绝该账户：{err.words}", en=f"{address} refused the account: {err.words}"),
            hint=Text(zh="口令可能已过期", en="its password may have expired"),
        )
    if err.number in _INTERRUPTED:
        return SourceChangedError(
            Text(zh=f"{address} 取消了一条查询：{err.words}", en=f"{address} cancelled a query: {err.words}"),
            hint=Text(
                zh="可能是服务器的管理员所为；请重新读取", en="the server's operator may have done so; read again"
            ),
        )
    return SourceError(
        Text(
            zh=f"{address} 拒绝了一条查询：{err.words}（错误 {err.number}）",
            en=f"{address} refused a query: {err.words} (error {err.number})",
        ),
        hint=Text(
            zh="运行 `jinsuo-agent check`；详见数据库服务器的日志",
            en="run `jinsuo-agent check`; the server's log says more",
        ),
    )


def lose(err: Error, address: str, table: str) -> AgentError:
    """Give what an error while reading `table` means: the table is lost, or the whole view."""
    if err.is_down:
        return refuse(err, address)
    reason = _LOST_REASONS.get(err.number, f"the server refused, error {err.number}")
    return lose_because(table, reason, err.words)
