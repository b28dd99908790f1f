# SPDX-License-Identifier: Apache-2.0
"""Commands: what a vendor's own dump program writes (expdp, BACKUP, mongodump, pg_dump), as the table `@files`.

`settings` says what may be set, `environment` what a command sees and which words are kept out of texts, `keeper` ends
a command whose agent is gone, `child` starts and ends one, `streams` and `patience` read it in bounded memory and time,
`run` puts these together, `leavings` finds the files it left, `forms` tells what cannot share bytes from day to day;
`view` and `collector` stand behind the protocol of `agent.collectors.base`.
"""

from agent.collectors.command.collector import CommandCollector
from agent.collectors.command.settings import CommandSettings, Output

__all__ = ["CommandCollector", "CommandSettings", "Output"]
