"""The CPU's random stream: MT19937 in a plain block of memory, word for word PyTorch's.

A state is a uint8 array of STATE_BYTES, so that a draw is 'reads and writes this storage' for the
recorder. Functions here advance it in place. The distributions are in draws.py; the kernels of
codegen/cpu/random.py work on the same bytes and must leave the same state.

M. Matsumoto, T. Nishimura: Mersenne Twister, ACM TOMACS 8(1), 1998.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

State = np.ndarray  # of uint8

WORDS = 624
SHIFT = 397

# `left` is one more than the words not yet used, the next of which is words[next]. Both are kept,
# since a seeded state (left 1, next 0) and a used-up one (left 1, next 624) differ for get_state.
LAYOUT = np.dtype(
    {
        "names": ["words", "next", "left", "normal", "has_normal", "seed", "seeded",
                  "float_normal", "has_float_normal"],
        "formats": [(np.uint32, WORDS), np.int64, np.int64, np.float64, np.int64, np.uint64,
                    np.int64, np.float32, np.int32],
        "offsets": [0, 2496, 2504, 2512, 2520, 2528, 2536, 2544, 2548],
        "itemsize": 2560,
    }
)  # fmt: skip
STATE_BYTES = LAYOUT.itemsize
OFFSET = {name: LAYOUT.fields[name][1] for name in LAYOUT.names or ()} if LAYOUT.fields else {}

# What torch.get_rng_state() returns: the same facts, one word in 64 bits, and gaps.
TORCH_LAYOUT = np.dtype(
    {
        "names": ["seed", "left", "seeded", "next", "words", "normal", "has_normal",
                  "float_normal", "has_float_normal"],
        "formats": [np.uint64, np.int32, np.int32, np.uint64, (np.uint64, WORDS), np.float64,
                    np.int32, np.float32, np.uint8],
        "offsets": [0, 8, 12, 16, 24, 5024, 5040, 5048, 5052],
        "itemsize": 5056,
    }
)  # fmt: skip
TORCH_BYTES = TORCH_LAYOUT.itemsize

DEFAULT_SEED = 67280421310721  # what a new torch.Generator() starts with


def new_state(s: int = DEFAULT_SEED) -> State:
    """A fresh state, seeded."""
    state = np.zeros(STATE_BYTES, np.uint8)
    seed(state, s)
    return state


def fields(state: State) -> Any:
    """The state as a record whose fields can be read and assigned."""
    return state.view(LAYOUT)[0]


def clean_seed(s: int) -> int:
    """A seed as the unsigned 64-bit number that is kept; a negative one wraps round."""
    if not -(2**63) <= s < 2**64:
        raise ValueError("Overflow when unpacking long long")
    return s % 2**64


def seed(state: State, s: int) -> None:
    """Start the stream anew. Its words depend on the low 32 bits of the seed only."""
    f = fields(state)
    f["seed"] = clean_seed(s)
    f["words"] = _first_words(clean_seed(s) & 0xFFFFFFFF)
    f["next"], f["left"], f["seeded"] = 0, 1, 1
    forget_normals(state)


def reseed(state: State) -> int:
    """Seed from the operating system's randomness; returns the seed."""
    s = int.from_bytes(os.urandom(8), "little")
    seed(state, s)
    return s


def forget_normals(state: State) -> None:
    """Drop the normals that were kept for the next draw."""
    f = fields(state)
    f["normal"] = f["has_normal"] = f["float_normal"] = f["has_float_normal"] = 0


@functools.lru_cache(16)
def _first_words(s: int) -> np.ndarray:
    words = [s]
    for j in range(1, WORDS):
        words.append((1812433253 * (words[-1] ^ (words[-1] >> 30)) + j) & 0xFFFFFFFF)
    return np.array(words, np.uint32)


def to_torch_bytes(state: State) -> np.ndarray:
    """The bytes of torch.get_rng_state()."""
    f, record = fields(state), np.zeros(1, TORCH_LAYOUT)
    for name in TORCH_LAYOUT.names or ():
        record[0][name] = f[name]
    return record.view(np.uint8)


def from_torch_bytes(data: np.ndarray) -> State:
    """A state from the bytes of torch.get_rng_state()."""
    if data.size != TORCH_BYTES:
        raise RuntimeError(
            f"Expected a CPUGeneratorImplState of size {TORCH_BYTES} but found the input RNG "
            f"state size to be {data.size}"
        )
    record = np.frombuffer(data.tobytes(), TORCH_LAYOUT)[0]
    left, start = int(record["left"]), int(record["next"])
    if not record["seeded"] or not 0 < left <= WORDS + 1 - start:
        raise RuntimeError("Invalid mt19937 state")
    state = np.zeros(STATE_BYTES, np.uint8)
    f = fields(state)
    for name in TORCH_LAYOUT.names or ():
        f[name] = record[name]
    return state


def raw32(state: State, n: int) -> np.ndarray:
    """The next n words of the stream."""
    f = fields(state)
    start, here = int(f["next"]), min(n, int(f["left"]) - 1)
    parts = [_temper(f["words"][start : start + here])]
    f["next"], f["left"] = start + here, f["left"] - here
    if n > here:
        parts.append(_draw_blocks(f, n - here))
    return np.concatenate(parts)


def raw64(state: State, n: int) -> np.ndarray:
    """The next n pairs of words, the first of each pair in the high half."""
    pairs = raw32(state, 2 * n).astype(np.uint64).reshape(n, 2)
    return (pairs[:, 0] << np.uint64(32)) | pairs[:, 1]


def _temper(words: np.ndarray) -> np.ndarray:
    y = words ^ (words >> np.uint32(11))
    y = y ^ ((y << np.uint32(7)) & np.uint32(0x9D2C5680))
    y = y ^ ((y << np.uint32(15)) & np.uint32(0xEFC60000))
    return y ^ (y >> np.uint32(18))


def _draw_blocks(f: Any, n: int) -> np.ndarray:
    """The n words after this block, by NumPy's own MT19937, which walks the same stream."""
    engine = np.random.MT19937(0)
    engine.state = {"bit_generator": "MT19937", "state": {"key": f["words"], "pos": WORDS}}
    words = engine.random_raw(n).astype(np.uint32)
    after = engine.state["state"]
    f["words"], f["next"], f["left"] = after["key"], after["pos"], WORDS + 1 - after["pos"]
    return words
