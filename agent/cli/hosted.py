# SPDX-License-Identifier: Apache-2.0
"""The daemon `jinsuo-agent run` as Windows' service manager starts it: `python -m agent.cli.hosted FOLDER`."""

import argparse
import os
import sys
import threading
from pathlib import Path

from agent.cli.main import open_agent
from agent.cli.run import DEFAULT_PAUSE_S, Run
from agent.config import load_config
from agent.service.hosting import run_hosted
from terminal.language import choose_language
from terminal.printer import Printer


def main() -> None:
    """Host the agent of the folder that is the only argument."""
    folder = Path(sys.argv[1])

    def prepare() -> None:
        load_config(folder)

    def daemon(stopping: threading.Event) -> int:
        args = argparse.Namespace(folder=folder, every=DEFAULT_PAUSE_S, environ=os.environ)
        return Run(open_agent, stopping.wait).run(args, Printer(choose_language(None)))

    run_hosted(folder, prepare, daemon)


if __name__ == "__main__":
    main()
