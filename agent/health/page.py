# SPDX-License-Identifier: Apache-2.0
"""The agent's status as one page for a browser on this machine. Pure; nothing in it comes from elsewhere or runs.

What comes from settings or a server (names, reasons) is escaped; there are no cell values, keys or passwords in a status.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape

from agent.health.document import find_lag_s, format_lag
from agent.outcome import AgentStatus, SourceStatus, Stage
from terminal.language import Language, Text
from terminal.printer import format_size, make_visible

REFRESH_S = 60
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1a1a1a;background:#fff}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .8rem;border-bottom:1px solid #ddd}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}.bad{color:#a40000;font-weight:600}.dim{color:#666}"
    "@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}th,td{border-color:#333}.bad{color:#ff8a80}.dim{color:#999}}"
)
_STAGES = {
    Stage.SPOOLED: Text(zh="待发送", en="waiting"),
    Stage.REGISTERED: Text(zh="已登记", en="registered"),
    Stage.STORED: Text(zh="已入库", en="stored"),
}
_HEADERS = (
    Text(zh="来源", en="Source"),
    Text(zh="最近", en="Newest"),
    Text(zh="级别", en="Level"),
    Text(zh="取于", en="Taken"),
    Text(zh="最近入库", en="Last stored"),
    Text(zh="滞后", en="Lag"),
    Text(zh="行数", en="Rows"),
    Text(zh="待发", en="Waiting"),
)


def write_page(status: AgentStatus, now: datetime, language: Language) -> str:
    """Write the page; times are this machine's local ones."""

    def say(zh: str, en: str) -> str:
        return escape(make_visible(Text(zh=zh, en=en).into(language)))

    title = say(f"金锁采集端 {status.unit or ''}", f"Jinsuo agent {status.unit or ''}")
    parts = [
        f'<!doctype html><html lang="{language.value}"><head><meta charset="utf-8"><title>{title}</title>',
        f'<meta http-equiv="refresh" content="{REFRESH_S}"><meta name="viewport" content="width=device-width">',
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
    ]
    if status.center is None:
        parts.append(f'<p class="bad">{say("尚未登记", "not enrolled yet")}: <code>jinsuo-agent enroll</code></p>')
    else:
        parts.append(f"<p>{say(f'中心 {status.center}', f'center {status.center}')}</p>")
    if status.pause is not None:
        until = "" if status.pause.until is None else _time(status.pause.until)
        parts.append(f'<p class="bad">{say(f"已暂停 {until}", f"paused {until}")}</p>')
    parts.append(_write_table(status.sources, now, language))
    used, most = format_size(status.spool_bytes), format_size(status.spool_limit_bytes)
    free = format_size(status.spool_free_bytes)
    parts.append(
        f"<p>{say(f'发件箱 {used} / {most}，卷上空闲 {free}', f'spool {used} of {most}, {free} free on its volume')}</p>"
    )
    parts.append(
        f'<p class="dim">{say(f"{_time(now)}；每 {REFRESH_S} 秒刷新", f"{_time(now)}, anew every {REFRESH_S} s")}</p>'
    )
    return "".join(parts) + "</body></html>\n"


def _write_table(sources: Sequence[SourceStatus], now: datetime, language: Language) -> str:
    head = "".join(f"<th>{escape(header.into(language))}</th>" for header in _HEADERS)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(_write_row(s, now, language) for s in sources)}</tbody></table>"


def _write_row(source: SourceStatus, now: datetime, language: Language) -> str:
    lag = find_lag_s(source, now)
    stored = "" if source.stored_sequence is None else f"#{source.stored_sequence} log@{source.log_index}"
    waiting = f"{source.waiting} ({format_size(source.waiting_bytes)})" if source.waiting else ""
    cells = [
        ("", source.source),
        ("", "" if source.sequence is None else f"{source.source}#{source.sequence}"),
        ("", "" if source.stage is None else _STAGES[source.stage].into(language)),
        ("", "" if source.taken_at is None else _time(source.taken_at)),
        ("", stored),
        ("n", "" if lag is None else format_lag(lag)),
        ("n", "" if source.rows is None else f"{source.rows:,}"),
        ("n", waiting),
    ]
    row = "".join(f'<td class="{kind}">{escape(make_visible(text))}</td>' for kind, text in cells)
    trouble = ""
    if source.last_error:
        trouble = f'<tr><td class="bad" colspan="{len(cells)}">{escape(make_visible(source.last_error))}</td></tr>'
    return f"<tr>{row}</tr>{trouble}"


def _time(when: datetime) -> str:
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
