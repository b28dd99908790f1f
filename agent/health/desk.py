# SPDX-License-Identifier: Apache-2.0
"""Where somebody on this machine asks how the agent is: `/` for people, `/status.json` and `/metrics` for machines.

Each answer is made when it is asked for, by `look`, in the server's own thread; so many that ask at once are told what
was so a few seconds ago, and a browser that reloads cannot keep the journal busy. It asks neither center nor source. Goes
along with the daemon (`agent.jobs.attending`), from whose settings it learns the address.
"""

import json
import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final

from agent.health.document import describe_status
from agent.health.figures import list_families
from agent.health.page import write_page
from agent.outcome import AgentStatus
from terminal.exposition import CONTENT_TYPE, write_exposition
from terminal.language import Language
from terminal.loopback import parse_loopback
from terminal.pages import Page, PageServer
from terminal.printer import to_json

log = logging.getLogger(__name__)
FRESH_S: Final = 5.0


class HealthDesk:
    """Shows the status while the daemon runs. `language` None: what the browser prefers, else English.

    Attribute `port`: where it listens, None where it could not: the daemon goes on, and the log says so.
    """

    def __init__(
        self, listen: str, look: Callable[[], AgentStatus], clock: Callable[[], datetime],
        monotonic: Callable[[], float], language: Language | None = None,
    ) -> None:  # fmt: skip
        self._look = look
        self._clock = clock
        self._monotonic = monotonic
        self._language = language
        self._lock = threading.Lock()
        self._seen: tuple[float, AgentStatus] | None = None
        self._server: PageServer | None = None
        pages = {"/": self._show, "/status.json": self._describe, "/metrics": self._measure}
        try:
            self._server = PageServer(*parse_loopback(listen), pages)
        except OSError as err:
            # Whoever watches it notices; that the daemon goes on matters more than a page.
            log.warning("the status page has no address", extra={"listen": listen, "why": err.strerror or str(err)})
            return
        self._server.start()
        log.info("status page", extra={"url": f"http://{listen.rpartition(':')[0]}:{self._server.port}/"})

    @property
    def port(self) -> int | None:
        """Give where it listens."""
        return None if self._server is None else self._server.port

    def step(self, now: datetime) -> None:
        """Nothing to be done: it answers from a thread of its own."""

    def on_run(self, run: object) -> None:  # noqa: ARG002 - the protocol's name
        """Whoever asks next shall hear of it."""
        with self._lock:
            self._seen = None

    def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.close()

    def _status(self) -> AgentStatus:
        with self._lock:
            moment = self._monotonic()
            if self._seen is None or moment - self._seen[0] >= FRESH_S:
                self._seen = (moment, self._look())
            return self._seen[1]

    def _show(self, accepted: str) -> Page:
        language = self._language or _prefer(accepted)
        return Page("text/html; charset=utf-8", write_page(self._status(), self._clock(), language).encode())

    def _describe(self, accepted: str) -> Page:  # noqa: ARG002 - the form of a page
        document = describe_status(self._status(), self._clock())
        return Page("application/json", json.dumps(document, ensure_ascii=False, default=to_json).encode())

    def _measure(self, accepted: str) -> Page:  # noqa: ARG002 - the form of a page
        return Page(CONTENT_TYPE, write_exposition(list_families(self._status(), self._clock())).encode())


def _prefer(accepted: str) -> Language:
    return Language.ZH if accepted.strip().lower().startswith("zh") else Language.EN
