# SPDX-License-Identifier: Apache-2.0
"""The daemon `jinsuo-agent run` as Windows' service manager starts it: `python -m agent.cli.hosted FOLDER`."""

import argparse
import os
import sys
import threading
from pathlib import Path

from agent.service.hosting import run_hosted
from terminal.language import choose_language
from terminal.printer import Printer


def main() -> None:
    """Host the agent of the folder that is the only argument.

    Windows gives a process 30 seconds to report. Loading the agent takes that long on a machine that is busy with its
    own start: so it is loaded behind the report.
    """
    folder = Path(sys.argv[1])

    def prepare() -> None:
        from agent.config import load_config

        load_config(folder)

    def daemon(stopping: threading.Event) -> int:
        from agent.cli.main import make_run, open_agent, reopening, utc_now
        from agent.cli.run import DEFAULT_PAUSE_S

        args = argparse.Namespace(folder=folder, every=DEFAULT_PAUSE_S, environ=os.environ)
        return make_run(open_agent, utc_now, reopening(), stopping).run(args, Printer(choose_language(None)))

    run_hosted(folder, prepare, daemon)


if __name__ == "__main__":
    main()
