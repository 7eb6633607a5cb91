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
# The interactive documentation: the places that FastAPI's page names, and the one script that stands in it.
_SWAGGER = (
    "default-src 'none'; connect-src 'self'; img-src data: https://fastapi.tiangolo.com; "
    "script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src 'unsafe-inline' https://cdn.jsdelivr.net; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def headers(path: str | None) -> dict[str, str]:
    """The headers of an answer.

    Args:
        path: of the request; None where it does not matter, as for a problem.
    """
    return {**_ALWAYS, "Content-Security-Policy": _SWAGGER if path == "/docs" else _NOTHING}
