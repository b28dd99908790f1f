# SPDX-License-Identifier: Apache-2.0
"""The settings file that `init` writes: every key with its default, commented in both languages.

The same text stands in config/agent.example.yaml for those who read before they install (a test compares the two, and
the keys with the models). It is here because an installed package has no config folder.
"""

from pathlib import Path

from agent.config import CONFIG_NAME
from evidence.disk import make_private_folder
from terminal.errors import UsageError
from terminal.language import Text

EXAMPLE = r"""# 金锁采集端配置。每个键都写在这里，值为默认值；去掉不需要的行即可。
# Settings of the Jinsuo agent. Every key stands here with its default; drop the lines you do not need.
#
# 大小写作 512 MiB、20 GiB，时长写作 30 s、10 min、6 h、14 d；相对路径从本文件所在目录算起。
# Sizes are written 512 MiB, 20 GiB; times 30 s, 10 min, 6 h, 14 d; relative paths start at this file's folder.
# 中心的地址不在此处：`jinsuo-agent enroll` 把它与密钥存在一起。
# The center's address is not here: `jinsuo-agent enroll` keeps it beside the keys.

# 给人看的文字：zh 或 en；null 随系统。 Language of messages: zh or en; null: the system's.
language: null

# 计划所用的时区，例如 Asia/Shanghai；null 随本机。 The time zone of schedules, such as Asia/Shanghai; null: the machine's.
time_zone: null

# 发件箱：等待中心回执的数据。 The spool: what waits for the center's receipt.
spool:
  # 不要与业务数据库放在同一个卷上。 Not on the volume of a live database.
  folder: spool
  # 每个来源待发内容的上限。近限时先舍弃中间各日的内容（声明照常登记），最后才不取新快照；不影响业务系统。
  # Of what waits, for each source. Near it the content of middle days is given up (their statements stay registered), and only
  # then nothing new is taken, and a gap says so; the live system is not harmed.
  max_size: 20 GiB
  # 该卷上始终留出的空间。 What is always left free on that volume.
  min_free: 1 GiB
  # 每个来源已送出的数据留多少：次日改过的页只传差异；空间不足时先删它。
  # How much of what each source has sent is kept: changed pages then travel as differences. Given up first for room.
  keep: 2 GiB
  # zstd 压缩级别，1 至 19；3 级只小 1%，慢一半。 Level of zstd, 1 to 19; 3 is half as fast for 1 % less.
  compression: 1
  # 中间各日的内容最多等待多久，如 90 d；null：只受容量限制。 How long content of middle days waits at most, such as 90 d;
  # null: only the sizes above limit it.
  max_age: null

# 离线载体（`jinsuo-agent media`）。 Offline media.
media:
  # 每卷多大：dvd、bd25、bd100，或大小，例如 700 MB、1 TiB（移动硬盘）。
  # What a volume holds: dvd, bd25, bd100, or a size such as 700 MB, or 1 TiB for a disk.
  volume_size: dvd
  # PAR2 修复数据占百分之几；0 为不写。 Recovery data, in percent; 0: none.
  redundancy: 10
  # 写哪几套。 Which copies are written.
  copies: A
  # 等回执多久；这段时间内数据包不走线路，声明照常登记。
  # How long a receipt is awaited; until then packs do not travel by the line, statements are registered all the same.
  wait: 60 d
  # 编号中的类别：SJ 业务数据、WS 公文、SZ 数字化成果…… The kind in the numbers: SJ, WS, SZ, …
  kind: SJ
  # 以下写入 说明文件.TXT、文件目录.XML 和刻录单；空着的留给手写。 These stand on the medium; empty ones are left for the pen.
  secrecy: 内部
  # 载体类型、品牌、批号。 Kind of medium, brand, lot.
  medium: ""
  # 载体保管单位。 Who keeps it.
  keeper: ""
  # 载体制作单位或人；空着为本单位。 Who makes it; empty: the unit.
  maker: ""
  # 载体检查单位或人。 Who checks it.
  checker: ""
  # 硬件环境。 Hardware.
  hardware: ""
  # 软件环境。 Software.
  software: ""

# 不打扰业务系统。除 priority 外，每个来源可在自己的 throttle 中另设。null 为不限。
# Kindness to the live systems. But for priority, each source may have its own in a `throttle` of its own. null: no limit.
throttle:
  # low：本程序让所有别的程序先行（处理器、磁盘）；或 normal。 low: everybody else goes first; or normal.
  priority: low
  # 本机处理器、等待磁盘的百分比超过时，读取暂停。 Above these percentages of this machine's cores, reading pauses.
  max_cpu: null
  # 同上：等待磁盘。 Likewise: cores that wait for disks.
  max_io_wait: null
  # 本机空闲内存低于此值时暂停，例如 512 MiB。 Below this much free memory, such as 512 MiB, reading pauses.
  min_free_memory: null
  # 最近一分钟的负载高于此值时暂停。 Above this load of the last minute, reading pauses.
  max_load: null
  # 本机一直太忙，等多久后放弃开始（返回 2）。 How long to wait for a busy machine before giving up (exit code 2).
  begin_within: 30 min
  # 读取只占百分之几的时间，其余时间停着，例如 10。 Read for so many percent of the time, such as 10, and pause for the rest.
  share: null
  # 从来源每秒最多读多少，例如 20 MiB。 At most so much a second from the source, such as 20 MiB.
  read_rate: null
  # 在线路上每秒最多发多少，例如 2 MiB。 At most so much a second on the line, such as 2 MiB.
  send_rate: null
  # 业务繁忙的时段（本地时间），例如 "07:30-18:00"：不开始快照。 Busy hours, local time: no snapshot begins.
  quiet_hours: null
  # 设了它，静默时段内可以开始，但读取不快于此。 With this, one may begin then, and reads no faster than so.
  quiet_rate: null
  # 来源应答一个小问题比开始前慢这么多倍（且超过 50 毫秒）时，放慢到五分之一。
  # When the source answers a trifle so many times more slowly than before (and over 50 ms), read at a fifth of the speed.
  max_latency: 8

# 本机状态页：/ 给人看，/status.json 与 /metrics（Prometheus）给程序；只限本机地址。null 为不开。
# The status page of `jinsuo-agent run`: / for people, /status.json and /metrics (Prometheus); on this machine alone. null: none.
health:
  # 例如 127.0.0.1:9464。 Such as 127.0.0.1:9464.
  listen: null

# 常驻进程的日志。 What the daemon logs.
log:
  # text：一行一事；或 json：一行一个 JSON 对象。 text: a line an event; json: an object a line.
  format: text
  # null：标准错误（由 systemd 等收集）；或文件，写满后轮换。 null: stderr, for systemd and the like; or a file, which is rotated.
  file: null
  # 写到多大换新文件，旧的留几个。 How large it gets before a new one is begun, and how many old ones stay.
  max_size: 20 MiB
  keep: 10
# 到中心的线路；哪个中心由登记决定。详见手册“到中心的线路”。 The road to the center; which center is settled by enrolment. See "Roads".
road:
  # https；或 ssh：经档案馆的 SSH 服务器，其中仍是同样的 TLS；没有线路：folder 或 sftp。
  # https, or ssh: by the archives' SSH server, with the same TLS inside; without a line: folder or sftp.
  kind: https
  # HTTP 代理（CONNECT），两种线路都可用；null 为不用。口令为 secret:名称 等。
  # An HTTP proxy (CONNECT), for either kind; null: none. Its password is secret:NAME or the like.
  # proxy: {url: "http://proxy.example:3128", user: clinic, password: secret:proxy}
  proxy: null
  # host_key：服务器的主机密钥（SHA256 指纹或 known_hosts 的一行），由档案馆告知；key：`jinsuo-agent ssh-key` 生成的私钥；
  # forward：SSH 服务器那边的中心，null 为 127.0.0.1 和中心地址中的端口；keepalive：多久让线路说一句话。
  # host_key: the server's key (its SHA256 fingerprint, or a line of known_hosts), told by the archives; key: the private key
  # that `jinsuo-agent ssh-key` makes; forward: the center as that server reaches it, null: 127.0.0.1 and the port of the
  # center's address; keepalive: how often an idle line says a word.
  # ssh: {host: archives.example, port: 22, user: jinsuo-line, host_key: "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8",
  #       key: keys/ssh.key, forward: null, keepalive: 30 s}
  ssh: null
  # kind: folder：由网闸搬运的两个目录：包裹从 outbox 出，回执从 inbox 进。详见手册“收发目录”。
  # kind: folder, two folders that a gateway empties and fills: bags go out, receipts come in. See "Drop boxes" in the handbook.
  # folder: {outbox: /srv/gateway/out, inbox: /srv/gateway/in}
  folder: null
  # kind: sftp：任一 SFTP 服务器上的两个目录；host_key、key 同上。 kind: sftp, two folders of any SFTP server; host_key and key as above.
  # sftp: {host: drop.example, port: 22, user: x013, host_key: "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8",
  #        key: keys/ssh.key, outbox: outbox, inbox: inbox}
  sftp: null
  # 用于 folder 与 sftp。 For the roads folder and sftp.
  bags:
    # 内容按约此大小分装成多个包裹。 What waits is split over bags of about this size.
    size: 512 MiB
    # 这么久没有回音的，重新打包。 What was not answered for so long is bagged anew.
    resend_after: 7 d
# 心跳：采集端定时告诉中心自己的状况。 The heartbeat: how this agent is, told to the center now and then.
heartbeat:
  # 两次之间的时间，1 min 至 24 h；null 为不发，中心只从快照得知。
  # The time between two, 1 min to 24 h; null: none, and the center hears only of snapshots.
  every: 15 min

# 组：先同时打开、再逐个读取的来源，清单记同一组号：`jinsuo-agent snapshot --group nightly`。
# Groups: sources opened at one moment, then read one by one, under one group id: `jinsuo-agent snapshot --group nightly`.
# schedule 与来源的相同（见下）；组不能“变动时”。 Its schedule: as a source's (see below), but never on change.
# groups: [{name: nightly, sources: [his, lis, pacs], schedule: daily at 01:30}]
groups: []

# 来源：要登记备份的业务系统。 The sources: the live systems to register and back up.
sources:
  # 一个 PostgreSQL 数据库。 A PostgreSQL database.
  - # 名称，登记后不可更改。 Its name; never changed once registered.
    name: his
    kind: postgresql
    # 主机；以 / 开头则为 Unix 套接字目录。 Host; one that begins with / is the folder of a Unix socket.
    host: localhost
    port: 5432
    database: hospital
    # 只读账户；`jinsuo-agent grants his` 给出其 SQL。 The read-only account; `jinsuo-agent grants his` prints its SQL.
    user: jinsuo
    # secret:名称（用 `jinsuo-agent secret set 名称` 存入）、credential:名称（systemd 的凭据）、env:变量 或 file:路径；null 为不用口令。
    # secret:NAME (kept with `jinsuo-agent secret set NAME`), credential:NAME (systemd's), env:VARIABLE or file:PATH; null: no password.
    password: secret:his
    # disable、allow、prefer、require、verify-ca 或 verify-full。 As in libpq.
    sslmode: prefer
    # 服务器证书的签发者（PEM 文件）；null 随系统。 Who signed the server's certificate (PEM); null: the system's.
    sslrootcert: null
    # 只取这些表；空为全部。可用 * ? […]。 Only these tables; none: all. Patterns: * ? […].
    include: []
    # 不取这些表；清单里会写明。 Not these tables; the manifest says so.
    exclude: []
    # 表的逻辑名：改名或更换数据库后证据仍连贯。 Logical names, which survive a rename or a change of database.
    as: {}
    # 是否收物化视图。 Whether materialized views are taken.
    materialized_views: false
    # 是否收大对象。 Whether large objects are taken.
    large_objects: true
    # 等锁的上限，避免挡住业务的 DDL。 How long to wait for a lock, so that we never stand in the way of DDL.
    lock_timeout: 10 s
    # 别人等我们正在读的表多久，我们就让开；0 为一发现就让。 How long others may wait for the table that we read; 0: until we see it.
    give_way_after: 0 s
    # 一条查询的上限；null 随服务器和快照时限。 How long one query may run; null: the server's limit, or the snapshot's age.
    statement_timeout: null
    # 连接的上限。 How long connecting may take.
    connect_timeout: 10 s
    # 快照（事务）年龄的上限，超过即放弃。 How old the snapshot's transaction may get; beyond it we give up.
    snapshot_age_limit: 4 h
    # 到上限时改开新的视图接着读其余的表（一致性变为 per-table），而不是放弃。
    # At that limit, open a new view for the tables that are left (the class is then per-table) instead of giving up.
    split: false
    # 哪些表不必每次都读，例如 {"archive.*": weekly, "public.image": monthly}；未读的表沿用上次的读取，并写明。
    # Tables that need not be read each run, such as {"archive.*": weekly, "public.image": monthly}; the first pattern that
    # fits a table's name counts; one that is not read is carried over, and the manifest says so. Also: each run.
    read: {}
    # 几个会话同时读一张大表（1 至 8）；每多一个，读取时就多占业务系统一个核，核有空闲且读不完时才用。结果相同。
    # How many sessions read a large table at once (1 to 8). Each one more takes one more core of the live system meanwhile: for
    # what cannot be read in time, where cores are idle. The result is the same.
    read_sessions: 1
    # pg_dump 程序，用来取 DDL；null 自动寻找。 The pg_dump that gives the DDL; null: a fitting one that is found.
    pg_dump: null
    # `jinsuo-agent run` 何时取快照；null 为只由人工或系统的定时任务。可写作：
    # When `jinsuo-agent run` takes it; null: only by hand, or by the system's timer. Such as:
    #   每天 01:30、每周日 02:00、每月1日 03:00、每月最后一天、每15分钟、每6小时、变动时（须设 watch）
    #   daily at 01:30, weekly on sunday at 02:00, monthly on day 1 at 03:00, monthly on last day, every 15 min, every 6 h,
    #   on change (needs `watch:`), or the five fields of cron in quotes: "30 1 * * mon-fri".
    # 不写时刻即 01:30，不写日子即周日、1 日。其余的键及默认值：
    # Without a time it is 01:30, without a day Sunday or day 1. With the other keys and their defaults:
    #   schedule:
    #     run: daily at 01:30
    #     # 时区；null 为上面的 time_zone。 null: `time_zone` above.
    #     time_zone: null
    #     # 只在此时段内开始，例如 "01:00-05:00"；到点仍在读取即放开来源，下次再读。
    #     # Runs begin only within, such as "01:00-05:00"; one that is still reading at its end lets go of the source.
    #     window: null
    #     # 不运行的日子，例如 ["2026-10-01..2026-10-07", "2027-01-01"]；会写明。 Days without runs, which is stated.
    #     blackout: []
    #     # 随机推迟至多这么久，免得各单位同时发送。 Put off by up to so much, so that units do not all send at once.
    #     random_delay: 0 s
    #     # 错过的（停机、停电）：make up 补一次，或 skip 不补；都会写明。 Missed, machine off: made up once, or skipped; stated.
    #     missed: make up
    #     # 失败后再试几次，间隔从 backoff 起加倍，不越过下一次运行。 Tries after a failure, backoff doubled each time, never
    #     # beyond the next run.
    #     retries: 5
    #     backoff: 10 min
    schedule: null
    # 此来源自己的 throttle，例如 {read_rate: 20 MiB, quiet_hours: "07:30-18:00"}；null 为用上面的。
    # A throttle of its own, such as {read_rate: 20 MiB, quiet_hours: "07:30-18:00"}; null: the one above.
    throttle: null

  # 一个 SQLite 文件。 A SQLite file.
  - name: lis
    kind: sqlite
    path: lis.db
    include: []
    exclude: []
    as: {}
    lock_timeout: 10 s
    snapshot_age_limit: 1 h
    split: false
    read: {}
    schedule: null
    throttle: null
    # 由 `jinsuo-agent watch` 监视：变动静止 settle 之久即取快照；null 为不监视。
    # Followed by `jinsuo-agent watch`: taken once what changed has stood still for `settle`; null: not watched.
    # watch: {settle: 30 s, most_wait: 15 min, poll: 60 s,
    #         ignore: ["*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.download", "*.swp", "*~", "~$*",
    #                  ".~*", ".#*", ".nfs*"]}
    watch: null

  # 一个 MySQL 或 MariaDB 数据库。 A database of MySQL or MariaDB.
  - name: pacs
    kind: mysql
    # 主机；以 / 开头则为 Unix 套接字。 Host; one that begins with / is a Unix socket.
    host: 127.0.0.1
    port: 3306
    database: pacs
    # 只读账户；`jinsuo-agent grants pacs` 给出其 SQL。 The read-only account; `jinsuo-agent grants pacs` prints its SQL.
    user: jinsuo
    password: secret:pacs
    # disabled、preferred、required、verify-ca 或 verify-identity。 As in MySQL's own programs.
    ssl_mode: preferred
    # 服务器证书的签发者（PEM 文件）；null 随系统。 Who signed the server's certificate (PEM); null: the system's.
    ssl_ca: null
    include: []
    exclude: []
    as: {}
    # 让全库停写片刻（毫秒），以得到两个同一状态的会话和准确的日志位置；需要 RELOAD 权限。
    # Stop all writing for a moment (milliseconds), for two sessions of one state and the exact position; needs RELOAD.
    lock_guard: false
    lock_timeout: 10 s
    give_way_after: 0 s
    statement_timeout: null
    connect_timeout: 10 s
    snapshot_age_limit: 4 h
    split: false
    read: {}
    schedule: null
    throttle: null

  # 一个 SQL Server 数据库，经微软的 ODBC 驱动。 A database of SQL Server, by Microsoft's ODBC driver.
  # 尚未在真实服务器上运行过。 not yet run against a live server
  - name: emr
    kind: sqlserver
    # 主机；以 主机\实例 的形式写时不看端口。 Host; written host\instance, the port does not count.
    host: localhost
    port: 1433
    database: emr
    user: jinsuo
    password: secret:emr
    # 驱动在 ODBC 管理器中的名称。 The driver's name with the ODBC manager.
    driver: ODBC Driver 18 for SQL Server
    # strict、mandatory 或 optional：线路是否加密。 Whether the line is encrypted, as in Microsoft's driver.
    encrypt: mandatory
    # 不核对服务器证书。 Whether the server's certificate is taken unseen.
    trust_certificate: false
    # consistent：须已允许 SNAPSHOT 隔离；live：没有也读，各行不是同一时刻。
    # consistent: SNAPSHOT isolation must be allowed; live: read without it too, rows are not of one instant.
    consistency: consistent
    include: []
    exclude: []
    as: {}
    lock_timeout: 10 s
    give_way_after: 15 s
    # 驱动多久没有回答即视为停住。 How long the driver may be silent until it counts as stalled.
    stall_timeout: 30 min
    connect_timeout: 10 s
    snapshot_age_limit: 4 h
    split: false
    read: {}
    schedule: null
    throttle: null

  # 一个 Oracle 数据库（12.1 起；11g 用 client）。 A database of Oracle (from 12.1 on; 11g by `client`).
  # 尚未在真实服务器上运行过。 not yet run against a live server
  - name: ris
    kind: oracle
    host: localhost
    port: 1521
    # 服务名。 The service's name.
    service: ORCLPDB1
    user: jinsuo
    password: secret:ris
    # Instant Client 的目录，11g 需要；null 为驱动自带的协议。 Folder of an Instant Client, for 11g; null: none is needed.
    client: null
    include: []
    exclude: []
    as: {}
    stall_timeout: 30 min
    connect_timeout: 10 s
    # 不超过 undo_retention，否则 ORA-01555。 Not over undo_retention, or ORA-01555 ends the reading.
    snapshot_age_limit: 1 h
    split: false
    read: {}
    schedule: null
    throttle: null

  # 其他数据库，经各自的 ODBC 驱动；`jinsuo-agent sources` 列出方言与驱动。
  # Any other database by its ODBC driver; `jinsuo-agent sources` lists dialects and drivers.
  - name: old
    kind: odbc
    # postgresql、mariadb、sqlite、dm8、kingbase、iris、db2、gbase 或 generic。 The dialect.
    dialect: dm8
    # ODBC 连接串，不含账户和口令。 An ODBC connection string, without account and password.
    connection: DSN=old
    # null 为不用账户。 null: no account.
    user: null
    password: null
    include: []
    exclude: []
    as: {}
    lock_timeout: 10 s
    give_way_after: 15 s
    stall_timeout: 30 min
    connect_timeout: 10 s
    snapshot_age_limit: 4 h
    split: false
    read: {}
    schedule: null
    throttle: null

  # 一个文件目录。模式中 * 不跨 /，** 跨。 A folder of files. In patterns * stops at /, ** does not.
  - name: scans
    kind: files
    path: scans
    include: []
    exclude: []
    # 读时变化的文件重读的次数。 How often a file that changes while it is read is tried.
    attempts: 3
    # 大小、时间、inode 都未变的文件多久重读一次（分摊到各次）：each run、weekly 或 monthly；清单会写明有多少未打开。
    # How often a file is read again whose size, times and inode did not change, spread over the runs: each run, weekly or
    # monthly; the manifest says how many were not opened.
    reread: monthly
    schedule: null
    throttle: null
    # 同上；此处的 settle 即证明文件已写完。 As above; here standing still is what proves a file whole.
    watch: null

  # 一条转储命令：数据库厂商自己的备份程序，不经 shell。每周一次，与逐行的来源并用，才能恢复整个系统。
  # A dump command: the vendor's own backup program, run without a shell. Once a week, beside a source that reads rows,
  # it is what brings a whole system back.
  - name: his-full
    kind: command
    # 程序与参数，一项一个；其中不写口令。 The program and its words, one each; no password among them.
    argv: [pg_dump, --no-password, --host=localhost, --username=jinsuo, hospital]
    # 转储从哪里出来：stdout 或 file。 Where the dump comes out: stdout or file.
    output: stdout
    # output: file 时，命令留下的文件；末段可用 * ? […]。 With output: file, what it leaves; * ? […] in the last part.
    path: null
    # 读完后删去命令留下的文件。 Whether files that it made are removed when they have been read.
    remove: false
    # 转储在 @files 中的名称；null 为来源名或文件名。 The dump's name in @files; null: the source's or the file's.
    dump: null
    # 命令的环境变量，例如 {PGPASSWORD: secret:his}；此外只有 PATH 等几个。
    # Its environment, such as {PGPASSWORD: secret:his}; beside PATH and a few others it has nothing else.
    env: {}
    # 在哪个目录中运行；null 为采集端的。 The folder it runs in; null: the agent's.
    cwd: null
    # 全程的上限；超过即终止命令。 How long the whole may take; beyond it the command is ended.
    timeout: 12 h
    # 多久没有一个字节即视为停住。 How long without a byte until it counts as stalled.
    stall_timeout: 30 min
    # 哪些退出码算成功。 Which exit statuses are a success.
    exit_codes: [0]
    # consistent 或 live：转储是否为同一时刻的状态，只有你知道。 Whether the dump is one state, only you know.
    consistency: live
    schedule: null
    throttle: null
"""


_INSTEAD = "# 把上一行换成下面的样子。 Put what you need of this in place of the line above."


def first_settings() -> str:
    """Give what `init` writes: the example with its sources commented out, for they are not the reader's."""
    head, _, sources = EXAMPLE.partition("\nsources:\n")
    lines = [f"# {line}".rstrip() if line else "" for line in sources.split("\n")]
    return "\n".join((head, "sources: []", _INSTEAD, "# sources:", *lines))


def make_folder(folder: Path) -> Path:
    """Make an agent's folder, for its owner only, with its first settings; give their path.

    Raises: UsageError if there are settings already; OSError.
    """
    path = folder / CONFIG_NAME
    make_private_folder(folder)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(first_settings())
    except FileExistsError as err:
        raise UsageError(
            Text(zh=f"{path} 已经存在", en=f"{path} is there already"),
            hint=Text(zh="直接编辑它，或另选一个目录", en="edit it, or choose another folder"),
        ) from err
    return path
