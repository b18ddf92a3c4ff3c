"""docs/compatibility.md says what is not there: nothing else is missing, and all has a reason."""

import re
from pathlib import Path

import pytest

import flambeau
from docs import compatibility
from tests.names.used import used

TEXT = (Path(compatibility.__file__).with_name("compatibility.md")).read_text()


def test_nothing_is_missing_that_the_document_does_not_name():
    oracle = pytest.importorskip("torch")
    if oracle.__version__.split("+")[0] not in TEXT:
        pytest.skip("the document was made beside another version of PyTorch")
    found = compatibility.compare(flambeau, oracle)
    named = set(re.findall(r"`(torch\.[\w.]+)`", TEXT))
    missing = {name for _, names in found.values() for name in names}
    assert missing - named == set()


def test_what_is_not_there_has_a_reason():
    section = TEXT.partition("## Names that are not there")[2].partition(
        "## Names that programs use"
    )[0]
    names = re.findall(r"`(torch\.[\w.]+)`", section)
    yet = [name for name in names if compatibility.family(name) == compatibility.UNSORTED]
    assert len(names) > 100
    assert [name for name in yet if not compatibility.has(flambeau, name)] == []


def test_families():
    assert compatibility.family("torch.sparse_coo_tensor") == "sparse tensors"
    assert compatibility.family("torch.Tensor.q_scale") == "quantized tensors"
    assert compatibility.family("torch.cuda.nccl") == "other devices"
    assert compatibility.family("torch.add") == compatibility.UNSORTED


def test_public_names():
    names = compatibility.public_names(flambeau, "torch.nn.functional")
    assert "relu" in names and "warnings" not in names and "_with_inplace" not in names
    assert compatibility.has(flambeau, "torch.nn.utils.rnn.pad_sequence")
    assert not compatibility.has(flambeau, "torch.nn.nothing.of_that_name")
    assert not compatibility.has(flambeau, "torch.nn.Linear.nothing")


def test_the_list_of_used_names_is_whole():
    names = used()
    assert len(names) == 643 and names[0] == ("torch.nn.Module", 798)
    assert all(re.fullmatch(r"(torch|Tensor|Module|Optimizer)(\.\w+)+", name) for name, _ in names)
