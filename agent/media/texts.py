# SPDX-License-Identifier: Apache-2.0
"""The texts on a medium that people and forms ask for. Pure.

    说明文件.TXT    UTF-8 with a mark, CRLF: every editor on Windows shows it; a line `字段：值` each, in the rules' order
    文件目录.XML    UTF-8; the bags with the columns of the rules (顺序号 … 备注)
    slip            the copying slip with the case insert, as HTML and as text. The number is written on the disc by hand
                    with a disc pen: nothing here is made to be stuck on it

Source: 电子档案移交与接收办法 (档发〔2012〕7号); form 3 of the practice (备份载体目录). Fields that nobody has set are left
empty, for the pen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Final

from evidence.medium.number import MediumNumber

_LINE_END: Final = "\r\n"


@dataclass(frozen=True, slots=True)
class Custody:
    """Who keeps, makes and checks media, on what, and with what; texts of the settings."""

    unit_name: str
    medium: str
    keeper: str
    maker: str
    checker: str
    hardware: str
    software: str
    secrecy: str


@dataclass(frozen=True, slots=True)
class BagLine:
    """One bag, as the catalogue names it."""

    name: str
    path: str
    title: str
    date: datetime
    packs: int
    size: int
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What all texts of one medium say."""

    number: MediumNumber
    capacity: int
    written: datetime
    bags: tuple[BagLine, ...]
    files: int
    size: int
    redundancy: int
    digests: str
    custody: Custody


def write_readme(sheet: Sheet) -> bytes:
    """Give 说明文件.TXT."""
    custody = sheet.custody
    fields = (
        ("载体容量", gigabytes(sheet.capacity)),
        ("载体类型", custody.medium),
        ("载体编号", str(sheet.number)),
        ("载体保管单位", custody.keeper),
        ("载体制作单位", custody.maker or custody.unit_name),
        ("载体检查单位", custody.checker),
        ("摘要信息", sheet.digests),
        ("硬件环境", custody.hardware),
        ("软件环境", custody.software),
        ("卷标", sheet.number.label),
        ("制作日期", f"{sheet.written:%Y%m%d}"),
        ("数据量", gigabytes(sheet.size)),
        ("内容", "；".join(f"{bag.title}（{bag.name}）" for bag in sheet.bags)),
        ("加密", "数据包加密至档案馆中心的密钥（HPKE X25519，AES-256-GCM）；无该密钥不可读"),
        ("修复", f"其他/recovery 内为 PAR2 修复数据，冗余 {sheet.redundancy}%" if sheet.redundancy else "无修复数据"),
        ("读取", "在档案馆中心运行：jinsuo-center media read 本载体的路径"),
    )
    text = "".join(f"{name}：{_one_line(value)}{_LINE_END}" for name, value in fields)
    return b"\xef\xbb\xbf" + text.encode()


def write_catalog(sheet: Sheet) -> bytes:
    """Give 文件目录.XML."""
    rows: list[str] = []
    for place, bag in enumerate(sheet.bags, 1):
        cells = (
            ("顺序号", str(place)),
            ("档号", f"{sheet.number.batch_name}-{place:03}"),
            ("责任者", sheet.custody.unit_name),
            ("题名", bag.title),
            ("日期", f"{bag.date:%Y%m%d}"),
            ("密级", sheet.custody.secrecy),
            ("电子档案名称", bag.name),
            (
                "备注",
                f"{bag.path}；数据包 {bag.packs} 个，{gigabytes(bag.size)}；声明 {'、'.join(bag.statements) or '无'}",
            ),
        )
        rows.append("  <文件>" + "".join(f"<{name}>{_xml(value)}</{name}>" for name, value in cells) + "</文件>")
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<文件目录 载体编号="{_xml(str(sheet.number))}">',
            *rows,
            "</文件目录>\n",
        ]
    ).encode()


def write_slip_text(sheets: Sequence[Sheet]) -> bytes:
    """Give the copying slip of one or more media as text, a medium after the other."""
    blocks = [
        "".join(f"{name}：{_one_line(value)}{_LINE_END}" for name, value in _slip_fields(sheet)) for sheet in sheets
    ]
    text = f"刻录单 Copying slip{_LINE_END}{_HOW}{_LINE_END}{_LINE_END}" + _LINE_END.join(blocks)
    return b"\xef\xbb\xbf" + text.encode()


def write_slip_html(sheets: Sequence[Sheet]) -> bytes:
    """Give the copying slip and case inserts as one page to print: an insert of 12 cm a medium."""
    parts = [_HTML_HEAD, f"<h1>刻录单 Copying slip</h1><p>{escape(_HOW)}</p>"]
    for sheet in sheets:
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in _slip_fields(sheet)
        )
        parts.append(f"<section><h2>{escape(str(sheet.number))}</h2><table>{rows}</table></section>")
    return ("\n".join([*parts, "</body></html>"]) + "\n").encode()


def gigabytes(size_bytes: int) -> str:
    """Give a size in GB with three decimals, as the forms ask."""
    return f"{size_bytes / 10**9:.3f} GB"


_HOW: Final = (
    "用光盘专用笔把编号手写在盘面上；不得用硬笔，不得粘贴标签。本单裁下放入盒内。"
    " Write the number on the disc by hand with a disc pen; no hard pen, no adhesive label. Put this slip in the case."
)
_HTML_HEAD: Final = """<!DOCTYPE html>
<html lang="zh"><head><meta charset="utf-8"><title>刻录单 Copying slip</title><style>
body { font-family: "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; font-size: 9pt; }
section { width: 118mm; min-height: 118mm; border: 1px dashed #888; padding: 3mm; margin: 4mm 0; page-break-inside: avoid; }
h2 { font-size: 14pt; margin: 0 0 2mm; } table { border-collapse: collapse; width: 100%; }
th { text-align: left; width: 34mm; font-weight: normal; } td, th { border-bottom: 1px solid #ccc; padding: 1mm 0; }
</style></head><body>"""


def _slip_fields(sheet: Sheet) -> list[tuple[str, str]]:
    number, custody = sheet.number, sheet.custody
    return [
        ("载体编号 medium no.", str(number)),
        ("卷标 volume label", number.label),
        ("套别 copy", number.copy),
        ("卷次 volume", f"{number.volume} / {number.volumes}"),
        ("载体类型、品牌、批号 kind, brand, lot", custody.medium),
        ("容量 capacity", gigabytes(sheet.capacity)),
        ("内容 packages", "、".join(bag.name for bag in sheet.bags)),
        ("数据量 used", gigabytes(sheet.size)),
        ("文件数 files", str(sheet.files)),
        ("摘要 digest of the list", sheet.digests),
        ("刻录日期、光驱、速度 burnt on, drive, speed", f"{sheet.written:%Y-%m-%d}"),
        ("刻录校验 verified", ""),
        ("制作人 made by", custody.maker),
        ("检查人 checked by", custody.checker),
        ("存放位置 shelf", ""),
        ("下次检查 next inspection", ""),
        ("备注 remarks", ""),
    ]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _xml(text: str) -> str:
    return escape(_one_line(text))
