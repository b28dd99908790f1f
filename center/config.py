# SPDX-License-Identifier: Apache-2.0
"""The settings of a center: `center.yaml` as a frozen model, every key with its default.

Knows names and bounds; opens nothing but the file. `config/center.example.yaml` shows every key; a test holds the two
together. Invariant: what comes out of `load_config` can be used as it is: no bound is checked again later.
"""

import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, field_validator

from center.settings.alerts import AlertSettings, MetricsSettings
from center.settings.example import ALERTS_EXAMPLE
from center.settings.inbox import InboxesSettings
from evidence.errors import FormatError
from evidence.keys.key import check_key_name
from terminal.language import Language, Text
from terminal.log_settings import LogSettings
from terminal.settings import Seconds, Settings, SizeBytes, read_settings

CONFIG_NAME: Final = "center.yaml"
DEFAULT_LISTEN: Final = "127.0.0.1:8443"
MOST_PACK_BYTES: Final = 16 << 20
MOST_SOURCES: Final = 1000
_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[1-9][0-9]{0,4}|0)", re.ASCII)


class Folders(Settings):
    """Where things lie that may lie elsewhere; relative to the center's folder."""

    store: str = "store"


class Limits(Settings):
    """What one request may take, so that no agent can take the center from the others."""

    pack_bytes: Annotated[SizeBytes, Field(ge=1 << 20, le=MOST_PACK_BYTES)] = MOST_PACK_BYTES
    request_timeout: Annotated[Seconds, Field(ge=5, le=86400)] = 600
    connections: Annotated[int, Field(ge=4, le=4096)] = 256
    sources_per_unit: Annotated[int, Field(ge=1, le=1_000_000)] = MOST_SOURCES
    repeated_bytes: Annotated[SizeBytes, Field(ge=0)] = 64 << 30


class CenterConfig(Settings):
    """The whole of `center.yaml`."""

    origin: str
    listen: str = DEFAULT_LISTEN
    language: Language | None = None
    folders: Folders = Folders()
    limits: Limits = Limits()
    log: LogSettings = LogSettings()
    inboxes: InboxesSettings = InboxesSettings()
    disk_reserve: Annotated[SizeBytes, Field(ge=16 << 20)] = 256 << 20
    alerts: AlertSettings = AlertSettings()
    metrics: MetricsSettings = MetricsSettings()

    @field_validator("origin")
    @classmethod
    def _check_origin(cls, origin: str) -> str:
        try:
            # The operator's key has the longer name, and must be one too.
            check_key_name(f"{origin}/operator")
            check_key_name(origin)
        except FormatError as err:
            raise ValueError(
                Text(
                    zh="日志名：不含空格和 +，如 archives.example/jinsuo",
                    en="the name of the log, without blanks and '+', such as archives.example/jinsuo",
                )
            ) from err
        return origin

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, listen: str) -> str:
        parse_listen(listen)
        return listen

    @property
    def address(self) -> tuple[str, int]:
        """Give the host and port to listen on."""
        return parse_listen(self.listen)

    def find_store(self, folder: Path) -> Path:
        """Give the folder of packs of the center in `folder`."""
        return folder / self.folders.store


def parse_listen(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`; an IPv6 address stands in brackets, port 0 asks for any free one. Raises: ValueError.

    >>> parse_listen("[::1]:8443")
    ('::1', 8443)
    """
    match = _LISTEN.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(
            Text(
                zh="主机:端口，如 0.0.0.0:8443（IPv6 加方括号）",
                en="host:port, such as 0.0.0.0:8443 (IPv6 addresses in brackets)",
            )
        )
    return match["host"].strip("[]"), int(match["port"])


def load_config(path: Path) -> CenterConfig:
    """Read `center.yaml`. Raises: SettingsError: which line is wrong, and what was probably meant."""
    return read_settings(path, CenterConfig)


def write_config(origin: str, listen: str = DEFAULT_LISTEN) -> str:
    """Give the text of a new `center.yaml`, every key commented; `origin` and `listen` have been checked."""
    return _TEMPLATE.format(origin=_quote(origin), listen=_quote(listen)) + ALERTS_EXAMPLE


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_TEMPLATE: Final = """\
# Settings of a Jinsuo center. Read at the start of each command and of the daemon; unknown keys are refused.
# 金锁中心的配置。每个命令和服务启动时读取；不认识的键会被拒绝。
# Sizes: 512 MiB, 1 GiB. Times: 30 s, 10 min, 6 h, 14 d.  容量与时间的写法如上。

# The name of the evidence log. It is in every checkpoint and receipt: never change it once agents are enrolled.
# 证据日志的名称，写入每个检查点和回执；有单位登记后不得更改。
origin: {origin}

# Where the receiver listens, host:port. 0.0.0.0:8443 listens on all addresses.
# 接收服务的监听地址；0.0.0.0:8443 表示所有地址。
listen: {listen}

# Language of the daemon's and console's texts: zh or en; empty: the system's. Commands take --lang.
# 服务与控制台的语言：zh 或 en；留空则随系统。命令行用 --lang。
language:

folders:
  # Where packs are stored, relative to this file's folder or absolute; a large disk with hard links (ext4, xfs, zfs).
  # 数据包的存放目录，可用相对或绝对路径；须支持硬链接。
  store: store

limits:
  # The largest pack that is taken; agents make packs of at most 16 MiB.
  # 接收的最大数据包；采集端的数据包不超过 16 MiB。
  pack_bytes: 16 MiB
  # A request that has not come whole within this time is dropped; the agent sends it again.
  # 一次请求的最长时间；超时即断开，采集端会重发。
  request_timeout: 10 min
  # Connections that are served at once; more wait.
  # 同时服务的连接数；超出的排队等候。
  connections: 256
  # The sources that one unit may have; a further one is refused. Each is an entry of the log.
  # 每个单位的来源数上限；超出的不予登记。每个来源在日志中占一条。
  sources_per_unit: 1000
  # Large cells and files are read whole when a statement first claims them. They may claim as many bytes as the source
  # has sent, and so many more, for contents that repeat the same pieces (disk images full of zeros).
  # 声明首次提到的大字段和文件会被完整读一遍；其总量不得超过该来源已送达的字节数加上此数（内容重复的文件，如大片为零的镜像）。
  repeated_bytes: 64 GiB

# What `serve` logs: text (a line an event) or json (an object a line); to stderr, or to a file that is rotated.
# 服务的日志：text 一行一事，json 一行一个对象；file 留空则写标准错误，否则写文件，满 max_size 换新，旧的留 keep 个。
log:
  # text or json. 文本或 JSON。
  format: text
  # A file, relative to this one's folder or absolute; empty: stderr. 日志文件；留空写标准错误。
  file:
  # How large it gets before a new one is begun. 写到多大换新文件。
  max_size: 20 MiB
  # How many old ones stay. 旧文件留几个。
  keep: 10
inboxes:
  # How often the drop boxes are looked at.
  # 查看收发目录的间隔。
  poll: 1 min
  # Folders where bags arrive from units without a line (gateways, SFTP), and where receipts for them are put:
  #   - {{folder: /srv/drop/X013/outbox, receipts: /srv/drop/X013/inbox, settle: 10 min, keep: 7 d}}
  # settle: a bag that is not whole is taken in part once nothing has come for so long; keep: bags taken in stay so long.
  # 没有线路的单位（网闸、SFTP）投递包裹的目录，以及放回执的目录；settle：不完整的包裹多久无变化后按现状接收；keep：已接收包裹保留多久。
  boxes: []

# Bytes of the disk that packs never take, so that the log can always finish what it has begun.
# 磁盘上为日志保留的空间，数据包不会占用。
disk_reserve: 256 MiB
"""
