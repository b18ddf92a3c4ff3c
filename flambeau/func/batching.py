"""vmap: a function of one example as a function of a batch.

The function runs once for each place along the mapped dims, and the results are stacked. All runs
are recorded, and compiled together like any other code; nested transforms see ordinary tensors. So
more works than in PyTorch: `item()`, `if` on a value, and writes to tensors from outside.
"""

import functools

from flambeau.autograd.modes import no_grad
from flambeau.func.trees import check_randomness
from flambeau.random import default_generator
from flambeau.tensor import Tensor
from flambeau.utils._pytree import broadcast_to_and_flatten, tree_flatten


def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """A function that maps `func` over a dim of its arguments.

    in_dims: which dim, for all arguments or (as a tree) for each; None: not mapped. out_dims: where
    the mapped dim is in the results. randomness: whether draws inside are an 'error', the 'same'
    for each example, or 'different'. chunk_size is checked; examples go one by one anyway.
    """
    check_randomness(randomness)
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        name = getattr(func, "__name__", repr(func))
        leaves, dims, spec = mapped(args, in_dims, name)
        size = common_size(leaves, dims)
        runs = [examples(leaves, dims, place, spec) for place in range(size)]
        if not size:
            return no_examples(func, leaves, dims, spec, kwargs, out_dims, name)
        with Draws(randomness) as draws:
            results = []
            for run in runs:
                draws.begin()
                results.append(func(*run, **kwargs))
                draws.check()
        return gathered(results, out_dims, name)

    return wrapped


def mapped(args, in_dims, name):
    """The leaves of the arguments, the mapped dim of each, and their structure."""
    says = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): "
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(f"{says}expected `in_dims` to be int or a (potentially nested) tuple "
                         f"matching the structure of inputs, got: {type(in_dims)}.")  # fmt: skip
    if not args:
        raise ValueError(f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, "
                         "or you are trying to vmap over a function with no inputs. The latter is "
                         "unsupported.")  # fmt: skip
    leaves, spec = tree_flatten(args)
    dims = broadcast_to_and_flatten(in_dims, spec)
    if dims is None:
        raise ValueError(f"{says}in_dims is not compatible with the structure of `inputs`. in_dims "
                         f"has structure {tree_flatten(in_dims)[1]} but inputs has structure "
                         f"{spec}.")  # fmt: skip
    return leaves, [checked(says, x, dim) for x, dim in zip(leaves, dims)], spec


def checked(says, x, dim):
    """The mapped dim of one argument, from 0 on; None where it is not mapped."""
    if dim is None:
        return None
    if not isinstance(dim, int):
        raise ValueError(f"{says}Got in_dim={dim} for an input but in_dim must be either an "
                         "integer dimension or None.")  # fmt: skip
    if not isinstance(x, Tensor):
        raise ValueError(f"{says}Got in_dim={dim} for an input but the input is of type {type(x)}. "
                         "We cannot vmap over non-Tensor arguments, please use None as the "
                         "respective in_dim")  # fmt: skip
    if not -x.dim() <= dim < x.dim():
        raise ValueError(f"{says}Got in_dim={dim} for some input, but that input is a Tensor of "
                         f"dimensionality {x.dim()} so expected in_dim to satisfy -{x.dim()} <= "
                         f"in_dim < {x.dim()}.")  # fmt: skip
    return dim % x.dim()


def common_size(leaves, dims):
    """How many examples there are."""
    sizes = [x.shape[dim] for x, dim in zip(leaves, dims) if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if len(set(sizes)) > 1:
        raise ValueError("vmap: Expected all tensors to have the same size in the mapped "
                         f"dimension, got sizes {sizes} for the mapped dimension")  # fmt: skip
    return sizes[0]


def examples(leaves, dims, place, spec):
    """The arguments of one run."""
    return spec.unflatten([x if dim is None else x.select(dim, place)
                           for x, dim in zip(leaves, dims)])  # fmt: skip


def no_examples(func, leaves, dims, spec, kwargs, out_dims, name):
    """The empty results of an empty batch: as large as those of zeros."""
    single = [x if dim is None else x.new_zeros([n for d, n in enumerate(x.shape) if d != dim])
              for x, dim in zip(leaves, dims)]  # fmt: skip
    with no_grad(), Draws("same"):
        result = func(*spec.unflatten(single), **kwargs)
    return gathered([result], out_dims, name, count=0)


def gathered(results, out_dims, name, count=1):
    """The results of all runs, stacked leaf by leaf."""
    flat = [tree_flatten(result) for result in results]
    spec = flat[0][1]
    if any(shape != spec for _, shape in flat):
        raise ValueError(f"vmap({name}, ...): `{name}` must return the same structure for every "
                         "example")  # fmt: skip
    dims = broadcast_to_and_flatten(out_dims, spec)
    if dims is None:
        raise ValueError(f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not "
                         "compatible with the structure of `outputs`. out_dims has structure "
                         f"{tree_flatten(out_dims)[1]} but outputs has structure "
                         f"{spec}.")  # fmt: skip
    columns = zip(*[leaves for leaves, _ in flat])
    return spec.unflatten([joined(c, dim, name, count) for c, dim in zip(columns, dims)])


def joined(column, dim, name, count):
    """One result of all runs in one tensor."""
    from flambeau import stack

    says = f"vmap({name}, ...): `{name}` "
    if dim is None:
        if all(unmapped(x, column[0]) for x in column):
            return column[0]
        raise ValueError(f"{says}can not return a BatchedTensor when out_dim is None")
    for x in column:
        if not isinstance(x, Tensor):
            raise ValueError(f"{says}must only return Tensors, got type {type(x)}. Did you mean to "
                             "set out_dims= to None for output?")  # fmt: skip
    joint = stack(column, dim)
    return joint if count else joint.narrow(dim, 0, 0)


def unmapped(x, first):
    """Whether a result is the same for one example as for the first."""
    if x is first or not isinstance(x, Tensor):
        return x is first or x == first
    return isinstance(first, Tensor) and x.shape == first.shape and x.equal(first)


class Draws:
    """What happens to the default stream of random numbers while a function is mapped."""

    def __init__(self, randomness):
        self.randomness = randomness

    def __enter__(self):
        self.state = default_generator._state
        self.version = self.state._version
        self.start = self.state.clone() if self.randomness == "same" else None
        return self

    def begin(self):
        """Before each example."""
        if self.start is not None:
            default_generator._state = self.start.clone()

    def check(self):
        """After each example: raises RuntimeError where a draw is an error and was made."""
        now = default_generator._state
        drawn = now is not self.state or now._version != self.version
        if self.randomness == "error" and drawn:
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use "
                "the 'same' or 'different' randomness flags on vmap or perform the randomness "
                "operation out of vmap"
            )

    def __exit__(self, *_):
        pass
