"""Scopes are walked once, in one order, from the main graph and from any scope in it."""

from sparsebook_compressor.graph.scopes import scopes, within
from tests.unit.compressor.models import HIDING


def test_a_scope_and_all_within_it_come_in_the_order_of_the_whole() -> None:
    """Also from within, where paths go on from the scope's own."""
    model = next(hiding for hiding in HIDING if hiding.name == "If in Loop in If").build()
    found = scopes(model)
    assert len(found) == 6
    for number, scope in enumerate(found):
        inner = list(within(scope))
        same = found[number : number + len(inner)]
        assert [each.path for each in inner] == [each.path for each in same]
        assert all(a.body is b.body for a, b in zip(inner, same, strict=True))
        beyond = found[number + len(inner) :]
        assert not any(each.path.startswith(f"{scope.path}/") for each in beyond if scope.path)
