# SPDX-License-Identifier: Apache-2.0
"""The practice's rule for how something travels: weekly or more often by line, monthly or rarer by offline medium. Pure.

Source: the measures for registration and backup of electronic archives, as the archives practise them.
"""

from datetime import timedelta
from typing import Final

from agent.finding import Finding, Severity
from terminal.language import Text

WEEKLY: Final = timedelta(days=7)
MONTHLY: Final = timedelta(days=28)


def judge_rhythm(subject: str, words: str, period: timedelta | None) -> Finding:
    """Hold a schedule, of which everything goes by line, against the rule. `period` None: after each change."""
    if period is None or period <= WEEKLY:
        return Finding(
            Severity.OK, subject,
            Text(zh=f"{words}：每周或更频繁，按惯例走线路", en=f"{words}: weekly or more often, which goes by line"),
        )  # fmt: skip
    if period < MONTHLY:
        return Finding(
            Severity.OK, subject,
            Text(zh=f"{words}：介于每周与每月之间，惯例未规定，走线路",
                 en=f"{words}: between weekly and monthly, of which the practice says nothing; it goes by line"),
        )  # fmt: skip
    return Finding(
        Severity.WARN, subject,
        Text(zh=f"{words}：每月或更少，按惯例用离线载体，而 `jinsuo-agent run` 走线路",
             en=f"{words}: monthly or rarer, which by the practice's rule comes by offline medium; `jinsuo-agent run` sends it "
             "by line"),
        Text(zh="与档案馆商定：用载体，或改为每周以上的频率", en="agree with the archives on a medium, or take it weekly or more often"),
    )  # fmt: skip
