# SPDX-License-Identifier: Apache-2.0
"""From PostgreSQL's errors to the agent's: by SQLSTATE where there is one, else by the server's words. No I/O.

A refused connection carries no SQLSTATE through libpq, and its words are in the server's language: the phrases below
are those of PostgreSQL's own English and Chinese catalogs. What is not recognised is an error that a person reads in
full; only what surely means "try again later" is a SourceDownError. Source: PostgreSQL's errcodes.txt, appendix A.
"""

import re
from typing import Final

import psycopg2

from agent.collectors.lost import busy_because, lose_because
from agent.errors import (
    AgentError,
    LoginError,
    SourceChangedError,
    SourceDownError,
    SourceError,
)
from terminal.language import Text

_LOGIN: Final = re.compile(
    r"password authentication failed|认证失败|no password supplied|role .* does not exist|角色 .* 不存在"
    r"|not permitted to log in|不允许登录|pg_hba\.conf",
    re.DOTALL,
)
_NO_DATABASE: Final = re.compile(r"database .* does not exist|数据库 .* 不存在", re.DOTALL)
_NO_RIGHT: Final = re.compile(r"permission denied for database|对数据库 .*权限不够", re.DOTALL)
_BUSY: Final = re.compile(
    r"starting up|shutting down|in recovery mode|too many clients|too many connections|remaining connection slots"
    r"|启动中|正在启动|关闭|恢复模式|太多的客户|太多连接|连接.*保留",
)
_SERVER_SAID: Final = re.compile(r"(?:FATAL|PANIC|致命错误|严重错误|比致命错误还过分的错误): {1,2}")
_UNREACHED: Final = re.compile(
    r"Connection refused|timeout expired|timed out|could not translate host name|No route to host|unreachable"
    r"|Connection reset|closed the connection unexpectedly|Is the server running",
)
_TLS: Final = re.compile(r"SSL|certificate", re.IGNORECASE)

_DOWN_CLASSES: Final = ("08", "57P", "53300", "58")
_BUSY_CODES: Final = ("55P03", "40P01")
_LOST_REASONS: Final = {
    "42501": "the account has no right to read all of it",
    "42P01": "it was dropped or renamed meanwhile",
    "3F000": "its schema was dropped meanwhile",
    "42703": "a column was dropped or renamed meanwhile",
    "42804": "a column was altered meanwhile",
    "55P03": "others held it locked longer than lock_timeout",
    "40P01": "the server broke a deadlock at its cost",
    "57014": "the server cancelled reading it, by statement_timeout or by its operator",
    "22021": "it has text that is not valid in the database's encoding",
    "22P05": "it has characters that have no counterpart in UTF-8",
    "0A000": "the server cannot read it here",
    "XX001": "its data are damaged on the server",
    "XX002": "an index of it is damaged on the server",
    "F0000": "its data are damaged on the server",
    "55000": "the server cannot read it as it is",
}


def refuse_connection(err: psycopg2.Error, address: str, user: str) -> SourceError:
    """Give what a refused connection means."""
    text = _one_line(str(err))
    if _LOGIN.search(text):
        return LoginError(
            Text(zh=f"{address} 拒绝账户 {user!r}：{text}", en=f"{address} refused the account {user!r}: {text}"),
            hint=Text(
                zh="检查该来源的用户名和口令；pg_hba.conf 须允许本机连接",
                en="check user and password of the source; pg_hba.conf must let this host in",
            ),
        )
    if _NO_DATABASE.search(text):
        return SourceError(
            Text(zh=f"{address} 的数据库不存在：{text}", en=f"the database of {address} does not exist: {text}"),
            hint=Text(zh="检查该来源的 `database`", en="check `database` of the source"),
        )
    if _NO_RIGHT.search(text):
        return SourceError(
            Text(
                zh=f"账户 {user!r} 无权连接 {address}：{text}",
                en=f"the account {user!r} may not connect to {address}: {text}",
            ),
            hint=Text(zh="执行 `jinsuo-agent grants` 打印的语句", en="run what `jinsuo-agent grants` prints"),
        )
    if _BUSY.search(text):
        return SourceDownError(
            Text(zh=f"{address} 暂不接受连接：{text}", en=f"{address} takes no connections now: {text}"),
            hint=Text(zh="稍后重试", en="it is tried again later"),
        )
    if _SERVER_SAID.search(text):
        return SourceError(
            Text(zh=f"{address} 拒绝连接：{text}", en=f"{address} refused the connection: {text}"),
            hint=Text(zh="详见数据库服务器的日志", en="the server's log says more"),
        )
    if _TLS.search(text) and not _UNREACHED.search(text):
        return SourceError(
            Text(zh=f"与 {address} 建立不了 TLS：{text}", en=f"no TLS with {address}: {text}"),
            hint=Text(zh="检查 `sslmode` 和证书", en="check `sslmode` and the certificates"),
        )
    return SourceDownError(
        Text(zh=f"{address} 没有应答：{text}", en=f"{address} does not answer: {text}"),
        hint=Text(
            zh="检查 PostgreSQL 是否在运行、地址和防火墙",
            en="check that PostgreSQL runs, its address and the firewall",
        ),
    )


def refuse(err: psycopg2.Error, address: str) -> SourceError | SourceChangedError:
    """Give what an error outside of any one table means."""
    changed = _find_changed(err, address)
    if changed is not None:
        return changed
    if is_down(err):
        return SourceDownError(
            Text(
                zh=f"与 {address} 的连接断开：{_one_line(str(err))}",
                en=f"the connection to {address} broke: {_one_line(str(err))}",
            ),
            hint=Text(zh="查看服务器日志，稍后重试", en="check the server's log; try again later"),
        )
    if err.pgcode in ("22021", "22P05"):
        return SourceError(
            Text(
                zh=f"{address} 的目录中有一个名称不是合法的 UTF-8：{_one_line(str(err))}",
                en=f"a name in the catalogs of {address} is not valid UTF-8: {_one_line(str(err))}",
            ),
            hint=Text(
                zh="给该模式、表或列改名；编码为 SQL_ASCII 的数据库，名称必须是 UTF-8",
                en="rename that schema, table or column; in a database of encoding SQL_ASCII names must be UTF-8",
            ),
        )
    return SourceError(
        Text(
            zh=f"{address} 拒绝了一个查询：{_one_line(str(err))}（SQLSTATE {err.pgcode}）",
            en=f"{address} refused a query: {_one_line(str(err))} (SQLSTATE {err.pgcode})",
        ),
        hint=Text(
            zh="运行 `jinsuo-agent check`；详见数据库服务器的日志",
            en="run `jinsuo-agent check`; the server's log says more",
        ),
    )


def lose(err: psycopg2.Error, address: str, table: str) -> AgentError:
    """Give what an error while reading `table` means: the table is lost, or the whole view."""
    if is_down(err) or err.pgcode in ("40001", "25P02", "25P03", "25P04"):
        return refuse(err, address)
    if err.pgcode in _BUSY_CODES:
        return busy_because(table, f"{_LOST_REASONS[err.pgcode]} ({_one_line(str(err))})")
    return lose_because(table, _LOST_REASONS.get(err.pgcode or "", "the server refused"), _one_line(str(err)))


def is_down(err: psycopg2.Error) -> bool:
    """Tell whether the connection broke or the server ended."""
    code = err.pgcode
    if code is None:
        return isinstance(err, psycopg2.OperationalError | psycopg2.InterfaceError | psycopg2.DatabaseError)
    return code.startswith(_DOWN_CLASSES)


def _find_changed(err: psycopg2.Error, address: str) -> SourceChangedError | None:
    if err.pgcode == "40001":
        return SourceChangedError(
            Text(
                zh=f"备库 {address} 不得不取消读取：{_one_line(str(err))}",
                en=f"the standby {address} had to cancel the reading: {_one_line(str(err))}",
            ),
            hint=Text(
                zh="在备库上设 hot_standby_feedback = on，或把 max_standby_streaming_delay 调大",
                en="set hot_standby_feedback = on or a larger max_standby_streaming_delay on the standby",
            ),
        )
    return None


def _one_line(text: str) -> str:
    # The query's text, which may stand behind LINE, and its place help nobody here.
    return " ".join(re.sub(r"(?m)^(LINE \d+:|第\d+行|\s*\^).*$", "", text).split())
