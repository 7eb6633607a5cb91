"""Templates and assets of the page.

Everything that is shown comes through templates that escape it. No script or style stands in a page: they are files of their own, under
addresses that change with their content, and the policy lets in nothing else.
"""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from sparsebook_compressor.reporting import page as report_page
from sparsebook_compressor.reporting.templates import environment

ASSETS: Mapping[str, str] = {
    "report.css": "text/css",
    "report.js": "text/javascript",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "send.js": "text/javascript",
    "follow.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


@cache
def asset(name: str) -> bytes:
    """The content of one of `ASSETS`."""
    if name in (report_page.STYLE, report_page.SCRIPT):
        return report_page.asset(name).encode()
    return (files(__package__) / "assets" / name).read_bytes()


@cache
def version(name: str) -> str:
    """A name of an asset's content, for its address."""
    return base64.urlsafe_b64encode(hashlib.sha256(asset(name)).digest())[:12].decode()


def html(template: str, **values: Any) -> str:
    """A page, or a part of one."""
    return _templates().get_template(template).render(values)


def coded(text: str) -> Markup:
    """Text with what stands between backticks as code.

    >>> str(coded("see `GET /jobs`"))
    'see <code>GET /jobs</code>'
    """
    parts = (
        Markup("<code>{}</code>").format(each) if at % 2 else escape(each)
        for at, each in enumerate(text.split("`"))
    )
    return Markup("").join(parts)


@cache
def _templates() -> Environment:
    made = environment("sparsebook_service.page", "templates")
    made.filters["coded"] = coded
    made.globals["asset"] = lambda name: f"/page/assets/{name}?v={version(name)}"
    return made
