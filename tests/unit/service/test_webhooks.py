import asyncio
import ipaddress
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sparsebook_compressor.errors import BadValue
from sparsebook_service import settings
from sparsebook_service.webhooks import names
from sparsebook_service.webhooks.guard import Forbidden, GuardedBackend, check, check_url
from sparsebook_service.webhooks.names import Busy, Names

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",  # where clouds keep credentials
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "ff0e::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "4000::1",
    "2002:7f00:1::",
    "2001:db8::1",
]


def guarded() -> GuardedBackend:
    return GuardedBackend((), Names(), "ann")


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    with pytest.raises(Forbidden, match="SPARSEBOOK_WEBHOOK_ALLOW"):
        check(address, ())


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"]
)
def test_public_addresses(address: str) -> None:
    check(address, ())


def test_what_is_allowed_is_just_that() -> None:
    allowed = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("::1"))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "::1"):
        check(address, allowed)
    for address in ("10.2.0.1", "127.0.0.1"):
        with pytest.raises(Forbidden):
            check(address, allowed)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://name:word@example.org/",
        "https://example.org:99999/",
        "https://[::1",
        "https://example.org/a b",
        "https://example.org/\r\nx: y",
        "https://exämple.org/",
        "https://example.org/" + "x" * 2000,
        "http://127.0.0.1:9/",
        "http://[::1]/",
        "http://169.254.169.254/latest",
    ],
)
def test_what_is_no_address_for_a_webhook(url: str) -> None:
    with pytest.raises(BadValue, match="webhook"):
        check_url(url, ())


def test_a_name_is_checked_when_it_is_connected_to() -> None:
    assert check_url("http://localhost:1/", ())
    for host in ("localhost", "2130706433", "0x7f.1"):  # the last two: ways to write 127.0.0.1
        with pytest.raises(Forbidden, match=r"127\.0\.0\.1|::1"):
            asyncio.run(guarded().connect_tcp(host, 1))


def test_one_bad_address_spoils_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(*_: Any, **__: Any) -> Any:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("93.184.216.34", 1)), (*kind, ("10.0.0.1", 1))]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(Forbidden, match=r"10\.0\.0\.1"):
        asyncio.run(guarded().connect_tcp("two-faced.example", 1))


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A resolver that answers nothing until the test has ended; the names that it was asked for."""
    asked, ended, resolve = list[str](), threading.Event(), socket.getaddrinfo

    def wait(host: str, *rest: Any, **more: Any) -> Any:
        if not host.endswith(".tarpit"):
            return resolve(host, *rest, **more)
        asked.append(host)
        ended.wait(60)
        raise OSError("given up")

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    yield asked
    ended.set()


def test_names_that_hang_take_no_threads_from_requests(hanging: list[str]) -> None:
    async def many() -> str:
        looked_up = Names()
        asking = [
            asyncio.create_task(looked_up.addresses(f"{number}.tarpit", 1, f"key {number % 4}"))
            for number in range(names.MOST_THREADS)
        ]
        while len(hanging) < names.MOST_THREADS:
            await asyncio.sleep(0)
        answer = await asyncio.to_thread(lambda: "served")
        for task in asking:
            task.cancel()
        return answer

    assert asyncio.run(many()) == "served"


def test_names_that_hang_hold_up_their_owner_alone(hanging: list[str]) -> None:
    async def one_more(owner: str) -> Any:
        looked_up = Names()
        for number in range(names.MOST_OF_OWNER):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await looked_up.addresses(f"{number}.tarpit", 1, "ann")
        return await looked_up.addresses("127.0.0.1", 1, owner)

    assert asyncio.run(one_more("bob")) == ["127.0.0.1"]
    with pytest.raises(Busy, match="still being looked up"):
        asyncio.run(one_more("ann"))


def test_a_place_is_free_again_when_the_name_is_found() -> None:
    async def often() -> None:
        looked_up = Names()
        for _ in range(3 * names.MOST_OF_OWNER):
            assert await looked_up.addresses("127.0.0.1", 1, "ann") == ["127.0.0.1"]

    asyncio.run(often())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET", "whsec_"),
        ("SECRET", "whsec_short"),
        ("SECRET", "no base64 at all!"),
        ("ALLOW", "10.0.0.1,everything"),
        ("PAUSES", "1,x"),
        ("PAUSES", "0"),
    ],
)
def test_bad_settings(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"SPARSEBOOK_WEBHOOK_{name}", value)
    with pytest.raises(BadValue, match=f"SPARSEBOOK_WEBHOOK_{name}"):
        settings.load()


def test_settings_are_lists_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSEBOOK_WEBHOOK_ALLOW", "127.0.0.1, fd00::/8")
    monkeypatch.setenv("SPARSEBOOK_WEBHOOK_PAUSES", "0.5,2")
    found = settings.load()
    assert [str(each) for each in found.webhook_allow] == ["127.0.0.1/32", "fd00::/8"]
    assert found.webhook_pauses == (0.5, 2.0)
