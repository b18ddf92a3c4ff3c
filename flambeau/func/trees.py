"""Arguments of transforms: which of them, as trees of tensors, and what they must be."""

from flambeau.tensor import Tensor
from flambeau.utils._pytree import tree_flatten


def stand_ins(level, tree):
    """A tree with stand-ins for its tensors, and the stand-ins alone.

    Raises ValueError for what is no tensor.
    """
    leaves, spec = tree_flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(leaf)}")
    found = [level.stand_in(leaf) for leaf in leaves]
    return spec.unflatten(found), found


def chosen(level, args, argnums):
    """Arguments with stand-ins for those of `argnums`; the stand-ins; the tree of `argnums`."""
    one = isinstance(argnums, int)
    if not one and not isinstance(argnums, tuple):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    numbers = tuple(checked(n, len(args)) for n in ((argnums,) if one else argnums))
    if not numbers:
        raise RuntimeError("argnums must be non-empty")
    if len(set(numbers)) != len(numbers):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    args, inputs, specs = list(args), [], []
    for number in numbers:
        args[number], found = stand_ins(level, args[number])
        inputs += found
    picked = tuple(args[n] for n in numbers)
    specs = tree_flatten(picked[0] if one else picked)[1]
    return args, inputs, specs


def checked(number, count):
    """An argument's number, counted from the start."""
    if not -count <= number < count:
        raise RuntimeError(f"Got argnum={number}, but only {count} positional inputs")
    return number % count


def tensors_of(tree, says):
    """The leaves of what a function returned, which must be tensors, and the structure."""
    leaves, spec = tree_flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise RuntimeError(f"{says}: expected f(*primals) to return only tensors, got "
                               f"unsupported type {type(leaf)}")  # fmt: skip
    return leaves, spec


def with_aux(result, has_aux, says):
    """(output, aux) of what a function returned."""
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(f"{says}: output of function f should be a tuple: (output, aux) if "
                           "has_aux is True")  # fmt: skip
    return result


def check_chunks(chunk_size, name):
    """Chunks bound the memory of a batch; here the maps go one by one, so any size will do."""
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"{name}: `chunk_size` should be greater than 0.")


def check_randomness(randomness):
    """Raises RuntimeError where the word is none of the three."""
    if randomness not in ("error", "different", "same"):
        raise RuntimeError("Only allowed values for randomness are 'error', 'different', or "
                           f"'same'. Got {randomness}")  # fmt: skip
