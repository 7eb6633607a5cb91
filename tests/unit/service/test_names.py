import pytest

from sparsebook_compressor.errors import BadValue, ExternalDataOutside
from sparsebook_service.names import Tree, fault, model_name


@pytest.mark.parametrize(
    "name",
    [
        "w",
        "weights.bin",
        "a/b/c",
        "onnx::MatMul_12",
        "é 名.data",
        "...",
        "a..b",
        "x#y",
        "#1x",
        "C:",
    ],
)
def test_plain_names(name: str) -> None:
    assert fault(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("..", "leads out"),
        ("../w", "leads out"),
        ("a/../../w", "leads out"),
        ("a/..", "leads out"),
        ("/w", "absolute"),
        ("C:/w", "absolute"),
        ("a\\b", "backslash"),
        ("..\\w", "backslash"),
        ("a//b", "not plain"),
        ("./w", "not plain"),
        ("a/", "not plain"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("\ud800", "control"),
        ("n" * 256, "too long"),
        ("é" * 128, "too long"),
        ("/".join(["n" * 200] * 6), "too long"),
        ("w#1", "half-written"),
        ("w#1/x", "half-written"),
    ],
)
def test_bad_names(name: str, reason: str) -> None:
    assert reason in (fault(name) or "")
    with pytest.raises(ExternalDataOutside):
        Tree().add(name)


@pytest.mark.parametrize("names", [["w", "w"], ["a", "a/b"], ["a/b", "a"], ["a/b", "a/b/c"]])
def test_names_that_exclude_each_other(names: list[str]) -> None:
    tree = Tree()
    tree.add(names[0])
    with pytest.raises(ExternalDataOutside):
        tree.add(names[1])


def test_names_that_lie_together() -> None:
    tree = Tree()
    for name in ("a", "b/a", "b/c", "b/d/a", "ab"):
        tree.add(name)


def test_model_names_lose_their_folders() -> None:
    assert model_name("C:\\models\\net.onnx") == "net.onnx"
    assert model_name("/home/me/net.onnx") == "net.onnx"
    assert model_name("folder/") == "model.onnx"
    for raw in ("..", ".", "a\tb", "n" * 300, "m#3"):
        with pytest.raises(BadValue, match="file name"):
            model_name(raw)
