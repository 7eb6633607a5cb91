"""Which methods an address has."""

from starlette.routing import Match, Route
from starlette.types import Scope


def methods(scope: Scope) -> set[str]:
    """Those for which the address of a request has routes of its own; none where there is no such address.

    Starlette's own Allow header has those of its first route only.
    """
    found: set[str] = set()
    for route in scope["app"].state.routes:
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found
