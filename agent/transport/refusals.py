# SPDX-License-Identifier: Apache-2.0
"""What the center's own error codes mean to whoever reads Chinese: a refusal comes over the line in English alone.

Only codes that a hospital's people meet have an entry; the center's own sentence always stands beside it, so nothing is
lost by a meaning that is general. Pure.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Meaning:
    """A code's meaning and what to do, in Chinese."""

    sentence: str
    advice: str


_MEANINGS: Final = {
    "JS-3100": Meaning("送来的内容不能接收", "中心与采集端的版本可能不同：更新较旧的一方"),
    "JS-3101": Meaning("数据包损坏，或不属于此来源", "会自动重发；若持续出现，检查本机内存和磁盘"),
    "JS-3102": Meaning("声明的内容不成立，未记入日志", "运行 `jinsuo-agent check` 后重做快照；再次出现请联系档案馆"),
    "JS-3103": Meaning(
        "该序号已有另一份声明", "再运行一次 `jinsuo-agent snapshot`；若不是恢复过的旧目录，请联系档案馆"
    ),
    "JS-3104": Meaning("请求未获认可", "会自动重试；若持续出现，向档案馆要新的登记码"),
    "JS-3105": Meaning("不允许：登记码不对、已用过或已过期，或本单位已停用", "向档案馆要新的登记码，或问明停用原因"),
    "JS-3106": Meaning("中心没有所指的单位、来源或声明", "核对名称；再运行一次 `jinsuo-agent send`"),
    "JS-3107": Meaning("请求超过大小上限", "更新采集端"),
    "JS-3108": Meaning("中心繁忙", "稍后自动重试"),
    "JS-3200": Meaning("中心的日志暂不签名，等待证实或处理", "数据不会丢失，稍后自动重试；持续不恢复请告知档案馆"),
    "JS-3201": Meaning("中心磁盘已满，未接收任何内容", "数据不会丢失，稍后自动重试；请告知档案馆"),
    "JS-3202": Meaning("中心的存储有损坏", "数据不会丢失，稍后自动重试；请告知档案馆"),
}
_OTHER: Final = Meaning("中心拒绝了请求", "请将此句告知档案馆")


def explain_refusal(code: str) -> Meaning:
    """Give what the center's `code` means."""
    return _MEANINGS.get(code, _OTHER)
