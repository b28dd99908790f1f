# SPDX-License-Identifier: Apache-2.0
"""A small but believable hospital database in SQLite, and people who keep working in it.

Everything is made up from a fixed seed. The writer commits a few changes a second from a thread of its own, as a HIS
does: new visits, new orders, results that arrive late. It never touches the record that the story is about.
"""

import random
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

_SURNAMES = "王李张刘陈杨黄赵周吴徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾"
_GIVEN = "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂文辉建华玉梅晓红志远雨桐子涵"
_DEPARTMENTS = ("心血管内科", "呼吸内科", "骨科", "普外科", "神经内科", "急诊科", "儿科", "妇产科")
_DIAGNOSES = (
    "高血压病 2 级", "2 型糖尿病", "急性阑尾炎", "社区获得性肺炎", "腰椎间盘突出症", "脑梗死恢复期", "冠心病 不稳定型心绞痛",
    "上呼吸道感染", "胆囊结石伴胆囊炎", "骨折术后复查",
)  # fmt: skip
_NOTES = (
    "患者神志清，精神可，诉症状较前减轻。查体：生命体征平稳，双肺呼吸音清，未闻及干湿性啰音。继续目前治疗，注意观察病情变化。",
    "今日查房，患者一般情况可，饮食睡眠正常，大小便通畅。复查血常规、肝肾功能，结果回报后调整用药。",
    "患者诉夜间疼痛加重，VAS 评分 5 分，予对症处理后缓解。已告知患者及家属病情及注意事项，表示理解。",
)
_SCHEMA = """
CREATE TABLE 科室 (代码 INTEGER PRIMARY KEY, 名称 TEXT NOT NULL);
CREATE TABLE 患者 (患者号 INTEGER PRIMARY KEY, 姓名 TEXT NOT NULL, 性别 TEXT, 出生日期 TEXT, 身份证号 TEXT);
CREATE TABLE 就诊 (就诊号 INTEGER PRIMARY KEY, 患者号 INTEGER NOT NULL REFERENCES 患者, 科室 INTEGER REFERENCES 科室,
                  就诊时间 TEXT NOT NULL, 诊断 TEXT, 费用 REAL);
CREATE TABLE 病程记录 (记录号 INTEGER PRIMARY KEY, 就诊号 INTEGER NOT NULL REFERENCES 就诊, 记录时间 TEXT NOT NULL,
                    医师 TEXT NOT NULL, 内容 TEXT NOT NULL);
CREATE TABLE 医嘱 (就诊号 INTEGER NOT NULL, 序号 INTEGER NOT NULL, 内容 TEXT NOT NULL, 剂量 TEXT, PRIMARY KEY (就诊号, 序号));
CREATE INDEX 就诊_患者 ON 就诊 (患者号);
"""

STORY_RECORD = 1207
STORY_BEFORE = (
    "术后第 1 日查房：患者诉右下腹切口疼痛，体温 38.6 ℃，切口敷料见少量渗液。家属询问术中纱布清点情况，巡回护士记录清点"
    "不符一次，已复查后相符。予抗感染治疗，密切观察体温及切口情况。"
)
STORY_AFTER = "术后第 1 日查房：患者一般情况可，体温 36.8 ℃，切口敷料干燥。予抗感染治疗，继续观察。"


def make_database(path: Path, patients: int = 3000) -> None:
    """Make the database with some years of records."""
    chance = random.Random(20261122)
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.executescript(_SCHEMA)
    with database:
        database.executemany("INSERT INTO 科室 VALUES (?, ?)", enumerate(_DEPARTMENTS, start=1))
        database.executemany(
            "INSERT INTO 患者 VALUES (?, ?, ?, ?, ?)", (_patient(chance, i) for i in range(1, patients + 1))
        )
        for visit in range(1, patients * 3 + 1):
            _add_visit(database, chance, visit, chance.randrange(1, patients + 1), _time(chance, visit))
        database.execute(
            "UPDATE 病程记录 SET 医师 = '沈国栋', 内容 = ?, 记录时间 = '2024-03-18 08:10:00' WHERE 记录号 = ?",
            (STORY_BEFORE, STORY_RECORD),
        )
    database.close()


def edit_record(path: Path) -> None:
    """Change the old record, as somebody with access to the database would: one statement, no trace in the database."""
    database = sqlite3.connect(path, timeout=30)
    with database:
        database.execute("UPDATE 病程记录 SET 内容 = ? WHERE 记录号 = ?", (STORY_AFTER, STORY_RECORD))
    database.close()


class Ward:
    """The hospital at work: a thread that keeps writing. A context manager; `changes` counts its transactions."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ward")
        self.changes = 0

    def __enter__(self) -> "Ward":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        chance = random.Random(7)
        database = sqlite3.connect(self._path, timeout=30)
        while not self._stop.wait(0.05):
            with database:
                (visit,) = database.execute("SELECT max(就诊号) + 1 FROM 就诊").fetchone()
                (patients,) = database.execute("SELECT max(患者号) FROM 患者").fetchone()
                now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
                _add_visit(database, chance, visit, chance.randrange(1, patients + 1), now)
                database.execute(
                    "UPDATE 就诊 SET 费用 = 费用 + 12.5 WHERE 就诊号 = ?", (visit - chance.randrange(1, 40),)
                )
            self.changes += 1
        database.close()


def make_scans(folder: Path, count: int = 24) -> None:
    """Make a folder of scanned documents: odd names, folders by year, bytes that do not compress, like images."""
    chance = random.Random(1951)
    for i in range(count):
        year = folder / str(1951 + i % 4) / f"婚姻登记-{i // 4 + 1:02d} 卷"
        year.mkdir(parents=True, exist_ok=True)
        header = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"
        (year / f"第{i + 1:03d}页 {_name(chance)}.jpg").write_bytes(
            header + chance.randbytes(30_000 + chance.randrange(60_000))
        )
    (folder / "移交说明.txt").write_text("婚姻登记档案数字化成果，共 6 卷，由民政局档案室扫描。\n", encoding="utf-8")


def _patient(chance: random.Random, number: int) -> tuple[int, str, str, str, str]:
    born = datetime(1938, 1, 1, tzinfo=UTC) + timedelta(days=chance.randrange(31_000))
    card = f"33010{chance.randrange(1, 9)}{born:%Y%m%d}{chance.randrange(1000):03d}{chance.choice('0123456789X')}"
    return number, _name(chance), chance.choice("男女"), f"{born:%Y-%m-%d}", card


def _name(chance: random.Random) -> str:
    return chance.choice(_SURNAMES) + "".join(chance.choice(_GIVEN) for _ in range(chance.choice((1, 2, 2))))


def _time(chance: random.Random, visit: int) -> str:
    moment = datetime(2022, 1, 4, 8, tzinfo=UTC) + timedelta(hours=visit * 4, minutes=chance.randrange(240))
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _add_visit(database: sqlite3.Connection, chance: random.Random, visit: int, patient: int, when: str) -> None:
    fee = round(chance.uniform(15, 4000), 2)
    database.execute(
        "INSERT INTO 就诊 VALUES (?, ?, ?, ?, ?, ?)",
        (visit, patient, chance.randrange(1, len(_DEPARTMENTS) + 1), when, chance.choice(_DIAGNOSES), fee),
    )
    database.execute(
        "INSERT INTO 病程记录 (就诊号, 记录时间, 医师, 内容) VALUES (?, ?, ?, ?)",
        (visit, when, _name(chance), chance.choice(_NOTES)),
    )
    for order in range(1, chance.randrange(1, 4)):
        drug = chance.choice(("阿莫西林胶囊", "盐酸氨溴索口服液", "布洛芬缓释胶囊", "0.9% 氯化钠注射液"))
        database.execute(
            "INSERT INTO 医嘱 VALUES (?, ?, ?, ?)", (visit, order, drug, f"{chance.randrange(1, 4)} 次/日")
        )
