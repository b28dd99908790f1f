# SPDX-License-Identifier: Apache-2.0
"""What a plan's figures mean for the person who decides on road and hours. Pure; every sentence names its figures.

Rules: what travels in a week of nights goes by line, what takes longer by an offline medium (practice: weekly or more
often online, monthly or rarer by medium). Nothing is advised on a figure that was not measured: then it says so.
"""

from collections.abc import Iterator
from typing import Final

from agent.finding import Finding, Severity
from agent.plan.figures import EACH_RUN, Plan, TablePlan, format_span
from terminal.language import Text
from terminal.printer import format_size

MOST_NIGHTS: Final = 7
STANDBY_S: Final = 3600
"""A read longer than this on a primary is worth a standby."""

_SHOWN: Final = 5
_SERVERS: Final = frozenset({"postgresql", "mysql", "sqlserver", "oracle"})
_NOT_MEASURED: Final = Text(zh="未实测", en="NOT MEASURED")


def advise(plan: Plan) -> list[Finding]:
    """Give what follows from the figures, what fails first."""
    findings = [
        *_advise_age(plan),
        *_advise_sessions(plan),
        *_advise_spool(plan),
        *_advise_road(plan),
        *_advise_nights(plan),
        *_advise_weekly(plan),
        *_advise_sorting(plan),
        *_advise_standby(plan),
    ]
    findings += [found for found in (plan.around.volume, plan.around.rhythm) if found is not None]
    ranks = (Severity.FAIL, Severity.WARN, Severity.NOT_EXAMINED, Severity.OK)
    return sorted(findings, key=lambda finding: ranks.index(finding.severity))


def _advise_age(plan: Plan) -> Iterator[Finding]:
    limit, subject = plan.around.age_limit_s, "read"
    if limit is None:
        return
    if plan.seconds is None:
        yield Finding(
            Severity.NOT_EXAMINED, subject,
            Text(zh=f"一次读取的时长{_NOT_MEASURED.zh}，不知能否在 snapshot_age_limit 内完成",
                 en="how long one read takes was NOT MEASURED, nor whether it fits into snapshot_age_limit"),
        )  # fmt: skip
        return
    took, most = _read_span(plan), format_span(limit)
    least = _least(plan)
    if plan.seconds > limit:
        yield Finding(
            Severity.FAIL, subject,
            Text(zh=f"一次读取约需{least.zh} {took.zh}，超过 snapshot_age_limit（{most.zh}）：快照会中途放弃",
                 en=f"one read takes about {least.en}{took.en}, over snapshot_age_limit ({most.en}): it would be given up"),
            Text(zh="从备库读，设 split: true（一致性变为 per-table），或调大 snapshot_age_limit（期间数据库不能清理旧版本）",
                 en="read from a standby, set `split: true` (the class is then per-table), or raise snapshot_age_limit "
                 "(old versions of rows are kept for so long)"),
        )  # fmt: skip
    elif plan.seconds * 2 > limit:
        yield Finding(
            Severity.WARN, subject,
            Text(zh=f"一次读取约需{least.zh} {took.zh}，已过 snapshot_age_limit（{most.zh}）的一半：白天负载下可能超限",
                 en=f"one read takes about {least.en}{took.en}, over half of snapshot_age_limit ({most.en}): under load it "
                 "may be given up"),
            Text(zh="安排在夜间，或调大 snapshot_age_limit", en="read at a quiet hour, or raise snapshot_age_limit"),
        )  # fmt: skip
    else:
        yield Finding(
            Severity.OK, subject,
            Text(zh=f"一次读取约需{least.zh} {took.zh}，在 snapshot_age_limit（{most.zh}）之内",
                 en=f"one read takes about {least.en}{took.en}, within snapshot_age_limit ({most.en})"),
        )  # fmt: skip


def _advise_sessions(plan: Plan) -> Iterator[Finding]:
    """Name tables that one session cannot read within the age limit, where several could: `split` does not help them."""
    limit = plan.around.age_limit_s
    if limit is None or plan.around.read_sessions != 1:
        return
    long = [table for table in plan.tables if not table.sorted_here and (table.seconds or 0) > limit]
    if not long:
        return
    named = ", ".join(f"{table.name} ({format_span(table.seconds or 0).en})" for table in long[:_SHOWN])
    more, most = " …" if len(long) > _SHOWN else "", format_span(limit)
    yield Finding(
        Severity.WARN, "read_sessions",
        Text(zh=f"{len(long)} 张表一个会话读不完（限 {most.zh}）：{named}{more}",
             en=f"{len(long)} table(s) take one session longer than {most.en}: {named}{more}"),
        Text(zh="届时该服务器若有空闲的核，可设 read_sessions: 2；主键以整数开头、按主键存放的表才会分段同读",
             en="if cores of that server are idle at that hour, set `read_sessions: 2`; it helps tables whose key begins with a "
             "whole number and that lie in its order"),
    )  # fmt: skip


def _advise_spool(plan: Plan) -> Iterator[Finding]:
    around, subject = plan.around, "spool"
    needed = plan.nightly_bytes if around.is_seeded else plan.seed_bytes
    if needed is None:
        yield Finding(
            Severity.NOT_EXAMINED, subject,
            Text(zh=f"所需的发件箱空间{_NOT_MEASURED.zh}", en="the room that the spool needs was NOT MEASURED"),
        )  # fmt: skip
        return
    least, size, room = _least(plan), format_size(needed), format_size(around.spool_room_bytes)
    if needed > around.spool_room_bytes:
        yield Finding(
            Severity.FAIL, subject,
            Text(zh=f"收到回执前，一次快照在发件箱占{least.zh} {size}，而只能再放 {room}",
                 en=f"until its receipt a snapshot takes {least.en}{size} of the spool, which has room for {room}"),
            Text(zh="调大 spool.max_size，或把 spool.folder 移到更大的卷，或先用 include 分批登记",
                 en="raise spool.max_size, move spool.folder to a larger volume, or begin with a part (include)"),
        )  # fmt: skip
    else:
        yield Finding(
            Severity.OK, subject,
            Text(zh=f"收到回执前，一次快照在发件箱占{least.zh} {size}，还能放 {room}",
                 en=f"until its receipt a snapshot takes {least.en}{size} of the spool, which has room for {room}"),
        )  # fmt: skip


def _advise_road(plan: Plan) -> Iterator[Finding]:
    subject = "first snapshot"
    if plan.around.is_seeded:
        yield Finding(Severity.OK, subject, Text(zh="首次快照已在中心", en="the center has it"))
        return
    seconds, nights = plan.seed_line_s, plan.nights
    if seconds is None or nights is None or plan.seed_bytes is None:
        what = Text(zh="首次快照的大小", en="the size of the first snapshot") if plan.seed_bytes is None else Text(
            zh="线路速率", en="the speed of the line")  # fmt: skip
        yield Finding(
            Severity.NOT_EXAMINED, subject,
            Text(zh=f"{what.zh}{_NOT_MEASURED.zh}，不知走线路还是离线载体",
                 en=f"{what.en} was NOT MEASURED, so nothing is said of line or offline medium"),
            Text(zh="用 --line 10Mbit/s 说明线路速率，或登记后再运行", en="say --line 10Mbit/s, or run this after enrolment")
            if plan.seed_bytes is not None else "",
        )  # fmt: skip
        return
    window, took = format_span(plan.question.window_s), format_span(seconds)
    facts = Text(
        zh=f"{format_size(plan.seed_bytes)} 占用线路{_least(plan).zh} {took.zh}，每夜 {window.zh}需 {nights} 夜",
        en=f"{format_size(plan.seed_bytes)} keep the line busy for {_least(plan).en}{took.en}: {nights} night(s) of "
        f"{window.en}",
    )
    if nights > MOST_NIGHTS:
        yield Finding(
            Severity.WARN, subject, facts,
            Text(zh=f"超过 {MOST_NIGHTS} 夜：首次快照与档案馆商定用离线载体（周以下频率走线路，月以上用载体）；若仍走线路，"
                 "先 `snapshot --no-send`，再每夜 `send`",
                 en=f"more than {MOST_NIGHTS} nights: agree with the archives on an offline medium for the first one (what comes "
                 "weekly or more often goes by line, what comes monthly or rarer by medium); if it must go by line, take it "
                 "with `snapshot --no-send` and let `send` work every night"),
        )  # fmt: skip
    else:
        yield Finding(Severity.OK, subject, facts)


def _advise_nights(plan: Plan) -> Iterator[Finding]:
    subject, seconds = "nightly", plan.nightly_line_s
    if plan.nightly_bytes is None:
        yield Finding(
            Severity.NOT_EXAMINED, subject,
            Text(zh=f"每夜的流量{_NOT_MEASURED.zh}：首次之后还没有快照入库",
                 en="nightly bytes were NOT MEASURED: no snapshot after the first is stored yet"),
            Text(zh="两三夜之后再运行本命令", en="run this again after two or three nights"),
        )  # fmt: skip
    elif seconds is None:
        yield Finding(
            Severity.NOT_EXAMINED, subject,
            Text(zh=f"线路速率{_NOT_MEASURED.zh}", en="the speed of the line was NOT MEASURED"),
        )  # fmt: skip
    else:
        fits = seconds <= plan.question.window_s
        took, window = format_span(seconds), format_span(plan.question.window_s)
        yield Finding(
            Severity.OK if fits else Severity.WARN, subject,
            Text(zh=f"每夜平均 {format_size(plan.nightly_bytes)}，占用线路 {took.zh}，窗口 {window.zh}",
                 en=f"{format_size(plan.nightly_bytes)} a night keep the line busy for {took.en}, of a window of {window.en}"),
            "" if fits else Text(zh="放宽窗口、加快线路，或降低大表的频率",
                                 en="widen the window, get a faster line, or read large tables more rarely"),
        )  # fmt: skip


def _advise_weekly(plan: Plan) -> Iterator[Finding]:
    """Name the fewest tables, the longest first, without which a usual night's read fits its window and the age limit."""
    if plan.usual_seconds is None:
        return
    most = min(plan.question.window_s, plan.around.age_limit_s or plan.question.window_s)
    left, chosen = plan.usual_seconds, list[TablePlan]()
    nightly = [table for table in plan.tables if table.every == EACH_RUN]
    for table in sorted(nightly, key=lambda table: -(table.seconds or 0)):
        if left <= most or len(nightly) == 1:
            break
        left -= table.seconds or 0
        chosen.append(table)
    if not chosen:
        return
    named = ", ".join(f"{table.name} ({format_span(table.seconds or 0).en})" for table in chosen[:_SHOWN])
    more = " …" if len(chosen) > _SHOWN else ""
    rest, limit = format_span(max(left, 0)), format_span(most)
    yield Finding(
        Severity.WARN, "weekly",
        Text(zh=f"不读这 {len(chosen)} 张表，一夜的读取是 {rest.zh}（限 {limit.zh}）：{named}{more}",
             en=f"without {len(chosen)} table(s) a night's read is {rest.en}, of {limit.en}: {named}{more}"),
        Text(zh="在 agent.yaml 中为它们设 read: weekly 或 monthly；其余每夜读",
             en="give them `read:` weekly or monthly in agent.yaml; the rest is read every night"),
    )  # fmt: skip


def _advise_sorting(plan: Plan) -> Iterator[Finding]:
    here = [table for table in plan.tables if table.sorted_here]
    if not here:
        return
    subject, size = "sorting", format_size(plan.sort_bytes)
    unknown = sum(table.sort_bytes is None for table in here)
    largest = sorted(here, key=lambda table: -(table.sort_bytes or 0))
    named = ", ".join(
        f"{table.name} ({'NOT MEASURED' if table.sort_bytes is None else format_size(table.sort_bytes)})"
        for table in largest[:_SHOWN]
    ) + (" …" if len(here) > _SHOWN else "")
    free = format_size(plan.around.sort_room_bytes)
    if not plan.sort_bytes and not unknown:
        room = Text(zh="在内存中", en="in memory")
    else:
        room = Text(
            zh=f"临时空间{'至少' if unknown else '至多'} {size}，该卷可用 {free}",
            en=f"in {'at least' if unknown else 'up to'} {size} of {free} there",
        )
    facts = Text(
        zh=f"{len(here)} 张表由采集端排序（没有主键，或数据库的顺序不同），一次一张，{room.zh}：{named}",
        en=f"{len(here)} table(s) are sorted here (no key, or the server's order is another), one at a time, {room.en}: {named}",
    )
    if plan.sort_bytes > plan.around.sort_room_bytes:
        hint = Text(zh="在采集端目录所在的卷腾出空间", en="make room on the volume of the agent's folder")
        yield Finding(Severity.FAIL, subject, facts, hint)
    else:
        yield Finding(Severity.OK, subject, facts)


def _advise_standby(plan: Plan) -> Iterator[Finding]:
    if plan.around.kind not in _SERVERS or plan.is_copy or plan.seconds is None or plan.seconds <= STANDBY_S:
        return
    took = format_span(plan.seconds)
    yield Finding(
        Severity.WARN, "standby",
        Text(zh=f"主库上的快照要保持 {took.zh}，期间旧版本不能清理",
             en=f"a snapshot is held for {took.en} on a server that works: it cleans up no old versions meanwhile"),
        Text(zh="有备库时让来源指向备库", en="point the source at a standby or replica, if there is one"),
    )  # fmt: skip


def _read_span(plan: Plan) -> Text:
    """Write how long a read takes, and a usual one, where the settings leave tables unread at most runs."""
    whole = format_span(plan.seconds or 0)
    if not plan.is_partial:
        return whole
    usual = format_span(plan.usual_seconds or 0)
    return Text(zh=f"{whole.zh}（平常 {usual.zh}）", en=f"{whole.en} (usually {usual.en})")


def _least(plan: Plan) -> Text:
    return Text(zh="至少", en="at least ") if plan.unmeasured else Text(zh="", en="")
