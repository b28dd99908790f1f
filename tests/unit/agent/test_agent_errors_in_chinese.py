# SPDX-License-Identifier: Apache-2.0
"""The agent's errors that a hospital's people meet are told in Chinese too, with the same facts; `str()` stays English."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

import center.errors
from agent.app import Agent
from agent.collectors.postgresql.failures import refuse, refuse_connection
from agent.errors import (
    AgentError,
    CenterDownError,
    CenterRefusedError,
    EnrolmentError,
    PinError,
    SpoolError,
)
from agent.identity import Identity, enroll
from agent.lock import RunLock
from agent.spool import Spool
from agent.transport.client import Client
from agent.transport.refusals import _MEANINGS, explain_refusal
from agent.transport.sshkey import make_key
from center.errors import FullError, HeldError
from terminal.errors import OperatorError
from terminal.language import Language
from tests.builders.receivers import run_receiver
from tests.builders.roads import admit, proxy_way, ssh_settings, ssh_way
from tests.fakes.proxy import ConnectProxy
from tests.servers.ports import free_port
from tests.servers.sshd import SshServer

_HAN = re.compile("[\u4e00-\u9fff]")


def check_told(err: OperatorError, *facts: str) -> None:
    """Check that both sentences and hints are there, each in its language, with the same facts."""
    for text in (err.sentence(Language.ZH), err.advice(Language.ZH)):
        assert _HAN.search(text), text
    for text in (err.sentence(Language.EN), err.advice(Language.EN), str(err), err.hint):
        assert text, err
        assert not _HAN.search(text), text
    for fact in facts:
        assert fact in err.sentence(Language.ZH)
        assert fact in str(err)


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        ('FATAL:  password authentication failed for user "jinsuo"', "his.example:5432"),
        ('FATAL:  database "his" does not exist', "his.example:5432"),
        ('FATAL:  permission denied for database "his"', "jinsuo"),
        ("FATAL:  sorry, too many clients already", "too many clients"),
        ("FATAL:  something else", "something else"),
        ("SSL error: certificate verify failed", "certificate verify failed"),
        ("connection to server failed: Connection refused", "Connection refused"),
    ],
)
def test_a_server_that_cannot_be_reached_or_refuses(words: str, fact: str) -> None:
    check_told(refuse_connection(psycopg2.OperationalError(words), "his.example:5432", "jinsuo"), fact)


def test_a_connection_that_breaks() -> None:
    check_told(refuse(psycopg2.OperationalError("server closed the connection"), "his.example:5432"), "closed")


def caught(kind: type[AgentError], act: Callable[[], object]) -> AgentError:
    with pytest.raises(kind) as found:
        act()
    return found.value


def test_enrolment_that_fails(tmp_path: Path) -> None:
    url = f"https://127.0.0.1:{free_port()}"
    check_told(caught(EnrolmentError, lambda: enroll(tmp_path, url, "JSC1-NOT-A-CODE")))
    check_told(caught(EnrolmentError, lambda: Identity.open(tmp_path)), str(tmp_path))
    with run_receiver(tmp_path / "center") as center:
        code = center.units.add("X013", "a")
        check_told(caught(EnrolmentError, lambda: enroll(tmp_path, "http://x", code.encode())), "http://x")
        other = replace(code, spki_pin=bytes(16))
        check_told(caught(PinError, lambda: enroll(tmp_path / "a", center.url, other.encode())))
        enroll(tmp_path / "b", center.url, code.encode())
        again = caught(CenterRefusedError, lambda: enroll(tmp_path / "c", center.url, code.encode()))
        check_told(again, "JS-3105", "a code works once")
        check_told(caught(EnrolmentError, lambda: enroll(tmp_path / "b", center.url, code.encode())), "X013")
        check_told(caught(EnrolmentError, lambda: enroll(tmp_path / "d", center.url, code.encode()[:-1])))


def test_a_center_that_is_down_busy_held_or_full(tmp_path: Path) -> None:
    with run_receiver(tmp_path / "center") as center:
        identity = center.enroll(tmp_path / "agent")
        with identity.connect(lambda: None) as road:
            for err in (HeldError("waits", hint="-"), FullError("no room", hint="-")):
                center.admission.fail_next = err
                down = caught(CenterDownError, lambda: road.latest("his"))
                check_told(down, err.code, str(err))
                assert explain_refusal(err.code).sentence in down.sentence(Language.ZH)
    with identity.connect(lambda: None) as road:
        check_told(caught(CenterDownError, lambda: road.latest("his")), "127.0.0.1")


def test_a_spool_that_is_at_its_limit_or_whose_volume_is_full(tmp_path: Path) -> None:
    for spool in (
        Spool(tmp_path / "a", max_bytes=-1, min_free_bytes=0, keep_bytes=0, level=1),
        Spool(tmp_path / "b", max_bytes=1 << 40, min_free_bytes=1 << 60, keep_bytes=0, level=1),
    ):
        check_told(caught(SpoolError, spool.check_room), "MiB")


def test_a_run_beside_another(tmp_path: Path) -> None:
    def begin() -> None:
        with RunLock(tmp_path / "lock", "his"):
            pass

    with RunLock(tmp_path / "lock", "his"):
        check_told(caught(AgentError, begin), "his")


def test_check_tells_a_refused_source_in_the_readers_language(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text(
        "spool: {min_free: 0 MiB}\nsources:\n  - {name: his, kind: postgresql, host: 127.0.0.1, "
        f"port: {free_port()}, database: his, user: jinsuo, sslmode: disable}}\n",
        encoding="utf-8",
    )
    with Agent.open(tmp_path) as agent:
        (finding,) = [f for f in agent.check() if "没有应答" in f.sentence(Language.ZH)]
    assert "does not answer" in finding.sentence(Language.EN)
    assert _HAN.search(finding.advice(Language.ZH))


def test_meanings_are_of_codes_that_the_center_has() -> None:
    codes = {value.code for value in vars(center.errors).values() if isinstance(value, type) and "code" in vars(value)}
    assert set(_MEANINGS) <= codes
    assert explain_refusal("JS-3999").sentence


def test_a_road_by_ssh_that_does_not_lead_there(tmp_path: Path, ssh_server: SshServer) -> None:
    with run_receiver(tmp_path / "center") as center:
        key = tmp_path / "ssh.key"
        admit(ssh_server, key, f"127.0.0.1:{center.port}")
        right = ssh_settings(ssh_server, key)
        code = center.units.add("A41", "a").encode()
        make_key(tmp_path / "unknown.key")
        for change, fact in (
            ({"host_key": "SHA256:" + "A" * 43}, ssh_server.fingerprint),
            ({"key": tmp_path / "unknown.key"}, f"{ssh_server.user}@127.0.0.1:{ssh_server.port}"),
            ({"key": tmp_path / "missing.key"}, "missing.key"),
            ({"forward": "127.0.0.1:1"}, "127.0.0.1:1"),
        ):
            way = ssh_way(right.model_copy(update=change), tmp_path)
            with pytest.raises(AgentError) as caught:
                enroll(tmp_path / "agent", center.url, code, way)
            check_told(caught.value, fact)
        admit(ssh_server, key, "127.0.0.1:9")
        with pytest.raises(CenterDownError) as caught:
            enroll(
                tmp_path / "agent",
                center.url,
                code,
                ssh_way(right.model_copy(update={"forward": "127.0.0.1:9"}), tmp_path),
            )
        check_told(caught.value, "127.0.0.1:9")


@pytest.mark.parametrize("status", ["403", "407", "503", ""])
def test_a_proxy_that_does_not_let_through(status: str, tmp_path: Path) -> None:
    with ConnectProxy() as proxy:
        proxy.answer = f"HTTP/1.1 {status} No\r\n\r\n".encode()
        client = Client("https://archives.example:1", bytes(32), "", lambda: None, proxy_way(proxy.port, tmp_path))
        with pytest.raises(AgentError) as caught:
            client.get_public("/v1/center")
        check_told(caught.value, f"127.0.0.1:{proxy.port}", *([status] if status else []))
        client.close()
