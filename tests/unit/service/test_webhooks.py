import asyncio
import ipaddress
import socket
from typing import Any

import pytest

from sparsebook_compressor.errors import BadValue
from sparsebook_service import settings
from sparsebook_service.webhooks.guard import Forbidden, GuardedBackend, check, check_url

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
    "2002:7f00:1::",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    with pytest.raises(Forbidden, match="SPARSEBOOK_WEBHOOK_ALLOW"):
        check(address, ())


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1"])
def test_public_addresses(address: str) -> None:
    check(address, ())


def test_what_is_allowed_is_just_that() -> None:
    allowed = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("::1"))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "::1"):
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
            asyncio.run(GuardedBackend(()).connect_tcp(host, 1))


def test_one_bad_address_spoils_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(*_: Any, **__: Any) -> Any:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("93.184.216.34", 1)), (*kind, ("10.0.0.1", 1))]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(Forbidden, match=r"10\.0\.0\.1"):
        asyncio.run(GuardedBackend(()).connect_tcp("two-faced.example", 1))


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
