import base64
import hashlib

import pytest

from sparsebook_compressor.errors import BadValue
from sparsebook_service.intake.headers import announced_digest, idempotency_key

DIGEST = hashlib.sha256(b"x").digest()
TEXT = base64.b64encode(DIGEST).decode()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        ([f"sha-256=:{TEXT}:"], DIGEST),
        ([f"md5=:AAAA:, sha-256=:{TEXT}:"], DIGEST),
        (["md5=:AAAA:", f"sha-256=:{TEXT}:"], DIGEST),
        ([f"sha-256=:{TEXT}:", f"sha-256=:{TEXT}:"], DIGEST),
        (["sha-512=:AAAA:"], None),
    ],
)
def test_content_digest(lines: list[str], expected: bytes | None) -> None:
    assert announced_digest(lines) == expected


@pytest.mark.parametrize("header", ["", "sha-256", f"sha-256={TEXT}", "sha-256=:A:", "sha-256=:é:"])
def test_bad_content_digest(header: str) -> None:
    with pytest.raises(BadValue, match="Content-Digest"):
        announced_digest([header])


@pytest.mark.parametrize(
    "lines",
    [
        [f"sha-256=:{TEXT}:", "sha-256=:AAAA:"],
        ["sha-256=:AAAA:", f"sha-256=:{TEXT}:"],
        [f"sha-256=:{TEXT}:, sha-256=:AAAA:"],
    ],
)
def test_two_digests_that_differ(lines: list[str]) -> None:
    with pytest.raises(BadValue, match="they differ"):
        announced_digest(lines)


def test_idempotency_key() -> None:
    assert idempotency_key(None) is None
    assert idempotency_key('"a-b"') == idempotency_key("a-b") == "a-b"
    for header in ("", '""', "a b", "é", "k" * 256, "a\tb"):
        with pytest.raises(BadValue, match="Idempotency-Key"):
            idempotency_key(header)
