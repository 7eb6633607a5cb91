"""Einsum of one or two operands as Transpose, ReduceSum and one MatMul."""

from sparsebook_compressor.trainable.draft import CannotRewriteError, Dim, Draft


def einsum(draft: Draft) -> str:
    """Letters of both operands and the result are the batch, letters of both alone are summed over by MatMul."""
    operands, result = _terms(draft)
    names = list(draft.node.input)
    if len(operands) == 1:
        name, letters = _summed(draft, names[0], operands[0], set(result))
        _ordered(draft, name, letters, result)
    else:
        _product(draft, names, operands, result)
    return draft.says("a MatMul between Transposes and Reshapes")


def _terms(draft: Draft) -> tuple[list[str], str]:
    equation = "".join(draft.attribute("equation", "").split())
    left, arrow, result = equation.partition("->")
    operands = left.split(",")
    if not arrow:
        every = left.replace(",", "")
        result = "".join(sorted(letter for letter in set(every) if every.count(letter) == 1))
    if "." in equation or len(operands) > 2:
        raise CannotRewriteError(f"its equation is {equation!r}")
    if any(len(set(term)) != len(term) for term in [*operands, result]):
        raise CannotRewriteError(f"a letter is repeated in {equation!r}")
    return operands, result


def _summed(draft: Draft, name: str, letters: str, kept: set[str]) -> tuple[str, str]:
    """An operand without the letters that nobody else has."""
    axes = [axis for axis, letter in enumerate(letters) if letter not in kept]
    if not axes:
        return name, letters
    total = draft.reduce("ReduceSum", name, axes, keepdims=False)
    return total, "".join(letter for letter in letters if letter in kept)


def _product(draft: Draft, names: list[str], operands: list[str], result: str) -> None:
    sizes: dict[str, Dim] = {}
    for name, letters in zip(names, operands, strict=True):
        for axis, letter in enumerate(letters):
            known = sizes.get(letter)
            if not isinstance(known, int) or known == 1:
                sizes[letter] = draft.dim(name, axis)
    (a, left), (b, right) = (
        _summed(draft, names[at], operands[at], {*result, *operands[1 - at]}) for at in (0, 1)
    )
    batch = [letter for letter in result if letter in left and letter in right]
    summed = [letter for letter in left if letter in right and letter not in result]
    rows = [letter for letter in result if letter in left and letter not in right]
    columns = [letter for letter in result if letter in right and letter not in left]
    a = _matrix(draft, a, left, batch, rows, summed, sizes)
    b = _matrix(draft, b, right, batch, summed, columns, sizes)
    product = draft.op("MatMul", a, b)
    order = [*batch, *rows, *columns]
    if len(rows) != 1 or len(columns) != 1:
        if order:
            product = draft.reshape(product, [sizes[letter] for letter in order])
        else:
            product = draft.squeeze(product, [0, 1])
    _ordered(draft, product, "".join(order), result)


def _ordered(draft: Draft, name: str, letters: str, result: str) -> None:
    if letters == result:
        draft.op("Identity", name, out=draft.y)
    else:
        draft.transpose(name, [letters.index(letter) for letter in result], draft.y)


def _matrix(
    draft: Draft,
    name: str,
    letters: str,
    batch: list[str],
    first: list[str],
    second: list[str],
    sizes: dict[str, Dim],
) -> str:
    """The operand as [batch..., first together, second together]."""
    perm = [letters.index(letter) for letter in [*batch, *first, *second]]
    name = draft.transpose(name, perm)
    if len(first) == len(second) == 1:
        return name
    together = [draft.times(1, *(sizes[letter] for letter in part)) for part in (first, second)]
    return draft.reshape(name, [*(sizes[letter] for letter in batch), *together])
