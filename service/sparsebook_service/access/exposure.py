"""Where no keys are needed: on this machine alone, asked by its own programs.

A page of the web can make the browser of a person who sits here ask 127.0.0.1, and with a name that it points there
read the answer. Such requests give themselves away by their Host and Origin.
"""

import ipaddress
from urllib.parse import urlsplit

from sparsebook_compressor.errors import BadValue
from sparsebook_service.errors import Forbidden
from sparsebook_service.settings import Access


def is_loopback(address: str) -> bool:
    """Whether an IP address, of either kind, is this machine's own.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("::ffff:127.0.0.1")
    (True, True, False, True)
    """
    found = ipaddress.ip_address(address.split("%", 1)[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def check_address(address: str, access: Access) -> None:
    """Refuse to listen where strangers could ask.

    Raises:
        BadValue: the address is not this machine's alone, and no keys are asked for.
    """
    if access == "loopback" and not is_loopback(address):
        raise BadValue(
            f"{address} can be reached from other machines, and no API keys are asked for: make a key with "
            "`sparsebook keys create --name NAME --scope submit,read` and serve with --access keys "
            "(SPARSEBOOK_ACCESS=keys). Where something else keeps strangers out, --access anyone serves without keys"
        )


def check_local(host: str | None, origin: str | None, own: str) -> None:
    """Refuse what a page of the web has made a browser ask.

    Args:
        host: the Host header; programs without one are no browsers.
        origin: the Origin header.
        own: the name or address that the service was told to listen on.

    Raises:
        Forbidden: one of them is another machine's.
    """
    for header, value in (("Host", host and f"//{host}"), ("Origin", origin)):
        if value is not None and not _names_this_machine(value, own):
            raise Forbidden(
                f"without API keys only this machine is served, and the request's {header} is "
                f"{value.removeprefix('//')[:100]!r}: ask 127.0.0.1 or localhost, or serve with --access keys"
            )


def _names_this_machine(address: str, own: str) -> bool:
    try:
        name = urlsplit(address).hostname or ""
    except ValueError:
        return False
    if name in {"localhost", own.lower()} or name.endswith(".localhost"):
        return True
    try:
        return is_loopback(name)
    except ValueError:
        return False
