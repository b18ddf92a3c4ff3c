"""grad, grad_and_value, vjp, jacrev: derivatives from the results back to the arguments."""

import functools

from flambeau import autograd
from flambeau.autograd.levels import Level
from flambeau.func.trees import check_chunks, chosen, stand_ins, tensors_of, with_aux
from flambeau.tensor import Tensor
from flambeau.trace.trie import here
from flambeau.utils._pytree import tree_flatten, tree_map


def grad(func, argnums=0, has_aux=False):
    """The function that gives the gradient of a function of scalar value.

    argnums: which arguments, by number; a tuple of numbers gives a tuple of gradients. Arguments
    may be trees of tensors. has_aux: the function returns (value, aux), and the new one
    (gradient, aux).
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapper


def grad_and_value(func, argnums=0, has_aux=False):
    """As `grad`, but returns (gradient, value), or (gradient, (value, aux))."""

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        level = Level()
        with level:
            args, inputs, spec = chosen(level, args, argnums)
            result = func(*args, **kwargs)
        value, aux = with_aux(result, has_aux, "grad_and_value(f)(*args)")
        check_scalar(value)
        grads = gradients(level, [value], inputs, None)
        value, aux = level.release(value), tree_map(level.release, aux)
        return spec.unflatten(grads), (value, aux) if has_aux else value

    return wrapper


def check_scalar(value):
    """What can be differentiated without a cotangent."""
    says = "grad_and_value(f)(*args): Expected f(*args) to return a "
    if not isinstance(value, Tensor):
        raise RuntimeError(f"{says}Tensor, got {type(value)}")
    if value.dim():
        raise RuntimeError(f"{says}scalar Tensor, got tensor with {value.dim()} dims. Maybe you "
                           "wanted to use the vjp or jacrev APIs instead?")  # fmt: skip


def gradients(level, results, inputs, cotangents, retain=None):
    """What autograd.grad gives, zeros where nothing arrives; with a history if that leads out."""
    picked = [(r, c) for r, c in zip(results, cotangents or [None] * len(results))
              if r.requires_grad]  # fmt: skip
    found = [None] * len(inputs)
    if picked:
        results, cotangents = map(list, zip(*picked))
        create = level.outlasts([*results, *[c for c in cotangents if c is not None]])
        with level:
            found = autograd.grad(results, inputs, cotangents, retain_graph=create or retain,
                                  create_graph=create, allow_unused=True)  # fmt: skip
    return [x.new_zeros(x.shape) if g is None else level.release(g) for g, x in zip(found, inputs)]


def vjp(func, *primals, has_aux=False):
    """(func(*primals), vjp_fn): vjp_fn(cotangents) gives the products with the Jacobian, a tuple.

    With has_aux, func returns (output, aux) and aux comes third. Raises RuntimeError where outputs
    are no tensors, or cotangents have another structure than the outputs.
    """
    level = Level()
    with level:
        args, inputs = stand_ins(level, primals)
        output, aux = with_aux(func(*args), has_aux, "vjp(f, *primals)")
    results, spec = tensors_of(output, "vjp(f, *primals)")
    back = tree_flatten(primals)[1]

    def vjp_fn(cotangents, retain_graph=True, create_graph=None):
        given, shape = tree_flatten(cotangents)
        if shape != spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of "
                f"outputs to the function. cotangents: {shape}, primal output: {spec}")  # fmt: skip
        level.outer = here.stretch.mode.grad
        found = back.unflatten(gradients(level, results, inputs, given, retain_graph))
        return found

    output = spec.unflatten([level.release(x) for x in results])
    return (output, vjp_fn, tree_map(level.release, aux)) if has_aux else (output, vjp_fn)


def jacrev(func, argnums=0, *, has_aux=False, chunk_size=None,
           _preallocate_and_copy=False):  # fmt: skip
    """The function that gives the Jacobian, a row of each output after the other.

    The result is a tree of the outputs, of trees of the arguments; its sizes are those of the
    output followed by those of the argument.
    """
    check_chunks(chunk_size, "jacrev")

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        level = Level()
        with level:
            args, inputs, arg_spec = chosen(level, args, argnums)
            output, aux = with_aux(func(*args, **kwargs), has_aux, "vjp(f, *primals)")
        results, spec = tensors_of(output, "vjp(f, *primals)")
        for result in results:
            if result._spec.dtype.kind not in "fc":
                raise RuntimeError("vjp(f, ...): All outputs of f must be floating-point or "
                                   "complex Tensors, got Tensor with dtype "
                                   f"{result.dtype}")  # fmt: skip
        blocks = [arg_spec.unflatten(rows_of(level, result, inputs)) for result in results]
        jacobian = spec.unflatten(blocks)
        return (jacobian, tree_map(level.release, aux)) if has_aux else jacobian

    return wrapper


def rows_of(level, result, inputs):
    """The Jacobian of one result, for each input."""
    rows = [gradients(level, [result], inputs, [unit], retain=True) for unit in units(result)]
    return [
        stacked(column).view(*result.shape, *x.shape) if rows
        else x.new_zeros((*result.shape, *x.shape))
        for x, column in zip(inputs, zip(*rows) if rows else inputs)
    ]  # fmt: skip


def units(x):
    """Each tensor in the size of `x` with a single 1."""
    from flambeau import eye

    n = x.numel()
    return eye(n, dtype=x.dtype).view(n, *x.shape).unbind(0) if n else ()


def stacked(tensors):
    """Tensors along a new first dim."""
    from flambeau import stack

    return stack(tuple(tensors))
