# SPDX-License-Identifier: Apache-2.0
"""From ODBC's errors to the agent's: by SQLSTATE, which drivers agree on in part, else by the words. No I/O.

What is not recognised is an error that a person reads in full; only what surely means "try again later" is a
SourceDownError. Source: ISO/IEC 9075 SQLSTATE classes; Microsoft's ODBC appendix A.
"""

import re
from typing import Final

from agent.collectors.lost import lose_because
from agent.collectors.odbc.dialect import Dialect
from agent.collectors.odbc.process import StatementError
from agent.collectors.odbc.settings import OdbcSettings
from agent.errors import AgentError, LoginError, SourceDownError, SourceError
from terminal.language import Text

_LOGIN: Final = re.compile(
    r"authentication failed|认证失败|no password supplied|Access denied for user|Login failed|登录失败|password incorrect"
    r"|invalid username|invalid user|用户名或密码|role .* does not exist|pg_hba",
    re.IGNORECASE,
)
_NO_DRIVER: Final = re.compile(
    r"Can't open lib|Data source name not found|未发现数据源|specified driver could not be loaded|No module named 'pyodbc'"
    r"|libodbc",
    re.IGNORECASE,
)
_DOWN: Final = re.compile(
    r"refused|timed? ?out|could not translate|no route|unreachable|can't connect|communication link|Can't connect"
    r"|closed the connection|gone away|Lost connection|network|starting up|shutting down|too many c",
    re.IGNORECASE,
)
_DOWN_STATES: Final = ("08", "57P", "53300", "HYT01")
_LOST_REASONS: Final = {
    "42S02": "it was dropped or renamed meanwhile, or the account may not see it", "42P01": "it was dropped or renamed meanwhile",
    "42S22": "a column was dropped or renamed meanwhile", "42703": "a column was dropped or renamed meanwhile",
    "42501": "the account has no right to read all of it", "42000": "the server refused the query",
    "55P03": "others held it locked longer than lock_timeout", "40001": "the server broke a deadlock at its cost",
    "22021": "it has a text that cannot be decoded", "57014": "the server cancelled reading it", "HYT00": "the driver's own time limit passed",
}  # fmt: skip


def refuse_connection(err: StatementError, settings: OdbcSettings, dialect: Dialect) -> SourceError:
    """Give what a refused connection means. What the driver says is shown without the password."""
    text = hide(str(err), settings)
    where = Text(zh=f"{dialect.title.zh}（{settings.address}）", en=f"{dialect.title.en} ({settings.address})")
    if _NO_DRIVER.search(text) or err.state in ("IM002", "IM003", "IM004"):
        return SourceError(
            Text(
                zh=f"{where.zh} 的 ODBC 驱动加载不了：{text}",
                en=f"the ODBC driver for {where.en} cannot be loaded: {text}",
            ),
            hint=Text(
                zh=f"安装{dialect.needs.zh}，并执行 `pip install 'jinsuo[odbc]'`；`jinsuo-agent sources` 显示本机已有的",
                en=f"install {dialect.needs.en} and `pip install 'jinsuo[odbc]'`; `jinsuo-agent sources` shows what is there",
            ),
        )
    if _LOGIN.search(text) or err.state == "28000":
        return LoginError(
            Text(
                zh=f"{where.zh} 拒绝账户 {settings.user!r}：{text}",
                en=f"{where.en} refused the account {settings.user!r}: {text}",
            ),
            hint=Text(zh="检查用户名和口令", en="check user and password"),
        )
    if _DOWN.search(text):
        return SourceDownError(
            Text(zh=f"{where.zh} 没有应答：{text}", en=f"{where.en} does not answer: {text}"),
            hint=Text(zh="检查它是否在运行、地址和防火墙", en="check that it runs, its address and the firewall"),
        )
    return SourceError(
        Text(zh=f"{where.zh} 拒绝连接：{text}", en=f"{where.en} refused the connection: {text}"),
        hint=Text(zh="检查 `connection`；详见数据库服务器的日志", en="check `connection`; the server's log says more"),
    )


def refuse(err: StatementError, settings: OdbcSettings) -> SourceError:
    """Give what an error outside of any one table means."""
    text = hide(str(err), settings)
    if is_down(err):
        return SourceDownError(
            Text(
                zh=f"与 {settings.address} 的连接断了：{text}", en=f"the connection to {settings.address} broke: {text}"
            ),
            hint=Text(zh="查看服务器日志，稍后重试", en="check the server's log; try again later"),
        )
    return SourceError(
        Text(zh=f"{settings.address} 拒绝了一个查询：{text}", en=f"{settings.address} refused a query: {text}"),
        hint=Text(
            zh="运行 `jinsuo-agent check`；详见数据库服务器的日志",
            en="run `jinsuo-agent check`; the server's log says more",
        ),
    )


def lose(err: StatementError, settings: OdbcSettings, table: str) -> AgentError:
    """Give what an error while reading `table` means: the table is lost, or the whole view."""
    if is_down(err):
        return refuse(err, settings)
    return lose_because(table, _LOST_REASONS.get(err.state, "the server refused"), hide(err.text, settings))


def is_down(err: StatementError) -> bool:
    """Tell whether the connection broke or the server ended."""
    return err.state.startswith(_DOWN_STATES)


def hide(text: str, settings: OdbcSettings) -> str:
    """Give a driver's words in one line, without the password."""
    line = " ".join(text.split())
    return line.replace(settings.password, "…") if settings.password else line
