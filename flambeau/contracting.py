"""Products that sum over dims by name or number: einsum, tensordot, kron, addr."""

from __future__ import annotations

import math
from typing import Any

from flambeau.filling import fill
from flambeau.ops.declare import TABLE
from flambeau.ops.rules import one_dim
from flambeau.products import bmm, mm, reshaped
from flambeau.tensor import FUNCTIONS, Tensor
from flambeau.trace.autocast import whole
from flambeau.trace.recorder import record_write

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # labels in their order
DOTS = "..."

# ------------------------------------------------------------------ einsum


def einsum(*args: Any) -> Any:
    """Sums of products over named dims: einsum("ij,jk->ik", a, b) or einsum(a, [0, 1], b, [1, 2]).

    Operands are multiplied from left to right, each pair as a batch of matrix products. A label
    that occurs twice in one operand is its diagonal; `...` stands for dims that broadcast.
    Raises RuntimeError for an equation that does not fit the operands.
    """
    inputs, output, operands = given(args)
    if not operands:
        raise RuntimeError("einsum(): must provide at least one operand")
    if len(inputs) != len(operands):
        fewer = "fewer" if len(inputs) > len(operands) else "more"
        raise RuntimeError(f"einsum(): {fewer} operands were provided than specified in the "
                           "equation")  # fmt: skip
    return contracted(*in_place_of_dots(inputs, output, operands), operands)


def given(args: tuple[Any, ...]) -> tuple[list[list[str]], list[str] | None, list[Any]]:
    """The labels of each operand, those of the output if it says them, and the operands."""
    if len(args) < 2:
        raise ValueError("einsum(): must specify the equation string and at least one operand, or "
                         "at least one operand and its subscripts list")  # fmt: skip
    if isinstance(args[0], Tensor):
        output = by_number(args[-1]) if len(args) % 2 else None
        pairs = args[: len(args) // 2 * 2]
        return [by_number(p) for p in pairs[1::2]], output, list(pairs[::2])
    equation, operands = args[0], args[1:]
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    left, arrow, right = equation.partition("->")
    inputs, start = [], 0
    for n, part in enumerate(left.split(",")):
        inputs.append(by_letter(part, f"operand {n}", start))
        start += len(part) + 1
    return inputs, by_letter(right, "the output", start + 1) if arrow else None, list(operands)


def by_number(labels: Any) -> list[str]:
    """The labels of a list of numbers and Ellipsis."""
    found = [DOTS if i is Ellipsis else LETTERS[i] if 0 <= i < len(LETTERS) else "" for i in labels]
    if "" in found:
        raise ValueError("einsum(): subscript in subscript list is not within the valid range "
                         "[0, 52)")  # fmt: skip
    refuse_dots(found, "an operand")
    return found


def by_letter(text: str, where: str, start: int) -> list[str]:
    """The labels of one part of an equation, which begins at an index of it."""
    found, at = [], 0
    while at < len(text):
        label = DOTS if text.startswith(DOTS, at) else text[at]
        if label == ".":
            raise RuntimeError(f"einsum(): found '.' for {where} that is not part of any ellipsis")
        if label not in (DOTS, " ") and label not in LETTERS:
            raise RuntimeError(f"einsum(): invalid subscript given at index {start + at} in the "
                               "equation string, subscripts must be in [a-zA-Z]")  # fmt: skip
        found += [label] if label != " " else []
        at += len(label)
    refuse_dots(found, where)
    return found


def refuse_dots(labels: list[str], where: str) -> None:
    if labels.count(DOTS) > 1:
        raise RuntimeError(f"einsum(): found '.' for {where} for which an ellipsis was already "
                           "found")  # fmt: skip


def in_place_of_dots(
    inputs: list[list[str]], output: list[str] | None, operands: list[Any]
) -> tuple[list[list[str]], list[str]]:
    """The same with a label for each dim that an ellipsis stands for: '.0' is the last one."""
    dots = []
    for n, (labels, x) in enumerate(zip(inputs, operands)):
        named = len([c for c in labels if c is not DOTS])
        if named > x.ndim or named < x.ndim and DOTS not in labels:
            no = "" if DOTS in labels else " and no ellipsis was given"
            raise RuntimeError(f"einsum(): the number of subscripts in the equation ({named}) "
                               f"{'is more than' if no == '' else 'does not match'} the number of "
                               f"dimensions ({x.ndim}) for operand {n}{no}")  # fmt: skip
        dots.append(x.ndim - named)
    longest = max(dots)
    full = [spelled(labels, count) for labels, count in zip(inputs, dots)]
    if output is None:
        every = [c for labels in inputs for c in labels if c is not DOTS]
        free = sorted((c for c in set(every) if every.count(c) == 1), key=LETTERS.index)
        return full, [*spelled([DOTS], longest), *free]
    check_output(output, {c for labels in inputs for c in labels})
    return full, spelled(output, longest)


def spelled(labels: list[str], count: int) -> list[str]:
    """Labels in which the ellipsis is `count` labels of its own."""
    rest = [f".{i}" for i in range(count - 1, -1, -1)]
    return [c for label in labels for c in (rest if label is DOTS else [label])]


def check_output(output: list[str], known: set[str]) -> None:
    for label in output:
        if output.count(label) > 1:
            raise RuntimeError(f"einsum(): output subscript {label} appears more than once in the "
                               "output")  # fmt: skip
        if label not in known and label is not DOTS:
            raise RuntimeError(f"einsum(): output subscript {label} does not appear in the "
                               "equation for any input operand")  # fmt: skip


def contracted(inputs: list[list[str]], output: list[str], operands: list[Any]) -> Any:
    """The sum of products, from the left; a label goes with the last operand that has it."""
    found = [diagonals(n, x, labels) for n, (x, labels) in enumerate(zip(operands, inputs))]
    check_sizes(found)
    order = list(dict.fromkeys([*output, *(c for _, labels in found for c in labels)]))
    found = [in_order(x, labels, order) for x, labels in found]
    left, labels = found[0]
    for n in range(1, len(found)):
        later = set(output).union(*inputs[n + 1 :])
        left, labels = product(left, labels, *found[n], later, order)
    left, labels = summed(left, labels, [c for c in labels if c not in output])
    return left.permute([labels.index(c) for c in output])


def check_sizes(operands: list[tuple[Any, list[str]]]) -> None:
    """Each label has one size, but 1 broadcasts."""
    sizes: dict[str, int] = {}
    for n, (x, labels) in enumerate(operands):
        for label, size in zip(labels, x.shape):
            if sizes.get(label, 1) != 1 and size not in (1, sizes[label]):
                raise RuntimeError(f"einsum(): subscript {label} has size {size} for operand {n} "
                                   "which does not broadcast with previously seen size "
                                   f"{sizes[label]}")  # fmt: skip
            if sizes.get(label, 1) == 1:
                sizes[label] = size


def diagonals(n: int, x: Any, labels: list[str]) -> tuple[Any, list[str]]:
    """Labels that are repeated in one operand stand for its diagonal."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x.shape[first] != x.shape[second]:
                raise RuntimeError(f"einsum(): subscript {label} is repeated for operand {n} "
                                   f"but the sizes don't match, {x.shape[second]} != "
                                   f"{x.shape[first]}")  # fmt: skip
            x = x.diagonal(0, first, second).movedim(-1, first)
            del labels[second]
    return x, labels


def in_order(x: Any, labels: list[str], order: list[str]) -> tuple[Any, list[str]]:
    """The dims of an operand in the order of all labels."""
    own = sorted(labels, key=order.index)
    return x.permute([labels.index(c) for c in own]), own


def summed(x: Any, labels: list[str], gone: list[str]) -> tuple[Any, list[str]]:
    """The sum over some labels."""
    if not gone:
        return x, labels
    return x.sum([labels.index(c) for c in gone]), [c for c in labels if c not in gone]


@whole("lower")
def product(
    a: Any, left: list[str], b: Any, right: list[str], later: set[str], order: list[str]
) -> Any:
    """The product of two operands, summed over the labels that nobody asks for later.

    As one batch of matrix products: batch dims are those that both have and keep. The result lies
    in memory with the labels of the output first, in their order.
    """
    gone = [c for c in left if c not in later and alone(c, left, b, right)]
    gone_too = [c for c in right if c not in later and alone(c, right, a, left)]
    (a, left), (b, right) = summed(a, left, gone), summed(b, right, gone_too)
    inner = [c for c in left if c in right and c not in later]
    if not inner:
        return multiplied(a, left, b, right, order)
    a, b = full_dims(a, left, b, right), full_dims(b, right, a, left)
    batch, rows, columns = (
        sorted(labels, key=order.index)
        for labels in (
            [c for c in left if c in right and c in later],
            [c for c in left if c not in right],
            [c for c in right if c not in left],
        )
    )
    swap = rows and columns and order.index(columns[0]) < order.index(rows[0])
    if swap and not gone and not gone_too:  # then PyTorch's result is row-major
        a, left, rows, b, right, columns = b, right, columns, a, left, rows
    n, m = dict(zip(left, a.shape)), dict(zip(right, b.shape))
    k, count = math.prod(n[c] for c in inner), math.prod(n[c] for c in batch)
    width, height = math.prod(m[c] for c in columns), math.prod(n[c] for c in rows)
    a = a.permute([left.index(c) for c in (*batch, *rows, *inner)]).reshape((count, height, k))
    b = b.permute([right.index(c) for c in (*batch, *inner, *columns)]).reshape((count, k, width))
    size = (*(n[c] for c in batch), *(n[c] for c in rows), *(m[c] for c in columns))
    return reshaped(bmm(a, b), size), [*batch, *rows, *columns]


def multiplied(a: Any, left: list[str], b: Any, right: list[str], order: list[str]) -> Any:
    """The product where nothing is summed over: element by element."""
    labels = [c for c in order if c in left or c in right]
    return aligned(a, left, labels) * aligned(b, right, labels), labels


def aligned(x: Any, own: list[str], labels: list[str]) -> Any:
    """A dim for each label, of size 1 where the operand has none."""
    x = x.permute([own.index(c) for c in labels if c in own])
    for d, label in enumerate(labels):
        x = x if label in own else x.unsqueeze(d)
    return x


def alone(label: str, labels: list[str], other: Any, others: list[str]) -> bool:
    """Whether the other operand does not care about a label: it lacks it, or repeats along it."""
    return label not in others or other.shape[others.index(label)] == 1


def full_dims(a: Any, left: list[str], b: Any, right: list[str]) -> Any:
    """The operand with dims of size 1 repeated where the other one has more."""
    n = dict(zip(right, b.shape))
    size = [n.get(c, 1) if s == 1 else s for c, s in zip(left, a.shape)]
    return a if size == list(a.shape) else a.expand(size)


# ------------------------------------------------------------------ tensordot, kron


def tensordot(a: Any, b: Any, dims: Any = 2, out: Any = None) -> Any:
    """The sum of products over dims: the last of a with the first of b, or those that are named.

    dims: how many, or a pair of lists. Raises RuntimeError for sizes that do not match.
    """
    left, right = pairs(a, b, dims)
    if len(left) != len(right):
        raise RuntimeError("both dimension lists should have same length")
    left, right = ([one_dim(d, x.ndim) for d in ds] for ds, x in ((left, a), (right, b)))
    for ds in (left, right):
        if len(set(ds)) != len(ds):
            raise RuntimeError("dim appears multiple times in the list of dims")
    a, b = matching(a, left, b, right)
    kept_a = [d for d in range(a.ndim) if d not in left]
    kept_b = [d for d in range(b.ndim) if d not in right]
    size = [a.shape[d] for d in kept_a] + [b.shape[d] for d in kept_b]
    k = math.prod(a.shape[d] for d in left)
    rows, columns = (math.prod(x.shape[d] for d in ds) for x, ds in ((a, kept_a), (b, kept_b)))
    product = mm(a.permute(kept_a + left).reshape((rows, k)),
                 b.permute(right + kept_b).reshape((k, columns)))  # fmt: skip
    return fill("tensordot", reshaped(product, size), out)


def pairs(a: Any, b: Any, dims: Any) -> tuple[list[int], list[int]]:
    """The dims of each operand that are summed over."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, (tuple, list)) and len(dims) > 1:
        left, right = dims
        return ([d] if isinstance(d, int) else list(d) for d in (left, right))  # type: ignore
    n = int(dims[0] if isinstance(dims, (tuple, list)) else dims)
    if n < 0:
        raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
    if n > min(a.ndim, b.ndim):
        raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
    return list(range(-n, 0)), list(range(n))


def matching(a: Any, left: list[int], b: Any, right: list[int]) -> tuple[Any, Any]:
    """Both operands with one size along the dims that are summed over; 1 broadcasts."""
    for d, e in zip(left, right):
        n, m = a.shape[d], b.shape[e]
        if m == 1 != n:
            a = a.sum(d, True)
        elif n == 1 != m:
            b = b.sum(e, True)
        elif n != m:
            raise RuntimeError(f"contracted dimensions need to match, but first has size {n} in "
                               f"dim {d} and second has size {m} in dim {e}")  # fmt: skip
    return a, b


def kron(input: Any, other: Any, *, out: Any = None) -> Any:
    """Kronecker's product: every element of the first times the whole of the second."""
    n = max(input.ndim, other.ndim)
    a, b = ((1,) * (n - x.ndim) + tuple(x.shape) for x in (input, other))
    size = tuple(p * q for p, q in zip(a, b))
    spread = input.reshape([s for p in a for s in (p, 1)])
    product = spread * other.reshape([s for q in b for s in (1, q)])
    return fill("kron", product.reshape(size), out, exactly=False)


# ------------------------------------------------------------------ addr


def column(input: Any, vec1: Any, vec2: Any) -> Any:
    """The first vector as a column, after checking the arguments of addr."""
    for n, vec in enumerate((vec1, vec2), 1):
        if vec.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument vec{n}, but got {vec.ndim}-D")
    size = (vec1.shape[0], vec2.shape[0])
    input.expand(size)  # refuses what does not broadcast to the product
    return vec1.unsqueeze(1)


def addr(
    input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Any:
    """beta · input + alpha · the outer product of two vectors."""
    column1 = column(input, vec1, vec2)
    return FUNCTIONS["_addr"](input, column1, vec2, beta=beta, alpha=alpha, out=out)


def addr_(self: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """addr, over the input."""
    return record_write(TABLE["_addr"], self, self, column(self, vec1, vec2), vec2, beta, alpha)


METHODS = "kron addr addr_".split()
PUBLIC = "einsum tensordot kron addr".split()
