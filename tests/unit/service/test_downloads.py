import pytest

from sparsebook_service.downloads import digest_field, disposition, requested_range
from sparsebook_service.errors import RangeNotSatisfiable


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=5-99", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        (" bytes=9-9 ", (9, 10)),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=0-" + "9" * 5000, None),
    ],
)
def test_ranges(header: str | None, expected: tuple[int, int] | None) -> None:
    assert requested_range(header, 10) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_ranges_outside(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        requested_range(header, size)
    assert refused.value.size == size


def test_names_of_downloads_are_safe() -> None:
    assert disposition("model.onnx") == (
        "attachment; filename=\"model.onnx\"; filename*=UTF-8''model.onnx"
    )
    hostile = disposition('a"; filename=evil\r\nX: y/é')
    assert hostile.isascii()
    assert hostile.count('"') == 2
    assert "\r" not in hostile
    assert "/" not in hostile


def test_digest() -> None:
    assert digest_field("00" * 32) == f"sha-256=:{'A' * 43}=:"


@pytest.mark.parametrize("name", [".bashrc", "..", "", "...x"])
def test_no_download_is_a_hidden_file(name: str) -> None:
    plain = disposition(name).split('"')[1]
    assert plain
    assert not plain.startswith(".")
