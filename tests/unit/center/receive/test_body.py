# SPDX-License-Identifier: Apache-2.0
"""Bodies: counted, bounded, handed to threads, and cut off when they do not come."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from center.receive.body import BodyReader, CutError, Message, Pipe


def receiving(parts: Sequence[bytes], end: Message | None = None, hangs: bool = False) -> "Receiver":
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append(end or {"type": "http.request", "body": b"", "more_body": False})
    return Receiver(messages, hangs)


class Receiver:
    """Gives messages one after another, then hangs or repeats the last."""

    def __init__(self, messages: list[Message], hangs: bool) -> None:
        self.messages = messages
        self.hangs = hangs
        self.count = 0

    async def __call__(self) -> Message:
        if self.hangs and self.count >= len(self.messages) - 1:
            await asyncio.Event().wait()
        message = self.messages[min(self.count, len(self.messages) - 1)]
        self.count += 1
        await asyncio.sleep(0)
        return message


def test_a_body_comes_whole() -> None:
    assert asyncio.run(BodyReader(receiving([b"ab", b"", b"c"]), 3).read_all()) == b"abc"


@pytest.mark.parametrize(
    ("receiver", "idle_s", "says"),
    [
        (receiving([b"ab"]), 60, "of a body of 3 bytes 2 came: it ended early"),
        (receiving([b"abcd"]), 60, "more came than was stated"),
        (receiving([b"ab"], {"type": "http.disconnect"}), 60, "the line was cut"),
        (receiving([b"ab"], hangs=True), 0.02, "nothing came for 0.02 seconds"),
    ],
)
def test_a_body_that_does_not_come_whole_is_cut(receiver: Receiver, idle_s: float, says: str) -> None:
    with pytest.raises(CutError, match=says):
        asyncio.run(BodyReader(receiver, 3, idle_s).read_all())


def test_who_sends_too_slowly_is_cut_off() -> None:
    class Dripping:
        async def __call__(self) -> Message:
            await asyncio.sleep(0.005)
            return {"type": "http.request", "body": b".", "more_body": True}

    with pytest.raises(CutError, match="it took longer than"):
        asyncio.run(BodyReader(Dripping(), 1000, 60, 0.03).read_all())


def through_pipe(receiver: Receiver, length: int, most: int = 10) -> bytes:
    async def run() -> bytes:
        pipe = Pipe(most)
        running = asyncio.get_running_loop().run_in_executor(None, lambda: b"".join(pipe.parts()))
        await BodyReader(receiver, length, 60).feed(pipe)
        return await running

    return asyncio.run(run())


def test_a_pipe_hands_every_byte_over_in_order() -> None:
    parts = [bytes((i % 256,)) * (i % 7) for i in range(500)]
    whole = b"".join(parts)
    assert through_pipe(receiving(parts), len(whole)) == whole


def test_a_cut_body_reaches_the_reader_as_an_error() -> None:
    with pytest.raises(CutError, match="the line was cut"):
        through_pipe(receiving([b"ab"], {"type": "http.disconnect"}), 3)


def test_a_full_pipe_makes_the_sender_wait() -> None:
    async def run() -> int:
        pipe = Pipe(10)
        await pipe.put(b"x" * 10)
        waiting = asyncio.create_task(pipe.put(b"y"))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert next(pipe.parts()) == b"x" * 10
        await waiting
        return 1

    assert asyncio.run(run()) == 1


def test_a_closed_pipe_lets_the_rest_fall() -> None:
    async def run() -> None:
        pipe = Pipe(10)
        closed = threading.Event()

        def read_one() -> None:
            next(pipe.parts())
            pipe.close()
            closed.set()

        running = asyncio.get_running_loop().run_in_executor(None, read_one)
        receiver = receiving([b"x" * 10] * 100)
        await BodyReader(receiver, 1000, 60).feed(pipe)
        await running
        assert closed.is_set()
        assert receiver.count == 101

    asyncio.run(run())


def test_draining_never_fails() -> None:
    for receiver in (receiving([b"abc"]), receiving([b"x" * 10]), receiving([], hangs=True)):
        asyncio.run(BodyReader(receiver, 3).drain(0.02))
