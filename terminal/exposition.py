# SPDX-License-Identifier: Apache-2.0
"""Figures in the text format that Prometheus reads. Pure.

A family is one figure: its name, what it counts, and a sample for each set of labels. Source: Prometheus text exposition
format 0.0.4.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[dict[str, str], float]
"""Labels and a value."""


@dataclass(frozen=True, slots=True)
class Family:
    """One figure. A counter's name ends in `_total`; times are seconds since 1970, spans seconds, sizes bytes."""

    name: str
    kind: Literal["gauge", "counter"]
    told: str
    samples: Sequence[Sample]


def write_exposition(families: Iterable[Family]) -> str:
    r"""Write families, each with its help and type.

    >>> print(write_exposition([Family("up", "gauge", "1 while it runs.", [({"source": 'a"b'}, 1.0)])]), end="")
    # HELP up 1 while it runs.
    # TYPE up gauge
    up{source="a\"b"} 1
    """
    return "".join(_write(family) for family in families)


def _write(family: Family) -> str:
    lines = [f"# HELP {family.name} {family.told}", f"# TYPE {family.name} {family.kind}"]
    for labels, value in family.samples:
        shown = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
        number = str(int(value)) if float(value).is_integer() else repr(float(value))
        lines.append(f"{family.name}{{{shown}}} {number}" if shown else f"{family.name} {number}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
