# SPDX-License-Identifier: Apache-2.0
"""The part of a new center.yaml that is about alerts and metrics: every key with its default, commented in both languages."""

from typing import Final

ALERTS_EXAMPLE: Final = """\

# What the center watches for while `serve` runs, and whom it tells: see "Knowing of trouble" in docs/operate.md.
# 服务运行时中心值守的内容和告警渠道：见 docs/operate.zh-CN.md 的“值守与告警”。
alerts:
  # A unit that has not called for so long is quiet; agents send a heartbeat every 15 min. At least 10 min.
  # 单位多久没有音信即告警；采集端每 15 分钟发一次心跳。
  quiet_after: 6 h
  # Units that are never called quiet, such as those that send media only: names or patterns, ["X9*"].
  # 不因无音信告警的单位（如只送离线载体的），名称或模式。
  not_watched: []
  # A stored snapshot with so many percent fewer rows or bytes than the one before; null: never.
  # 行数或字节比上一个已入库的快照少百分之多少即告警；null 为不告警。
  shrink: 30
  # With so many times as many rows or bytes; null: never.
  # 行数或字节达到上一个的多少倍即告警；null 为不告警。
  grow: 3
  # How far an agent's clock may be off.
  # 采集端时钟允许的偏差。
  clock: 5 min
  # Less than so many percent free on the center's disk.
  # 中心磁盘剩余少于百分之多少即告警。
  disk: 10
  # Less than this free on the volume of an agent's spool.
  # 采集端发件箱所在卷剩余少于此值即告警。
  agent_free: 5 GiB
  # Content of a registered snapshot must have come within this time, by line or medium.
  # 已登记的快照，其内容须在此时间内到达（线路或载体）。
  content_within: 14 d
  # How long before its end the TLS certificate is an alert.
  # TLS 证书到期前多久告警。
  certificate: 30 d
  # What is still so is told again after this time, at least a day; null: never.
  # 未解决的告警多久重复一次，至少一天；null 为不重复。
  repeat: 1 d
  # How long it must be gone before there is an all-clear.
  # 恢复正常多久后才发解除通知。
  settle: 10 min
  # The time zone of all times of day and days here.
  # 此处各时刻和日期的时区。
  zone: Asia/Shanghai
  # Days on which nothing is due, in quotes: ["2026-10-01..2026-10-07"].
  # 节假日（加引号），当天不要求有快照。
  holidays: []
  # Days of weekends that are worked in exchange: ["2026-10-10"].
  # 调休上班的周末。
  workdays: []
  # A file with the same, a day or range a line, `+` before days that are worked; null: none.
  # 写有节假日的文件，每行一个日期或范围，调休上班前加 +；null 为无。
  calendar:
  # By when snapshots must have come; the first entry that fits a source counts, a source that none fits is never late.
  # days: daily, workdays, mon-fri, sat,sun, monthly 3. level: registered or stored. on_holidays: true: due then too.
  # 各来源的快照应在何时前到达；按顺序取第一条相符的，都不相符的不算迟到。
  # expected:
  #   - {unit: "X0*", source: his, days: daily, by: "08:00", on_holidays: true, level: stored}
  #   - {unit: "*", source: "*", days: workdays, by: "09:30", zone: Asia/Urumqi}
  expected: []
  # The day of the month (1 to 28) of a test alarm to every channel, and its time; null: none.
  # 每月向各渠道发一次例行测试：日（1 至 28）和时刻；null 为不发。
  test_day: 1
  # The time of day of the test alarm, in quotes.
  # 例行测试的时刻（加引号）。
  test_at: "09:00"
  # Who is told: mail, webhook, command. least: notice, warning or error. Secrets are env:VARIABLE or file:PATH.
  # 告警渠道：邮件、webhook、命令（短信网关）。least 为最低级别。口令只写 env:变量 或 file:路径。
  # channels:
  #   - {name: mail, kind: mail, host: smtp.archives.example, port: 587, tls: starttls, ca_file: null, user: jinsuo,
  #      password: "file:mail.password", sender: jinsuo@archives.example, to: [duty@archives.example], least: notice}
  #   - {name: chat, kind: webhook, url: "https://chat.archives.example/hook", secret: "env:JINSUO_HOOK", ca_file: null}
  #   - {name: sms, kind: command, argv: [/usr/local/bin/send-sms], timeout: 20 s, least: error}
  channels: []

# Figures of the daemon for Prometheus.  供 Prometheus 读取的指标。
metrics:
  # Shown at http://ADDRESS/metrics, on an address of this machine such as 127.0.0.1:9464; empty: none.
  # 只能是本机地址，如 127.0.0.1:9464；留空则不提供。
  listen:
"""
