"""The headers that tell browsers to take answers for nothing but what they are, and to keep none of them."""

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Answers are about somebody's jobs. Downloads, which may be asked for again, say otherwise themselves.
    "Cache-Control": "no-store",
}
_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def headers() -> dict[str, str]:
    """The headers of an answer. Pages have a policy of their own, which lets in their files."""
    return {**_ALWAYS, "Content-Security-Policy": _NOTHING}
