"""SummaryWriter: what it writes is what TensorBoard reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch


def test_without_the_package_it_says_what_is_missing(monkeypatch: Any) -> None:
    for name in ("flambeau.utils.tensorboard", "flambeau.utils.tensorboard.writer"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        import flambeau.utils.tensorboard  # noqa: F401


def written(folder: Path) -> Any:
    """Tag → the values of its events."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    found: dict[str, list[Any]] = {}
    for path in sorted(folder.rglob("events*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value))
    return found


def test_what_is_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from flambeau.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        for step in range(3):
            writer.add_scalar("loss", torch.tensor(step / 2), step)
        writer.add_scalars("both", {"a": 1, "b": np.float32(2)}, 5)
        writer.add_histogram("weights", torch.tensor([-1.0, 0.5, 0.5, 3.0]), 1)
        writer.add_image("picture", torch.rand(3, 4, 5), 1)
        writer.add_images("pictures", torch.zeros(10, 1, 2, 2), 1)
        writer.add_text("note", "**words**", 2)
        with pytest.raises(ValueError, match="should be 0D"):
            writer.add_scalar("loss", torch.ones(2), 1)
        with pytest.raises(NotImplementedError, match="add_scalar"):
            writer.add_graph(None)
        assert writer.get_logdir() == str(tmp_path)
    found = written(tmp_path)
    assert [(step, value.simple_value) for step, value in found["loss"]] == [
        (0, 0),
        (1, 0.5),
        (2, 1),
    ]
    assert sorted(value.simple_value for _, value in found["both"]) == [1, 2]
    histogram = found["weights"][0][1].histo
    assert (histogram.min, histogram.max, histogram.num, histogram.sum) == (-1, 3, 4, 3)
    assert sum(histogram.bucket) == 4 and len(histogram.bucket) == len(histogram.bucket_limit)
    image = found["picture"][0][1].image
    assert (image.height, image.width) == (4, 5)
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert found["pictures"][0][1].image.width == 16
    assert found["note/text_summary"][0][1].tensor.string_val[0] == b"**words**"
