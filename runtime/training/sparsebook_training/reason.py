"""What ONNX Runtime's exceptions say, for people: they begin with source paths, C++ signatures and status codes."""

import re

_STATUS = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_SOURCE = re.compile(r"/\S*onnxruntime_src/\S+:\d+ ")
_ERRNO = re.compile(r"error:[^\n]* errno:(\d+)")


def reason(error: Exception) -> str:
    """The message alone: as "The gradient builder has not been registered: Elu for node act"."""
    text = " ".join(str(error).split())
    text = _STATUS.split(text)[-1]
    while found := _SOURCE.search(text):
        text = text[: found.start()] + _after_signature(text[found.end() :])
    text = re.sub(r"[^.:\s][^.:]* was false\. ", "", text)
    return text or type(error).__name__


def written(error: Exception) -> OSError | None:
    """The system's error where ONNX Runtime could not write a file; None where something else is wrong."""
    found = _ERRNO.search(str(error))
    return OSError(int(found[1]), reason(error)) if found else None


def _after_signature(text: str) -> str:
    """What follows "T f(A, B(C)) const" or "f(A)::<lambda(B)>": parentheses are matched, since the types hold some."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == ")" and depth == 0 and text[index + 1 : index + 2] in (" ", ""):
            return text[index + 1 :].removeprefix(" const").lstrip()
        if character == ">" and depth == 0 and text[index - 1] == ")":
            return text[index + 1 :].lstrip()
    return text
