"""jacobian, hessian, and products with them, of functions of one or several tensors.

Forward-mode products are those of autograd/levels.py: two reverse passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.autograd.calls import grad
from flambeau.autograd.levels import Level, Linear
from flambeau.ops.declare import TABLE
from flambeau.trace import recorder
from flambeau.trace.tensor import Recorded

INDEPENDENT = "The output of the user-provided function is independent of input {}."
NOT_STRICT = " This is not allowed in strict mode."
LINEAR = (
    "While computing the hessian, found that the jacobian of the user-provided function with "
    "respect to input {} is independent of the input. This is not allowed in strict mode. You "
    "should ensure that your function is twice differentiable and that the jacobian depends on the "
    "inputs (this would be violated by a linear function for example)."
)
NO_GRAD = (
    "Output {} of the user-provided function does not require gradients. The outputs must be "
    "computed in a differentiable manner from the input when running in strict mode."
)
GRAPHLESS = (
    "The jacobian of the user-provided function is independent of input {}. This is not allowed in "
    "strict mode when create_graph=True."
)
TRICK = (
    "The gradient with respect to the input is independent of entry {} in the grad_outputs when "
    "using the double backward trick to compute forward mode gradients. This is not allowed in "
    "strict mode."
)
STRATEGY = (
    'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has '
    'more outputs than inputs, "forward-mode" tends to be more performant. Otherwise, prefer to '
    'use "reverse-mode".'
)


class Calling:
    """A user's function, called on stand-ins for its inputs."""

    def __init__(self, name: str, func: Callable[..., Any], inputs: Any, create: bool,
                 strict: bool) -> None:  # fmt: skip
        self.name, self.create, self.strict = name, create, strict
        self.several_in, given = tensors(inputs, "inputs", name)
        self.level = Level()
        with self.level:
            self.inputs = [self.level.stand_in(x if create else x.detach()) for x in given]
            result = func(*self.inputs)
        what = "outputs of the user-provided function"
        self.several_out, self.outputs = tensors(result, what, name)
        check_depend(self.outputs, NO_GRAD, strict)

    def single(self) -> Any:
        """The output of a function that has one, of one element."""
        if self.several_out:
            raise RuntimeError(f"The function given to {self.name} should return a single Tensor")
        check_element(self.outputs[0], self.name)
        return self.outputs[0]

    def grads(self, results: Sequence[Any], vectors: Any, create: bool, says: str) -> list[Any]:
        """Gradients of results by the inputs, zeros (or an error) where there are none."""
        live = [(r, v) for r, v in zip(results, vectors) if r.requires_grad]
        found: Sequence[Any] = (None,) * len(self.inputs)
        if live:
            roots, given = zip(*live)
            with self.level:
                found = grad(roots, self.inputs, given, retain_graph=True, create_graph=create,
                             allow_unused=True)  # fmt: skip
        return self.filled(found, self.inputs, says)

    def filled(self, found: Sequence[Any], places: Sequence[Any], says: str) -> list[Any]:
        """Derivatives, zeros where there are none; where strict, an error."""
        for number, value in enumerate(found):
            if self.strict and value is None:
                raise RuntimeError(says.format(number))
            if self.strict and self.create and not value.requires_grad:
                raise RuntimeError(GRAPHLESS.format(number))
        return [zeros(x) if v is None else v for v, x in zip(found, places)]

    def finished(self, values: Sequence[Any], several: bool) -> Any:
        """Results for the user: without history where none was asked for."""
        done = tuple(v if self.create else v.detach() for v in values)
        return done if several else done[0]

    def vectors(self, v: Any, places: Sequence[Any], several: bool, what: str) -> list[Any]:
        """What is multiplied with a derivative: as many, and as large, as `places`."""
        if v is None:
            if len(places) != 1 or places[0]._spec.numel != 1:
                raise RuntimeError(f"The vector v can only be None if {what} a single Tensor with "
                                   "a single element.")  # fmt: skip
            return [zeros(places[0]) + 1]
        _, given = tensors(v, "v", self.name)
        if not self.create:
            given = [x.detach() for x in given]
        if len(given) != len(places):
            one = "The given v should contain a single Tensor."
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(places)} but got "
                               f"{len(given)}." if several else one)  # fmt: skip
        for number, (x, place) in enumerate(zip(given, places)):
            if x.shape != place.shape:
                entry = f"Entry {number} in " if several else ""
                raise RuntimeError(f"{entry}v has invalid size: should be {place.shape} but got "
                                   f"{x.shape}.")  # fmt: skip
        return given


def tensors(given: Any, what: str, name: str) -> tuple[bool, list[Any]]:
    """(whether there are several, they as a list); raises TypeError for what is no tensor."""
    several = isinstance(given, tuple)
    listed = list(given) if several else [given]
    for number, x in enumerate(listed):
        if not isinstance(x, Recorded):
            where = f"the value at index {number}" if several else f"the given {what}"
            raise TypeError(f"The {what} given to {name} must be either a Tensor or a tuple of "
                            f"Tensors but {where} has type {type(x)}.")  # fmt: skip
    return several, listed


def zeros(x: Any) -> Any:
    return x.new_zeros(x._spec.size)


def check_depend(values: Sequence[Any], says: str, strict: bool) -> None:
    """Where strict, everything must have a history."""
    for number, value in enumerate(values):
        if strict and not value.requires_grad:
            raise RuntimeError(says.format(number))


def check_element(x: Any, name: str) -> None:
    """What is differentiated twice has one element."""
    if x._spec.numel != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {name} should contain a "
                           "single element")  # fmt: skip


def stacked(values: Sequence[Any]) -> Any:
    """Tensors along a new first dim."""
    return recorder.record(TABLE["stack"], tuple(values), 0)


# ------------------------------------------------------------------ products


def vjp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Any, Any]:  # fmt: skip
    """(outputs, the product of v with the Jacobian of `func` at `inputs`).

    v has the sizes of the outputs; it may be left out where that is one element. strict: raise
    RuntimeError where a derivative is zero because nothing depends on an input.
    """
    call = Calling("vjp", func, inputs, create_graph, strict)
    v = call.vectors(v, call.outputs, call.several_out, "the user-provided function returns")
    found = call.grads(call.outputs, v, create_graph, INDEPENDENT + NOT_STRICT)
    outputs = call.finished(call.outputs, call.several_out)
    return outputs, call.finished(found, call.several_in)


def jvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Any, Any]:  # fmt: skip
    """(outputs, the product of the Jacobian of `func` at `inputs` with v).

    v has the sizes of the inputs; it may be left out where that is one element.
    """
    call = Calling("jvp", func, inputs, create_graph, strict)
    what = "the input to the user-provided function is"
    v = call.vectors(v, call.inputs, call.several_in, what)
    found = Linear(call.level, call.inputs, call.outputs)(v, create_graph)
    found = call.filled(found, call.outputs, TRICK)
    outputs = call.finished(call.outputs, call.several_out)
    return outputs, call.finished(found, call.several_out)


def slopes(call: Calling) -> tuple[Any, list[Any]]:
    """(the output, its gradients with a history)."""
    output = call.single()
    with call.level:
        found = [None] * len(call.inputs)
        if output.requires_grad:
            found = list(grad(output, call.inputs, create_graph=True, allow_unused=True))
    if call.strict and None in [g if g is None else 0 for g in found]:
        raise RuntimeError((INDEPENDENT + NOT_STRICT).format(found.index(None)))
    jacobians = [zeros(x) if g is None else g for g, x in zip(found, call.inputs)]
    check_depend(jacobians, LINEAR, call.strict)
    return output, jacobians


def vhp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Any, Any]:  # fmt: skip
    """(output, the product of v with the Hessian of `func`), for a function of one element."""
    call = Calling("vhp", func, inputs, create_graph, strict)
    call.single()
    what = "the input to the user-provided function is"
    v = call.vectors(v, call.inputs, call.several_in, what)
    output, jacobians = slopes(call)
    found = call.grads(jacobians, v, create_graph, INDEPENDENT + NOT_STRICT)
    return call.finished([output], False), call.finished(found, call.several_in)


def hvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Any, Any]:  # fmt: skip
    """(output, the product of the Hessian of `func` with v), for a function of one element."""
    call = Calling("hvp", func, inputs, create_graph, strict)
    call.single()
    what = "the input to the user-provided function is"
    v = call.vectors(v, call.inputs, call.several_in, what)
    output, jacobians = slopes(call)
    found = Linear(call.level, call.inputs, jacobians)(v, create_graph)
    found = call.filled(found, call.inputs, TRICK)
    return call.finished([output], False), call.finished(found, call.several_in)


# ------------------------------------------------------------------ whole matrices


def jacobian(func: Any, inputs: Any, create_graph: bool = False, strict: bool = False,
             vectorize: bool = False, strategy: str = "reverse-mode") -> Any:  # fmt: skip
    """The Jacobian: a block for each output (a tuple if there are several) and input.

    A block has the size of the output followed by that of the input. strategy: by rows, or
    "forward-mode", by columns. vectorize changes nothing: all rows are recorded and run together.
    """
    check_strategy(create_graph, strict, vectorize, strategy)
    call = Calling("jacobian", func, inputs, create_graph, strict)
    by_columns = strategy == "forward-mode"
    blocks = columns(call) if by_columns else [rows(call, n) for n in range(len(call.outputs))]
    done = tuple(call.finished(row, call.several_in) for row in blocks)
    return done if call.several_out else done[0]


def check_strategy(create: bool, strict: bool, vectorize: bool, strategy: str) -> None:
    """Which options go together."""
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(STRATEGY)
    says = "torch.autograd.functional.jacobian: "
    if strategy == "forward-mode" and create:
        raise NotImplementedError(f'{says}`create_graph=True` and `strategy="forward-mode"` are '
                                  "not supported together (yet). Please either set "
                                  '`create_graph=False` or `strategy="reverse-mode"`.')  # fmt: skip
    if strict and (vectorize or strategy == "forward-mode"):
        raise RuntimeError(f"{says}`strict=True` and `vectorized=True` are not supported together. "
                           "Please either set `strict=False` or `vectorize=False`.")  # fmt: skip
    if strategy == "forward-mode" and not vectorize:
        raise NotImplementedError("Computing Jacobian using forward-AD or forward-over-reverse "
                                  "Hessian is only implemented for `vectorize=True`.")  # fmt: skip


def rows(call: Calling, number: int) -> list[Any]:
    """The blocks of one output."""
    out = call.outputs[number]
    says = f"Output {number} of the user-provided function is independent of input {{}}."
    found = [call.grads([out], [unit], call.create, says + NOT_STRICT) for unit in units(out)]
    return [block(column, out, x) for column, x in zip(transposed(found, call.inputs), call.inputs)]


def columns(call: Calling) -> list[list[Any]]:
    """The blocks of all outputs, made column by column."""
    linear = Linear(call.level, call.inputs, call.outputs)
    blocks: list[list[Any]] = [[] for _ in call.outputs]
    for number, x in enumerate(call.inputs):
        tangents: list[Any] = [None] * len(call.inputs)
        found = []
        for unit in units(x):
            tangents[number] = unit
            some = linear(tangents, False)
            found.append([zeros(o) if t is None else t for t, o in zip(some, call.outputs)])
        for n, (out, column) in enumerate(zip(call.outputs, transposed(found, call.outputs))):
            whole = block(column, x, out)
            order = (*range(x.ndim, x.ndim + out.ndim), *range(x.ndim))
            blocks[n].append(whole.permute(order))
    return blocks


def transposed(found: list[list[Any]], places: Sequence[Any]) -> Any:
    """Rows of derivatives as columns."""
    return zip(*found) if found else [[] for _ in places]


def block(values: Sequence[Any], out: Any, x: Any) -> Any:
    """Derivatives of each element of `out`, each in the size of x, in one tensor."""
    size = (*out._spec.size, *x._spec.size)
    return stacked(values).view(size) if values else x.new_zeros(size)


def units(x: Any) -> Any:
    """Each tensor in the size of `x` with a single 1."""
    n = x._spec.numel
    whole = recorder.record(TABLE["diag_embed"], zeros(x).new_ones((n,)), 0, -2, -1) if n else None
    return () if whole is None else whole.view((n, *x._spec.size)).unbind(0)


def hessian(func: Any, inputs: Any, create_graph: bool = False, strict: bool = False,
            vectorize: bool = False,
            outer_jacobian_strategy: str = "reverse-mode") -> Any:  # fmt: skip
    """The Hessian of a function of one element: a block for each pair of inputs."""
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def slope(*given: Any) -> Any:
        call = Calling("hessian", func, given if isinstance(inputs, tuple) else given[0], True,
                       False)  # fmt: skip
        check_depend(call.outputs, NO_GRAD, strict)
        call.single()
        found = [b.view(x._spec.size) for b, x in zip(rows(call, 0), call.inputs)]
        check_depend(found, LINEAR, strict)
        return call.finished(found, call.several_in)

    return jacobian(slope, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)
