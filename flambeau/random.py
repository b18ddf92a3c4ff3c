"""Random numbers: generators, seeds, rand and randn, and in-place draws such as normal_.

The same seed gives PyTorch's numbers. A generator's state is a tensor, so that draws are recorded
like any other call; reading it back (get_rng_state) runs what is pending.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flambeau.creation import (
    check_supported,
    empty,
    empty_like,
    finish,
    get_default_dtype,
    plain,
    sizes,
    type_for,
)
from flambeau.device import CPU, check_device
from flambeau.ir import dtype as dt
from flambeau.runtime import draws, generator
from flambeau.tensor import FUNCTIONS, Tensor, from_array


class Generator:
    """A stream of random numbers: MT19937, as PyTorch's on the CPU."""

    def __init__(self, device: Any = "cpu") -> None:
        check_device(device)
        self._state = from_array(generator.new_state(), dt.uint8)

    device = CPU

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream anew."""
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        self._state = from_array(generator.new_state(int(seed)), dt.uint8)
        return self

    def seed(self) -> int:
        """Start the stream anew from the system's randomness; returns the seed."""
        state = generator.new_state()
        seed = generator.reseed(state)
        self._state = from_array(state, dt.uint8)
        return seed

    def initial_seed(self) -> int:
        """The seed that the stream began with."""
        return int(generator.fields(self._state._memory())["seed"])

    def get_state(self) -> Any:
        """Where the stream is, as a tensor of bytes."""
        return from_array(generator.to_torch_bytes(self._state._memory()), dt.uint8)

    def set_state(self, new_state: Any) -> Generator:
        """Go on from where another stream was."""
        if not isinstance(new_state, Tensor):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
        if new_state._spec.dtype is not dt.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        self._state = from_array(generator.from_torch_bytes(new_state._memory()), dt.uint8)
        return self

    def get_offset(self) -> int:
        """Of generators on other devices."""
        raise RuntimeError("CPU Generator does not use offset")

    def set_offset(self, offset: int) -> Generator:
        """Of generators on other devices."""
        raise RuntimeError("CPU Generator does not use offset")

    def clone_state(self) -> Generator:
        """Another generator at the same place."""
        return Generator().set_state(self.get_state())

    def __reduce__(self) -> Any:
        return _restored, (self.get_state(),)


def _restored(state: Any) -> Generator:
    return Generator().set_state(state)


default_generator = Generator()


def state_of(given: Generator | None) -> Any:
    """The state that a draw reads and writes."""
    if given is None:
        return default_generator._state
    if not isinstance(given, Generator):
        raise TypeError(
            f"rand() and its kin: argument 'generator' must be torch.Generator, not "
            f"{type(given).__name__}"
        )
    return given._state


def manual_seed(seed: int) -> Generator:
    """Start the default stream anew."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    return default_generator.seed()


def initial_seed() -> int:
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    default_generator.set_state(new_state)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, device_type: str = "cpu") -> Iterator[None]:
    """The default stream goes on afterwards as if nothing inside had drawn from it."""
    before = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(before)


# ------------------------------------------------------------------ fresh tensors


def floating(dtype: Any, name: str) -> dt.DType:
    dtype = dtype or get_default_dtype()
    if dtype.kind != "f":
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtype.legacy}'")
    return check_supported(dtype)


def whole_type(dtype: Any, out: Any) -> dt.DType:
    """The type of whole numbers: int64 where nothing else is asked for."""
    return check_supported(dtype or (dt.int64 if out is None else out.dtype))


def of_pairs(parts: Any) -> Any:
    """Fresh pairs of real numbers as complex ones."""
    return parts.view_as_complex().detach()


def rand(
    *given: Any,
    size: Any = None,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """Uniform in [0, 1)."""
    check_device(device, layout)
    size = sizes(given if size is None else size)
    dtype = type_for(dtype, out)
    if dtype.kind == "c":
        made = of_pairs(rand(*size, 2, generator=generator, dtype=dtype.to_real()))
        return finish(made, requires_grad, out)
    dtype = floating(dtype, "check_uniform_bounds")
    made = FUNCTIONS["_uniform"](state_of(generator), size, dtype, 0.0, 1.0)
    return finish(made, requires_grad, out)


def randn(
    *given: Any,
    size: Any = None,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """Normal, mean 0 and deviation 1."""
    check_device(device, layout)
    size = sizes(given if size is None else size)
    dtype = type_for(dtype, out)
    if dtype.kind == "c":  # both parts together have a deviation of 1
        parts = empty((*size, 2), dtype=dtype.to_real())
        made = of_pairs(parts.normal_(0.0, math.sqrt(0.5), generator=generator))
        return finish(made, requires_grad, out)
    dtype = floating(dtype, "normal_kernel_cpu")
    made = FUNCTIONS["_normal"](state_of(generator), size, dtype, 0.0, 1.0, True)
    return finish(made, requires_grad, out)


def randint(
    low: Any = None,
    high: Any = None,
    size: Any = None,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """Whole numbers from low to before high: randint(high, size), randint(low, high, size)."""
    check_device(device, layout)
    if isinstance(high, (tuple, list)):
        low, high, size = 0, low, high
    elif low is None or high is None:
        low, high = 0, low if high is None else high
    low, high, dtype = int(plain(low)), int(plain(high)), whole_type(dtype, out)
    draws.clean_range(low, high, dtype)
    made = FUNCTIONS["_randint"](state_of(generator), sizes((tuple(size),)), dtype, low, high)
    return finish(made, requires_grad, out)


def randperm(
    n: int,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """The numbers below n in random order."""
    check_device(device, layout)
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    dtype = whole_type(dtype, out)
    made = FUNCTIONS["_randperm"](state_of(generator), (n,), dtype)
    return finish(made, requires_grad, out)


def like(make: Any, fill: str) -> Any:
    """rand_like and its kin: as `make`, with a tensor's size, dtype and order of dims."""

    def run(
        input: Any,
        *,
        dtype: Any = None,
        memory_format: Any = None,
        generator: Any = None,
        **options: Any,
    ) -> Any:
        out = empty_like(input, dtype=dtype, memory_format=memory_format, **options)
        grad, out = out.requires_grad, out.detach()
        return getattr(out, fill)(generator=generator).requires_grad_(grad)

    run.__name__ = run.__qualname__ = make.__name__ + "_like"
    run.__doc__ = f"As `{make.__name__}`, with a tensor's size and dtype."
    return run


rand_like, randn_like = like(rand, "uniform_"), like(randn, "normal_")


def randint_like(input: Any, low: Any, high: Any = None, **options: Any) -> Any:
    """Whole numbers, with a tensor's size and dtype."""
    low, high = (0, low) if high is None else (low, high)
    options["dtype"] = options.get("dtype") or input._spec.dtype
    options.pop("memory_format", None)
    return randint(low, high, input._spec.size, **options)


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Any:
    """Normal numbers; mean and deviation may be tensors."""
    check_device(device, layout)
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        dtype = floating(type_for(dtype, out), "normal")
        if out is not None and out.dtype is dtype:  # drawn in the order of its memory
            if out._spec.size != sizes((tuple(size),)):
                out._resize_for_out(sizes((tuple(size),)))
            return out.normal_(float(mean), float(std), generator=generator)
        made = FUNCTIONS["_normal"](
            state_of(generator), sizes((tuple(size),)), dtype, float(mean), float(std), True
        )
        return finish(made, requires_grad, out)
    from flambeau.arranging import broadcast_tensors

    check_deviation(std)
    both = [x for x in (mean, std) if isinstance(x, Tensor)]
    size, dtype = (
        broadcast_tensors(*both)[0]._spec.size,
        floating(both[0].dtype, "normal_kernel_cpu"),
    )
    base = FUNCTIONS["_normal"](state_of(generator), size, dtype, 0.0, 1.0, True)
    with_no_history = [x.detach() if isinstance(x, Tensor) else x for x in (mean, std)]
    made = (base * with_no_history[1] + with_no_history[0]).to(dtype)
    return drawn_by("_normal_drawn", made, both) if out is None else finish(made, False, out)


def check_deviation(std: Any) -> None:
    """Deviations are real and not negative; tensors of them are looked at."""
    if not isinstance(std, Tensor):
        if std < 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
        return
    if std.dtype.kind == "c":
        raise RuntimeError("normal expects standard deviation to be non-complex")
    if (std.detach()._numbers() < 0).any():
        raise RuntimeError("normal expects all elements of std >= 0.0")


def drawn_by(row: str, made: Any, parameters: list[Any]) -> Any:
    """A draw with the history of its parameters, where these have one."""
    if not any(x.requires_grad for x in parameters):
        return made
    return FUNCTIONS[row](made, *parameters)


def bernoulli(input: Any, p: Any = None, *, generator: Any = None, out: Any = None) -> Any:
    """1 with the probability that stands at each place (or p), else 0."""
    spec = input._spec
    if p is not None:
        made = FUNCTIONS["_bernoulli"](state_of(generator), spec.size, spec.dtype, float(p))
    else:
        floating(spec.dtype, "bernoulli_tensor_cpu_p_")
        made = FUNCTIONS["_bernoulli_tensor"](
            state_of(generator), input.detach(), spec.dtype, spec.dtype
        )
    if out is None:
        return drawn_by("_bernoulli_drawn", made, [input])
    return finish(made.to(out.dtype), out=out, name="bernoulli")


def multinomial(
    input: Any,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Any = None,
    out: Any = None,
) -> Any:
    """Indices drawn in proportion to weights."""
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if input.dtype.kind != "f":
        raise RuntimeError("multinomial only supports floating-point dtypes for input, got: "
                           f"{input.dtype.legacy}")  # fmt: skip
    if out is not None and out.dtype is not dt.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {out.dtype.legacy}")
    if input._spec.size[-1] > 1 << 24:
        raise RuntimeError("number of categories cannot exceed 2^24")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > input._spec.size[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    made = FUNCTIONS["_multinomial"](
        state_of(generator), input.detach(), num_samples, replacement, input._spec.dtype
    )
    made._memory()  # weights that nothing can be drawn by are refused here
    return finish(made, out=out)


def dropout_mask(size: Any, p: float, dtype: dt.DType, given: Any = None) -> Any:
    """What dropout multiplies by: 0 with probability p, else 1 / (1 - p)."""
    return FUNCTIONS["_dropout_mask"](state_of(given), tuple(size), dtype, float(p))


METHODS = ["bernoulli", "multinomial"]
PUBLIC = """Generator default_generator manual_seed seed initial_seed get_rng_state set_rng_state
    rand
    randn randint randperm rand_like randn_like randint_like normal bernoulli multinomial""".split()
