"""Broken files give ordinary errors: nothing crashes, hangs, is run, or takes much memory."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_twelve_thousand_broken_files() -> None:
    """In a process of its own, which may use no more memory than it has and a little."""
    program = Path(__file__).with_name("mutations.py")
    done = subprocess.run(
        [sys.executable, str(program), "12000", "0"], cwd=ROOT, capture_output=True, text=True,
        timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "RuntimeError" in done.stdout and "value" in done.stdout


def saved(obj: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(obj, file, **options)
    return file.getvalue()


@pytest.mark.parametrize("stream", [False, True])
def test_every_length(stream: bool) -> None:
    """A file that was cut off anywhere."""
    whole = saved([torch.arange(3.0), {"a": 1}], _use_new_zipfile_serialization=not stream)
    for length in range(len(whole)):
        with pytest.raises((RuntimeError, EOFError, pickle.UnpicklingError)):
            torch.load(io.BytesIO(whole[:length]))
        with pytest.raises((RuntimeError, EOFError, pickle.UnpicklingError)):
            torch.load(io.BytesIO(whole[:length]), weights_only=False)


def test_every_bit_of_an_archive() -> None:
    """What is read again is what was saved: the checksums see everything else."""
    whole = saved([torch.arange(3.0)])
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        try:
            (x,) = torch.load(io.BytesIO(bytes(data)))
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            continue
        assert x.tolist() == [0, 1, 2] and x.dtype is torch.float32


def test_a_cut_file_says_so() -> None:
    whole = saved(torch.ones(100))
    with pytest.raises(RuntimeError, match="PytorchStreamReader failed .*central directory"):
        torch.load(io.BytesIO(whole[:-30]))
    with pytest.raises(RuntimeError, match="unexpected EOF"):
        stream = saved(torch.ones(100), _use_new_zipfile_serialization=False)
        torch.load(io.BytesIO(stream[:-30]))
    with pytest.raises(RuntimeError, match="checksum"):
        torch.load(io.BytesIO(whole.replace(b"\x80?\0\0", b"\x80?\0\1", 1)))
