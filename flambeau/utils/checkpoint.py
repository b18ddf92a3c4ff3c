"""Checkpoints: a part of the graph that keeps nothing and is computed again in backward.

T. Chen et al.: Training Deep Nets with Sublinear Memory Cost, 2016. Without `use_reentrant` the
nodes of the part lose what they have saved; the first that is asked for it runs the function again,
and all take what their twins have saved then. With it, the part is one node that runs a backward of
its own. Either way what is pending is run after the forward pass: a program that held forward and
backward would compute, and keep, what both need only once.
"""

import contextlib
import warnings

import flambeau as fl
from flambeau.autograd import calls
from flambeau.autograd.function import Function, FunctionCtx
from flambeau.autograd.modes import enable_grad, no_grad
from flambeau.random import default_generator
from flambeau.tensor import Tensor
from flambeau.trace import flush
from flambeau.trace.modes import switch
from flambeau.trace.node import Edge, order
from flambeau.trace.trie import here

__all__ = ["CheckpointError", "CheckpointFunction", "checkpoint", "checkpoint_sequential",
           "check_backward_validity", "detach_variable", "noop_context_fn",
           "set_checkpoint_debug_enabled", "set_checkpoint_early_stop"]  # fmt: skip

EXPLICITLY = (
    "the use_reentrant parameter should be passed explicitly. {} use_reentrant=False is "
    "recommended, but if you need to preserve the current default behavior, you can pass "
    "use_reentrant=True. Refer to docs for more details on the differences between the two "
    "variants."
)
NOT_FOR_GRAD = (
    "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an "
    "`inputs` parameter to .backward(). To resolve this error, you can either set "
    "use_reentrant=False, or call .backward() without passing the `inputs` argument."
)


class CheckpointError(RuntimeError):
    """The function did something else when it ran again."""


def noop_context_fn():
    """Two contexts that do nothing: for the forward pass, and for the second one."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(function, *args, use_reentrant=None, context_fn=noop_context_fn,
               determinism_check="default", debug=False, early_stop=True, **kwargs):  # fmt: skip
    """function(*args, **kwargs), whose inner results are computed again when backward needs them.

    context_fn gives two context managers, for the first run and for the second; preserve_rng_state
    (True) makes both draw the same random numbers.
    """
    if use_reentrant is None:
        warnings.warn("torch.utils.checkpoint: " + EXPLICITLY.format(
            "Starting in PyTorch 2.9, calling checkpoint without use_reentrant will raise an "
            "exception."), stacklevel=2)  # fmt: skip
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if not use_reentrant:
        if determinism_check not in ("default", "none"):
            raise ValueError(
                "determinism_check should be one of ['default', 'none'], but got "
                f"{determinism_check}"
            )
        check = determinism_check == "default"
        return without_reentrance(function, args, kwargs, preserve, context_fn, check)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if context_fn is not noop_context_fn or debug is not False:
        raise ValueError(
            "Passing `context_fn` or `debug` is only supported when use_reentrant=False."
        )
    output = CheckpointFunction.apply(function, preserve, *args)
    flush.flush_current()
    return output


def checkpoint_sequential(functions, segments, input, use_reentrant=None, **kwargs):
    """Run modules one after the other, in segments that are checkpoints (but for the last)."""
    if use_reentrant is None:
        warnings.warn("torch.utils.checkpoint.checkpoint_sequential: " + EXPLICITLY.format(
            "In version 2.9 we will raise an exception if use_reentrant is not passed."),
            stacklevel=2)  # fmt: skip
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if isinstance(functions, fl.nn.Sequential):
        functions = list(functions.children())
    size = len(functions) // segments
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(in_turn(functions[start : start + size]), input,
                           use_reentrant=use_reentrant, preserve_rng_state=preserve)  # fmt: skip
    return in_turn(functions[size * (segments - 1) :])(input)


def in_turn(functions):
    """One function that runs several."""

    def run(input):
        for function in functions:
            input = function(input)
        return input

    return run


# ------------------------------------------------------------------ the same circumstances


class Circumstances:
    """What the second run must find as the first one did: random numbers, autocast."""

    def __init__(self, preserve):
        self.state = default_generator._state.clone() if preserve else None
        self.autocast = here.stretch.mode.autocast

    @contextlib.contextmanager
    def again(self):
        """As they were; afterwards as they are."""
        now, mode = default_generator._state, here.stretch.mode
        after = now.clone() if self.state is not None else None
        if after is not None:
            now.copy_(self.state)
        here.stretch.mode = switch(mode, autocast=self.autocast)
        try:
            yield
        finally:
            here.stretch.mode = switch(here.stretch.mode, autocast=mode.autocast)
            if after is not None:
                now.copy_(after)


# ------------------------------------------------------------------ without reentrance


class Forgotten:
    """Stands where nodes have saved something; knows how to make it again."""

    def __init__(self, again, sizes, check):
        self.again, self.sizes, self.check = again, sizes, check
        self.made = None

    def saved_by(self, place):
        """What the node at a place among those of the checkpoint has saved."""
        if self.made is None:
            twins = self.again()
            if len(twins) < len(self.sizes):
                raise CheckpointError(
                    "torch.utils.checkpoint: A different number of tensors was saved during the "
                    "original forward and recomputation.\n"
                    f"Number of tensors saved during forward: {len(self.sizes)}\n"
                    f"Number of tensors saved during recomputation: {len(twins)}."
                )
            self.made = {n: twin.saved for n, twin in enumerate(twins)}
            self.compare(twins)
        saved = self.made.pop(place)
        return saved.recompute() if isinstance(saved, Share) else saved  # a checkpoint inside

    def compare(self, twins):
        """Refuse nodes whose results have another size or type than the first time."""
        for n, (size, twin) in enumerate(zip(self.sizes, twins)):
            if self.check and size is not None and size != results_of(twin):
                raise CheckpointError(
                    "torch.utils.checkpoint: Recomputed values for the following tensors have "
                    "different metadata than during the forward pass.\n"
                    f"tensor at position {n}:\nsaved metadata: {size}\n"
                    f"recomputed metadata: {results_of(twin)}\n"
                )


class Share:
    """One node's part of what was forgotten."""

    def __init__(self, whole, place):
        self.whole, self.place = whole, place

    def recompute(self):
        """What the node saved; computed again for all nodes when the first one asks."""
        return self.whole.saved_by(self.place)


def without_reentrance(function, args, kwargs, preserve, context_fn, check):
    """Run the function; the nodes that it makes forget what they saved."""
    first_context, second_context = context_fn()
    if not here.stretch.mode.grad:
        with first_context:
            return function(*args, **kwargs)
    around, start = Circumstances(preserve), next(order)
    with first_context:
        output = function(*args, **kwargs)

    def again():
        begin = next(order)
        with enable_grad(), around.again(), second_context:
            return nodes_behind(function(*args, **kwargs), begin)

    nodes = nodes_behind(output, start)
    whole = Forgotten(again, [results_of(node) for node in nodes], check)
    for place, node in enumerate(nodes):
        node.saved = Share(whole, place)
    here.stretch.walk = False  # a backward that was walked before has not run anything again
    flush.flush_current()
    return output


def nodes_behind(output, start):
    """The nodes with saved tensors behind results, made since `start`, in order."""
    found, stack = {}, [x._edge for x in tensors_in(output)]
    while stack:
        target = stack.pop()
        node = target.node if isinstance(target, Edge) else target
        if isinstance(node, tuple):
            stack.extend(node)
        elif node is None or isinstance(node, Tensor) or id(node) in found or node.order < start:
            continue
        else:
            found[id(node)] = node
            stack.extend(node.next)
    return sorted((n for n in found.values() if n.saved), key=lambda node: node.order)


def results_of(node):
    """Sizes and types of a node's results."""
    return [(tuple(spec.size), spec.dtype) for spec in node.state.specs if spec is not None]


def tensors_in(x):
    """All tensors in nested containers."""
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, dict):
        for value in x.values():
            yield from tensors_in(value)
    elif isinstance(x, (tuple, list)):
        for value in x:
            yield from tensors_in(value)


# ------------------------------------------------------------------ with reentrance


def detach_variable(inputs):
    """The tensors without their history; what required a gradient still does."""
    if not isinstance(inputs, tuple):
        raise RuntimeError("Only tuple of tensors is supported. Got Unsupported input type: "
                           f"{type(inputs).__name__}")  # fmt: skip
    return tuple(x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x
                 for x in inputs)  # fmt: skip


def check_backward_validity(inputs):
    """Warn where no argument needs a gradient: then there will be none."""
    if not any(x.requires_grad for x in inputs if isinstance(x, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None",
                      stacklevel=2)  # fmt: skip


class CheckpointFunction(Function):
    """One node for the whole function; its backward runs the function and a backward of its own."""

    @staticmethod
    def forward(ctx, run_function, preserve_rng_state, *args):
        check_backward_validity(args)
        ctx.run_function, ctx.around = run_function, Circumstances(preserve_rng_state)
        ctx.places = [n for n, arg in enumerate(args) if isinstance(arg, Tensor)]
        ctx.inputs = [None if isinstance(arg, Tensor) else arg for arg in args]
        ctx.save_for_backward(*(args[n] for n in ctx.places))
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx, *grads):
        inputs = list(ctx.inputs)
        for place, tensor in zip(ctx.places, ctx.saved_tensors):
            inputs[place] = tensor
        inputs = detach_variable(tuple(inputs))
        with enable_grad(), ctx.around.again():
            outputs = ctx.run_function(*inputs)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        pairs = [(out, grad) for out, grad in zip(outputs, grads)
                 if isinstance(out, Tensor) and out.requires_grad]  # fmt: skip
        if not pairs:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        calls.backward(*map(list, zip(*pairs)))
        return None, None, *(x.grad if isinstance(x, Tensor) else None for x in inputs)


def backward_of_all(self, arrived, walk):
    """The inner backward sends gradients to all leaves, not only to those that are wanted."""
    if walk.wanted is not None:
        raise RuntimeError(NOT_FOR_GRAD)
    return FunctionCtx.apply_backward(self, arrived, walk)


CheckpointFunction._context.apply_backward = backward_of_all


# ------------------------------------------------------------------ settings


@contextlib.contextmanager
def set_checkpoint_early_stop(enable):
    """Accepted: what nobody reads is never computed here, whatever the setting."""
    yield


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled):
    """Accepted: errors name the nodes that differ in any case."""
    yield
