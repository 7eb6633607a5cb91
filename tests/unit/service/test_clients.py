"""The two clients are one: what a method takes and gives is written twice, and must not drift apart."""

import inspect

import pytest

from sparsebook_service.client import AsyncClient, Client

METHODS = sorted(name for name in vars(Client) if not name.startswith("_"))


def test_both_have_the_same_methods() -> None:
    assert sorted(name for name in vars(AsyncClient) if not name.startswith("_")) == METHODS
    assert {"compress", "download", "events", "wait"} <= set(METHODS)


@pytest.mark.parametrize("name", ["__init__", *METHODS])
def test_both_take_the_same(name: str) -> None:
    one, other = (inspect.signature(getattr(client, name)) for client in (Client, AsyncClient))
    assert list(one.parameters.values()) == list(other.parameters.values())
    awaited = str(other.return_annotation).replace("AsyncIterator", "Iterator")
    assert awaited == str(one.return_annotation)
