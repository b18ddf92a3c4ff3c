"""jvp, linearize, jacfwd, hessian: derivatives from the arguments on to the results.

All by two reverse passes (autograd/levels.py). What a function computes under `no_grad` counts as
constant for them.
"""

import functools

from flambeau.autograd.levels import Level, Linear
from flambeau.func.reverse import jacrev, stacked, units
from flambeau.func.trees import check_randomness, chosen, stand_ins, tensors_of, with_aux
from flambeau.tensor import Tensor
from flambeau.utils._pytree import tree_flatten, tree_map

SAYS = "jvp(f, primals, tangents)"


def jvp(func, primals, tangents, *, strict=False, has_aux=False):
    """(func(*primals), the product of its Jacobian with the tangents).

    With has_aux, func returns (output, aux) and aux comes third; strict raises RuntimeError where
    an output does not depend on the inputs. What func computes under `no_grad` counts as constant.
    """
    check_primals(primals)
    given, spec = tree_flatten(tangents)
    check_structures(tree_flatten(primals)[1], spec)
    level = Level()
    with level:
        args, inputs = stand_ins(level, primals)
        output, aux = with_aux(func(*args), has_aux, SAYS)
    for x, tangent in zip(inputs, given):
        check_tangent(x, tangent)
    results, spec = tensors_of(output, SAYS)
    found = Linear(level, inputs, results)(given)
    if strict and any(t is None for t in found):
        raise RuntimeError(f"{SAYS}, strict=True): The output of f is independent of the inputs. "
                           "This is not allowed with strict=True.")  # fmt: skip
    out = spec.unflatten([level.release(x) for x in results])
    tangent = spec.unflatten([released(level, x, t) for x, t in zip(results, found)])
    return (out, tangent, tree_map(level.release, aux)) if has_aux else (out, tangent)


def released(level, result, tangent):
    """A tangent for the outside: zeros where there is none."""
    return result.new_zeros(result.shape) if tangent is None else level.release(tangent)


def check_primals(primals):
    """A tuple, with a tensor in it."""
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{SAYS}: Expected primals to be a tuple. E.g. it should be valid to "
                           "call f(*primals).")  # fmt: skip
    if not any(isinstance(x, Tensor) for x in tree_flatten(primals)[0]):
        raise RuntimeError(f"{SAYS}: Expected primals to contain at least one Tensor.")


def check_structures(primals, tangents):
    """Tangents stand where primals do."""
    if primals != tangents:
        raise RuntimeError(
            f"{SAYS}: Expected primals and tangents to have the same python structure. For "
            "example, if primals is a tuple of 3 tensors, tangents also must be. Got primals with "
            f"structure {primals} and tangents with structure {tangents}")  # fmt: skip


def check_tangent(x, tangent):
    """A tangent is a tensor in the size of what it belongs to."""
    if not isinstance(tangent, Tensor):
        raise ValueError(f"Thing passed to transform API must be Tensor, got {type(tangent)}")
    if tangent.shape != x.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original "
            f"Tensor, this is not supported. Tensor is of size {list(x.shape)} while the given "
            f"forward gradient is of size {list(tangent.shape)}.")  # fmt: skip


def linearize(func, *primals):
    """(func(*primals), jvp_fn): jvp_fn(*tangents) uses again what the call has computed."""
    if not primals:
        raise RuntimeError("linearize(f, *primals): Expected at least one primal.")
    level = Level()
    with level:
        args, inputs = stand_ins(level, primals)
        results, spec = tensors_of(func(*args), "linearize(f, *primals)")
    linear, shape = Linear(level, inputs, results), tree_flatten(primals)[1]

    def jvp_fn(*tangents):
        given, found = tree_flatten(tangents)
        if found != shape:
            raise RuntimeError(f"Expected the tangents {found} to have the same argspec as the "
                               f"primals {shape}")  # fmt: skip
        for n, (x, tangent) in enumerate(zip(inputs, given)):
            check_fits(n, x, tangent)
        pairs = zip(results, linear(given))
        return spec.unflatten([released(level, x, t) for x, t in pairs])

    return spec.unflatten([level.release(x) for x in results]), jvp_fn


def check_fits(number, x, tangent):
    """A tangent has the size and type of its primal."""
    for what, mine, others in (("shape", tangent.shape, x.shape),
                               ("dtype", tangent.dtype, x.dtype)):  # fmt: skip
        if mine != others:
            raise RuntimeError(f"tangent:{number} with {what} {mine} in flattened pytree doesn't "
                               f"match the {what} {others} of the corresponding "
                               "primal.")  # fmt: skip


def jacfwd(func, argnums=0, has_aux=False, *, randomness="error"):
    """The function that gives the Jacobian, a column of each argument after the other.

    The result is as that of `jacrev`. The function runs once, so `randomness` makes no difference.
    """

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        check_randomness(randomness)
        level = Level()
        with level:
            args, inputs, arg_spec = chosen(level, args, argnums)
            output, aux = with_aux(func(*args, **kwargs), has_aux, SAYS)
        results, spec = tensors_of(output, SAYS)
        linear = Linear(level, inputs, results)
        blocks = [columns_of(level, linear, n, inputs) for n in range(len(inputs))]
        rows = [arg_spec.unflatten([block[r] for block in blocks]) for r in range(len(results))]
        jacobian = spec.unflatten(rows)
        return (jacobian, tree_map(level.release, aux)) if has_aux else jacobian

    return wrapper


def columns_of(level, linear, number, inputs):
    """The Jacobian with respect to one input, for each result."""
    tangents, columns = [None] * len(inputs), []
    for unit in units(inputs[number]):
        tangents[number] = unit
        found = linear(tangents)
        columns.append([released(level, x, t) for x, t in zip(linear.results, found)])
    size = inputs[number].shape
    if not columns:
        return [x.new_zeros((*x.shape, *size)) for x in linear.results]
    return [
        stacked(column).movedim(0, -1).reshape(*x.shape, *size)
        for x, column in zip(linear.results, zip(*columns))
    ]


def hessian(func, argnums=0):
    """The function that gives the second derivatives: the Jacobian of the Jacobian."""
    return jacfwd(jacrev(func, argnums), argnums)
