"""Where a webhook may go: checked on the very address that is connected to, so that no name that changes its mind gets through."""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

import httpcore

from sparsebook_compressor.errors import BadValue
from sparsebook_service.webhooks.names import Names

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST_URL = 2000
# Addresses of IPv4 in those of IPv6, for networks that have IPv6 alone (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Forbidden(Exception):
    """The address is not one of the public internet, and the settings do not name it."""


def check(address: str, allowed: Sequence[Network]) -> None:
    """Refuse an address that only this machine, or its network, can reach.

    Raises:
        Forbidden: private, loopback, link-local, multicast or reserved, also where it is wrapped in one of IPv6.
    """
    # The zone of a link-local address (%eth0) is no part of it.
    outer = ipaddress.ip_address(address.split("%", 1)[0])
    for each in (outer, *_inside(outer)):
        if any(each.version == network.version and each in network for network in allowed):
            return
    inside = tuple(_inside(outer))
    for each in inside if _is_wrapper(outer) else (outer, *inside):
        if not each.is_global or each.is_multicast or each.is_reserved:
            raise Forbidden(
                f"{each} is no public address; SPARSEBOOK_WEBHOOK_ALLOW can name it where the service runs"
            )


def _inside(address: Address) -> Iterable[Address]:
    """The IPv4 addresses that one of IPv6 stands for."""
    if not isinstance(address, ipaddress.IPv6Address):
        return
    wrapped = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
    yield from (found for found in wrapped if found is not None)
    if address in _NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _is_wrapper(address: Address) -> bool:
    """Whether it leads nowhere but to the address of IPv4 inside; as addresses of IPv6 they are reserved, and so refused."""
    if not isinstance(address, ipaddress.IPv6Address):
        return False
    return address.ipv4_mapped is not None or address in _NAT64


def check_url(url: str, allowed: Sequence[Network]) -> str:
    """Refuse what can be seen to be no address for a webhook; names are looked up when it is sent.

    Returns:
        The URL.

    Raises:
        BadValue: saying why.
    """
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise BadValue(f"webhook {url[:200]!r}: {error}") from error
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise BadValue(f"webhook: at most {LONGEST_URL} printable ASCII characters make a URL")
    if parts.scheme not in {"http", "https"} or not host:
        raise BadValue(f"webhook {url[:200]!r}: give an http:// or https:// URL")
    if "@" in parts.netloc:
        raise BadValue("webhook: names and passwords do not belong into a URL; requests are signed")
    try:
        check(host, allowed)
    except Forbidden as error:
        raise BadValue(f"webhook: {error}") from error
    except ValueError:  # a name
        pass
    return url


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to addresses that pass the check, and to no others."""

    def __init__(self, allowed: Sequence[Network], names: Names, owner: str) -> None:
        """Args: owner: whom the webhook belongs to."""
        self._allowed = allowed
        self._names = names
        self._owner = owner
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look the name up once, check what comes, connect to just that.

        Raises:
            Forbidden: one of its addresses does not pass; then the name is not to be trusted with the others.
            httpcore.ConnectError: there is no such name, too many are looked up, or nobody answers.
        """
        try:
            addresses = await self._names.addresses(host, port, self._owner)
        except OSError as error:
            raise httpcore.ConnectError(f"{host}: {error.strerror or error}") from error
        for address in addresses:
            check(address, self._allowed)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """As every backend."""
        await self._backend.sleep(seconds)
