# SPDX-License-Identifier: Apache-2.0
"""A view that stands open until its turn comes: somebody looks after it meanwhile, in a thread that ends before the turn.

Its age grows, and what it has locked others may want, while the sources before it are read. What a look raises lets go of
the view at once, not when its turn would have come. One thread at a time uses the view. Source: decision 0085.
"""

import threading
from collections.abc import Callable
from typing import Final

LOOK_EVERY_S: Final = 1.0


class Waiting:
    """One view's time of waiting, from now on until `end`. `let_go` is told what `attend` raised, and closes the view."""

    def __init__(
        self,
        attend: Callable[[], None],
        let_go: Callable[[BaseException], None],
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._attend = attend
        self._let_go = let_go
        self._look_every_s = look_every_s
        self._error: BaseException | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="waiting", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more; returns when nobody else uses the view. Again is harmless."""
        self._is_over.set()
        self._thread.join()

    def check(self) -> None:
        """Raises: what a look, or letting go of the view, raised."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._is_over.wait(self._look_every_s):
                self._attend()
        except BaseException as err:  # noqa: BLE001 - kept for whose turn it is, who raises it
            self._error = err
            try:
                self._let_go(err)
            except BaseException as worse:  # noqa: BLE001 - as above
                self._error = worse
