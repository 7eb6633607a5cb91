from collections.abc import Iterator

from sparsebook_compressor import errors as compressor
from sparsebook_compressor.errors import SparsebookError
from sparsebook_service import client, errors, problems


def subclasses(kind: type[SparsebookError]) -> Iterator[type[SparsebookError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from subclasses(child)


def test_every_error_has_a_problem_type() -> None:
    found = set(subclasses(SparsebookError))
    assert errors.UnknownJob in found
    assert client.ServiceProblem in found
    for kind in found:
        assert kind.problem in problems.BY_SLUG


def test_problem_types_are_complete() -> None:
    assert len(problems.BY_SLUG) == len(problems.CATALOGUE)
    for kind in problems.CATALOGUE:
        assert 400 <= kind.status < 600
        assert kind.uri == f"/problems/{kind.slug}"
        assert kind.meaning.endswith(".")
        assert kind.remedy.endswith(".")


def test_a_problem_of_an_error() -> None:
    problem = problems.of_error(compressor.NotFinite("w0: NaN"), "/jobs/1")
    assert problem.model_dump() == {
        "type": "/problems/not-finite",
        "title": "A weight is not finite",
        "status": 422,
        "detail": "w0: NaN",
        "instance": "/jobs/1",
    }
