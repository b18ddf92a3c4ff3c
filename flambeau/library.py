"""torch.library: operators of a program's own, called as functions or as `torch.ops.space.name`.

An operator's kernel runs when it is called, on ordinary tensors and with gradients off; its
derivative is what is registered. What tells other systems about an operator (fake kernels, rules
for batches, other devices) is taken, and never needed here.
"""

from __future__ import annotations

from typing import Any

from flambeau import ops
from flambeau.autograd.function import Function
from flambeau.autograd.modes import is_grad_enabled, no_grad
from flambeau.schemas import Schema, infer_schema
from flambeau.tensor import Tensor
from flambeau.utils._pytree import tree_flatten

OPERATORS: dict[str, Operator] = {}  # "space::name" → operator
DIRECT = ("CompositeImplicitAutograd", "Autograd", "AutogradCPU")
KERNELS = ("", "CPU", "CompositeExplicitAutograd")
ELSEWHERE = ("Meta", "CUDA", "AutogradCUDA", "MPS", "XPU", "XLA")


class Operator:
    """What has a schema, a kernel and, perhaps, a derivative."""

    def __init__(self, schema: Schema, wraps: bool) -> None:
        self.schema, self.wraps = schema, wraps
        self.kernel: Any = None
        self.direct: Any = None  # runs instead of the kernel, with gradients on
        self.backward: Any = None
        self.setup: Any = None
        name = f"GeneratedBackwardFor_{schema.space}_{schema.name}_default"
        self.function: Any = type(name, (_Differentiated,), {})

    @property
    def label(self) -> str:
        return f"{self.schema.space}.{self.schema.name}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values, named = self.schema.bind(args, kwargs)
        if self.direct is not None:
            return self.direct(*values, **named)
        if self.kernel is None:
            raise NotImplementedError(f"Could not run '{self.schema.qualified}': no kernel is "
                                      "registered for the CPU; see torch.library.impl")  # fmt: skip
        if not self.wraps and self.backward is None:
            return self.kernel(*values, **named)
        leaves, spec = tree_flatten((values, named))
        if is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in leaves):
            call = _Call(self, spec)
            results = self.function.apply(*leaves, call)
            return call.outputs(results)
        with no_grad():
            return self.run(values, named)

    def run(self, values: Any, named: Any) -> Any:
        """Call the kernel, and see that nothing it gives is what it was given."""
        versions = self.versions(values, named)
        outputs = self.kernel(*map(bare, values), **{n: bare(x) for n, x in named.items()})
        for x, version in versions:
            if x._version == version:  # written to behind the back of every version
                x._counter().version += 1
        given = {id(x._storage) for x in tree_flatten((values, named))[0] if isinstance(x, Tensor)}
        for out in tree_flatten(outputs)[0]:
            if isinstance(out, Tensor) and id(out._storage) in given and self.wraps:
                raise RuntimeError(
                    f"{self.schema.name}: The output of this custom operator (1) must not also be "
                    "an input to this custom operator and (2) may not alias any inputs to this "
                    "custom operator or other returns. Please instead return a clone of the "
                    "offending output tensor(s) (e.g. return x.clone())"
                )
        return outputs

    def versions(self, values: Any, named: Any) -> list[tuple[Any, int]]:
        """The tensors that the kernel writes to, with their versions."""
        places = [p for p in self.schema.params if not p.keyword]
        pairs = [
            *zip(places, values),
            *[(p, named[p.name]) for p in self.schema.params if p.keyword],
        ]
        return [(x, x._version) for p, value in pairs if p.written
                for x in tree_flatten(value)[0] if isinstance(x, Tensor)]  # fmt: skip

    def __repr__(self) -> str:
        return f"<CustomOpDef({self.schema.qualified})>"


def bare(x: Any) -> Any:
    """An argument as kernels get it: tensors without history."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(bare, x))
    return x.detach() if isinstance(x, Tensor) and x.requires_grad else x


class _Call:
    """One differentiated call: the structure around its tensors."""

    def __init__(self, operator: Operator, spec: Any) -> None:
        self.operator, self.spec = operator, spec
        self.out_spec: Any = None

    def outputs(self, results: Any) -> Any:
        """What the kernel returned, with the tensors that have a history."""
        return self.out_spec.unflatten(results if isinstance(results, tuple) else (results,))


class _Differentiated(Function):
    """Any operator as a Function of its flat arguments, of which the last one is a _Call."""

    @staticmethod
    def forward(ctx: Any, *leaves: Any) -> Any:
        call = leaves[-1]
        values, named = call.spec.unflatten(leaves[:-1])
        outputs = call.operator.run(values, named)
        if call.operator.setup is not None:
            more = {"keyword_only_inputs": named} if named else {}
            call.operator.setup(ctx=ctx, inputs=tuple(values), output=outputs, **more)
        results, call.out_spec = tree_flatten(outputs)
        ctx._call = call
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        call = ctx._call
        if call.operator.backward is None:
            raise RuntimeError(
                f"Trying to backward through {call.operator.label}.default but no autograd formula "
                "was registered. Please use register_autograd to add one."
            )
        found = call.operator.backward(ctx, *as_outputs(call.out_spec, grads))
        found = found if isinstance(found, tuple) else (found,)
        places, named = call.spec.children()
        if len(found) != places.num_children:
            raise RuntimeError(
                f"{call.operator.label}: the backward must return one gradient for each of "
                f"{places.num_children} inputs, got {len(found)}"
            )
        flat: list[Any] = []
        for grad, place in zip(found, places.children()):
            flat += [None] * place.num_leaves if grad is None else of_place(grad, place)
        return (*flat, *[None] * named.num_leaves, None)


def of_place(grad: Any, place: Any) -> Any:
    """The gradients of one argument, a tensor or a list of them."""
    return place.flatten_up_to(grad if place.is_leaf() else place.type(grad))


def as_outputs(spec: Any, grads: Any) -> tuple[Any, ...]:
    """Gradients as the backward wants them: one for each output, a list for a list."""
    if spec.is_leaf():
        return tuple(grads)
    whole = spec.unflatten(grads)
    return whole if isinstance(whole, tuple) else (whole,)


class CustomOpDef:
    """An operator that `custom_op` has made: a function, and what is registered with it."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._qualname = operator.schema.qualified
        self._opoverload = Overload(operator)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._operator(*args, **kwargs)

    def register_autograd(self, backward: Any, /, *, setup_context: Any = None) -> None:
        """backward(ctx, *grads) gives one gradient an input; setup_context keeps what it needs."""
        self._operator.backward, self._operator.setup = backward, setup_context

    def register_fake(self, fn: Any, /) -> Any:
        """Shapes are seen when the kernel runs; the function comes back."""
        return fn

    def register_vmap(self, func: Any = None) -> Any:
        """vmap calls the operator example by example; the function comes back."""
        return (lambda f: f) if func is None else func

    def register_autocast(self, device_type: str, cast_inputs: Any) -> None:
        raise NotImplementedError("register_autocast is not supported: cast inside the kernel")

    def register_torch_dispatch(self, torch_dispatch_class: Any, fn: Any = None, /) -> Any:
        raise NotImplementedError("__torch_dispatch__ is not supported: use __torch_function__")

    def register_kernel(self, device_types: Any, fn: Any = None, /) -> Any:
        """The kernel for a device; those for others than the CPU are never called."""

        def register(function: Any) -> Any:
            kinds = [device_types] if isinstance(device_types, str) else device_types
            if kinds is None or "cpu" in kinds:
                self._operator.kernel = function
            return function

        return register if fn is None else register(fn)

    def __repr__(self) -> str:
        return repr(self._operator)


def custom_op(name: str, fn: Any = None, /, *, mutates_args: Any, device_types: Any = None,
              schema: str | None = None, tags: Any = None) -> Any:  # fmt: skip
    """Make an operator "space::name" of a function of tensors; a decorator without `fn`.

    The schema follows from the function's annotations where it is not given; ValueError says what
    it lacks. mutates_args: the names of the arguments that the function writes to, or "unknown".
    """

    def make(function: Any) -> CustomOpDef:
        text = infer_schema(function, mutates_args=mutates_args) if schema is None else schema
        space, _, plain = name.partition("::")
        operator = Operator(Schema(space, plain, text), wraps=True)
        if device_types is None or "cpu" in device_types:
            operator.kernel = function
        enter(operator, again=True)
        return CustomOpDef(operator)

    return make if fn is None else make(fn)


def enter(operator: Operator, again: bool = False) -> None:
    """Make an operator known, also as `torch.ops.space.name`."""
    schema = operator.schema
    if schema.qualified in OPERATORS and not again:
        raise RuntimeError(f"Tried to register an operator ({schema}) with the same name and "
                           "overload name multiple times.")  # fmt: skip
    OPERATORS[schema.qualified] = operator
    space = getattr(ops, schema.space, None)
    if space is None:
        space = Namespace(schema.space)
        setattr(ops, schema.space, space)
    elif not isinstance(space, Namespace):
        raise NotImplementedError(f"'{schema.space}' is a module of Flambeau's own torch.ops: "
                                  "choose another namespace")  # fmt: skip
    setattr(space, schema.name, Packet(operator))


class Namespace:
    """What `torch.ops.space` is."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'_OpNamespace' '{self.__name__}' object has no attribute '{name}'")

    def __repr__(self) -> str:
        return f"<module 'torch.ops.{self.__name__}' from 'torch.ops'>"


class Overload:
    """An operator under its full name, `space.name.default`."""

    def __init__(self, operator: Operator) -> None:
        self._operator, self._schema = operator, operator.schema

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._operator(*args, **kwargs)

    def name(self) -> str:
        return self._schema.qualified

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self._operator.label}', overload='default')>"

    def __str__(self) -> str:
        return f"{self._operator.label}.default"


class Packet(Overload):
    """An operator as `torch.ops` has it."""

    def __init__(self, operator: Operator) -> None:
        super().__init__(operator)
        self.default = Overload(operator)

    def overloads(self) -> list[str]:
        return ["default"]

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self._operator.label}')>"

    def __str__(self) -> str:
        return self._operator.label


# ------------------------------------------------------------------ one by one


class Library:
    """Operators of a namespace: defined (kind "DEF", "FRAGMENT") or given kernels ("IMPL")."""

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        if kind not in ("IMPL", "DEF", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Make an operator known by a schema like "name(Tensor x) -> Tensor"; returns its name."""
        name, _, rest = schema.partition("(")
        enter(Operator(Schema(self.ns, name.strip(), "(" + rest), wraps=False))
        return name.strip()

    def impl(self, op_name: Any, fn: Any, dispatch_key: str = "", **_: Any) -> None:
        """Give an operator its kernel, or with CompositeImplicitAutograd what it consists of."""
        key = dispatch_key or self.dispatch_key
        name = op_name.name() if isinstance(op_name, Overload) else str(op_name)
        operator = found(name if "::" in name else f"{self.ns}::{name}")
        if key in DIRECT:
            operator.direct = fn
        elif key in KERNELS:
            operator.kernel = fn
        elif key not in ELSEWHERE:
            raise NotImplementedError(f"dispatch key {key!r} is not supported: use 'CPU' or "
                                      "'CompositeImplicitAutograd'")  # fmt: skip


def found(name: Any) -> Operator:
    """An operator by "space::name", or by anything that stands for it."""
    if isinstance(name, (CustomOpDef, Overload)):
        return name._operator
    if name not in OPERATORS:
        raise RuntimeError(f"operator {name} does not exist")
    return OPERATORS[name]


def define(qualname: str, schema: str, *, lib: Any = None, tags: Any = ()) -> None:
    """Make "space::name" known by a schema like "(Tensor x) -> Tensor"; its kernels come later."""
    space, _, name = qualname.partition("::")
    if not name:
        raise ValueError(f"torch.library.define({qualname}, ...): expected qualname to be of the "
                         "form 'namespace::name'")  # fmt: skip
    enter(Operator(Schema(space, name, schema), wraps=False))


def impl(qualname: Any, types: Any, func: Any = None, *, lib: Any = None) -> Any:
    """Give an operator its kernel for devices ("cpu", "default"); a decorator without `func`."""
    kinds = {kind.lower() for kind in ((types,) if isinstance(types, str) else types)}

    def register(function: Any) -> Any:
        if kinds & {"cpu", "default", "compositeexplicitautograd"}:
            found(qualname).kernel = function
        elif "compositeimplicitautograd" in kinds:
            found(qualname).direct = function
        return function

    return register if func is None else register(func)


def register_kernel(op: Any, device_types: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """Give an operator its kernel for devices; None: for all."""
    return impl(op, "default" if device_types is None else device_types, func)


def register_autograd(op: Any, backward: Any, /, *, setup_context: Any = None,
                      lib: Any = None) -> None:  # fmt: skip
    """Give an operator its derivative."""
    operator = found(op)
    operator.backward, operator.setup = backward, setup_context


def register_fake(op: Any, func: Any = None, /, *, lib: Any = None, _stacklevel: int = 1,
                  allow_override: bool = False) -> Any:  # fmt: skip
    """Shapes are seen when the kernel runs; the function comes back."""
    found(op)
    return (lambda function: function) if func is None else func


impl_abstract = register_vmap = register_fake


def opcheck(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("opcheck is not supported: use torch.autograd.gradcheck")


def triton_op(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("Triton kernels need a GPU, and Flambeau has none: use custom_op")


wrap_triton = triton_op

__all__ = [
    "Library", "custom_op", "define", "impl", "impl_abstract", "infer_schema", "opcheck",
    "register_autograd", "register_fake", "register_kernel", "register_vmap", "triton_op",
    "wrap_triton",
]  # fmt: skip
