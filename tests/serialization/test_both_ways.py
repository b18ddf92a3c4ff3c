"""A file of PyTorch means the same in Flambeau, and a file of Flambeau the same in PyTorch."""

from __future__ import annotations

import collections
import copy
import io
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import flambeau

oracle = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

DTYPES = """bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 bfloat16 float32 float64
    complex32 complex64 complex128""".split()
FORMATS = [{}, {"_use_new_zipfile_serialization": False}]
CROSSINGS = [(flambeau, oracle), (oracle, flambeau), (flambeau, flambeau)]


def crossed(saver: Any, loader: Any, obj: Any, options: Any = None, **loading: Any) -> Any:
    """What one framework loads of what another has saved."""
    file = io.BytesIO()
    saver.save(obj, file, **(options or {}))
    file.seek(0)
    return loader.load(file, **loading)


def named(pair: Any) -> str:
    return " → ".join(framework.__name__ for framework in pair)


@pytest.fixture(params=CROSSINGS, ids=named)
def crossing(request: Any) -> Any:
    return request.param


@pytest.fixture(params=FORMATS, ids=["archive", "stream"])
def options(request: Any) -> Any:
    return request.param


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(crossing: Any, options: Any, dtype: str) -> None:
    saver, loader = crossing
    if options and loader is oracle and dtype in ("uint16", "uint32", "uint64", "complex32"):
        pytest.skip("PyTorch cannot read its own streams of these types either")
    x = saver.arange(-3, 9).to(saver.float32).to(getattr(saver, dtype)).view(3, 4)
    y = crossed(saver, loader, x, options)
    assert y.dtype is getattr(loader, dtype) and type(y) is loader.Tensor
    wide = "complex128" if "complex" in dtype else "float64"
    assert y.to(getattr(loader, wide)).tolist() == x.to(getattr(saver, wide)).tolist()


def test_views_share_memory_as_before(crossing: Any, options: Any) -> None:
    saver, loader = crossing
    x = saver.arange(12.0).view(3, 4)
    a, b, c, d = crossed(saver, loader, [x, x[1], x.t(), x.clone()], options)
    assert b.storage_offset() == 4 and c.stride() == (1, 4)
    b.fill_(9)
    assert a[1].tolist() == [9] * 4 and c[:, 1].tolist() == [9] * 4
    assert d[1].tolist() == [4, 5, 6, 7]


def test_layouts(crossing: Any, options: Any) -> None:
    saver, loader = crossing
    given = [
        saver.zeros(0, 3), saver.tensor(5), saver.arange(6.0)[::2], saver.ones(3).expand(2, 3),
        saver.arange(8)[7:8], saver.zeros(0),
    ]  # fmt: skip
    for x, y in zip(given, crossed(saver, loader, given, options)):
        assert (tuple(y.shape), y.stride()) == (tuple(x.shape), x.stride())
        assert y.storage_offset() == x.storage_offset() and y.tolist() == x.tolist()


def test_conjugates(crossing: Any) -> None:
    saver, loader = crossing
    x = saver.complex(saver.tensor([1.0, 2.0]), saver.tensor([3.0, 4.0]))
    y = crossed(saver, loader, x.conj())
    z = crossed(saver, loader, x.conj().imag)
    assert y.is_conj() and y.tolist() == [1 - 3j, 2 - 4j]
    assert z.is_neg() and z.tolist() == [-3, -4]


def test_parameters_and_flags(crossing: Any, options: Any) -> None:
    saver, loader = crossing
    p, q = saver.nn.Parameter(saver.ones(2)), saver.nn.Parameter(saver.ones(2), False)
    p.note = "kept"
    leaf = saver.ones(2, requires_grad=True)
    leaf.note = ("a", 1)
    given = [p, q, leaf, leaf * 2, saver.ones(1)]
    out = crossed(saver, loader, given, options)
    assert [type(x).__name__ for x in out] == ["Parameter", "Parameter"] + ["Tensor"] * 3
    assert [x.requires_grad for x in out] == [True, False, True, True, False]
    assert out[0].note == "kept" and out[2].note == ("a", 1)
    assert all(x.is_leaf for x in out)


def test_plain_objects(crossing: Any, options: Any) -> None:
    saver, loader = crossing
    given = {
        "numbers": [0, 1, -1, 255, 256, 65536, -(2**31), 2**40, 10**30, 1.5, float("inf"), 1j],
        "words": ["", "é\n\\", b"\0\xff", bytearray(b"ab"), True, None],
        "shapes": (saver.Size([2, 3]), saver.Size([])),
        3: {1, 2},
        (1, "two"): collections.OrderedDict(a=1),
        "counted": collections.Counter("aab"),
    }
    out = crossed(saver, loader, given, options)
    assert out == given and type(out["shapes"][0]) is loader.Size
    assert type(out[1, "two"]) is collections.OrderedDict


def test_types_and_places(crossing: Any) -> None:
    saver, loader = crossing
    given = [saver.float32, saver.bool, saver.bfloat16, saver.device("cpu"), saver.strided]
    dtypes = [loader.float32, loader.bool, loader.bfloat16]
    assert crossed(saver, loader, given) == [*dtypes, loader.device("cpu"), loader.strided]


def test_one_object_met_twice_stays_one(crossing: Any) -> None:
    saver, loader = crossing
    x = saver.ones(2)
    inner = [x]
    a, b, c = crossed(saver, loader, [inner, inner, x])
    assert a is b and a[0] is c


def network(torch: Any) -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))


def test_state_dicts(crossing: Any, options: Any) -> None:
    saver, loader = crossing
    ours, theirs = network(saver), network(loader)
    state = crossed(saver, loader, ours.state_dict(), options)
    assert type(state) is collections.OrderedDict and state._metadata["0"] == {"version": 1}
    with loader.no_grad():
        for p in theirs.parameters():
            p.zero_()
    assert str(theirs.load_state_dict(state)) == "<All keys matched successfully>"
    x = np.ones((1, 4), np.float32)
    a, b = ours(saver.from_numpy(x)), theirs(loader.from_numpy(x))
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)


def test_optimizer_states_go_on_where_they_were(crossing: Any) -> None:
    saver, loader = crossing
    losses = []
    model, optimizer = trained(saver, 3)
    state = crossed(saver, loader, {"m": model.state_dict(), "o": optimizer.state_dict()})
    assert {type(s) for s in state["o"]["state"].values()} == {dict}
    again, restored = trained(loader, 0)
    again.load_state_dict(state["m"])
    restored.load_state_dict(state["o"])
    for torch, m, o in ((saver, model, optimizer), (loader, again, restored)):
        step(torch, m, o)
        losses.append(step(torch, m, o))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def trained(torch: Any, steps: int) -> Any:
    model = network(torch)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(steps):
        step(torch, model, optimizer)
    return model, optimizer


def step(torch: Any, model: Any, optimizer: Any) -> float:
    loss = model(torch.ones(1, 4)).pow(2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def test_whole_modules(crossing: Any, options: Any) -> None:
    saver, loader = crossing
    torch = saver
    model = torch.nn.Sequential(
        collections.OrderedDict(
            first=torch.nn.Linear(4, 3), norm=torch.nn.LayerNorm(3), act=torch.nn.GELU(),
            drop=torch.nn.Dropout(0.5), table=torch.nn.ModuleList([torch.nn.Embedding(2, 2)]),
        )
    ).eval()  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = crossed(saver, loader, model, options, weights_only=False)
    assert repr(again) == repr(model) and type(again) is loader.nn.Sequential
    assert not again.training and again.first.weight.requires_grad
    assert again.first.weight.tolist() == model.first.weight.tolist()
    again.train()
    assert again.drop.training


def test_numpy_needs_to_be_allowed(crossing: Any) -> None:
    saver, loader = crossing
    given = [np.float32(2), np.arange(3)]
    with pytest.raises(pickle.UnpicklingError, match="multiarray.scalar"):
        crossed(saver, loader, given)
    names = [np._core.multiarray.scalar, np._core.multiarray._reconstruct, np.dtype, np.ndarray,
             np.dtypes.Float32DType, np.dtypes.Int64DType]  # fmt: skip
    with loader.serialization.safe_globals(names):
        a, b = crossed(saver, loader, given)
    assert a == 2 and type(a) is np.float32 and b.tolist() == [0, 1, 2]
    a, b = crossed(saver, loader, given, weights_only=False)
    assert b.dtype == np.int64


def test_storages(crossing: Any, options: Any) -> None:
    saver, loader = crossing
    if options:
        pytest.skip("PyTorch cannot read its own streams of bytes either")
    storage = saver.arange(3.0).untyped_storage()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TypedStorage is deprecated
        a, b = crossed(saver, loader, [storage, storage], options)
        assert a.tolist() == storage.tolist() and a.data_ptr() == b.data_ptr()


def test_pickles_of_pytorch_are_read() -> None:
    """Plain pickles, as data sets are published: names of PyTorch's, found as under `run`."""
    x = oracle.arange(6.0).view(2, 3).t()
    data = pickle.dumps([x, oracle.nn.Parameter(x.t().clone())])
    a, b = Renaming(io.BytesIO(data)).load()
    assert a.tolist() == x.tolist() and a.stride() == (1, 3)
    assert type(b) is flambeau.nn.Parameter and b.requires_grad


class Renaming(pickle.Unpickler):
    """Finds `torch.…` as `flambeau.…`, as `flambeau run` does."""

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module.replace("torch", "flambeau"), name)


class Point:
    def __init__(self, x: Any) -> None:
        self.x = x


def test_classes_of_the_user(crossing: Any) -> None:
    saver, loader = crossing
    with pytest.raises(pickle.UnpicklingError, match=r"GLOBAL .*Point was not an allowed global"):
        crossed(saver, loader, Point(1))
    with loader.serialization.safe_globals([Point]):
        assert loader.serialization.get_safe_globals() == [Point] or loader is oracle
        assert crossed(saver, loader, Point(saver.ones(2))).x.tolist() == [1, 1]
    with pytest.raises(pickle.UnpicklingError):
        crossed(saver, loader, Point(1))
    assert crossed(saver, loader, Point(2), weights_only=False).x == 2


def test_other_protocols() -> None:
    x = flambeau.arange(3.0)
    for protocol in (3, 4, 5):
        file = io.BytesIO()
        flambeau.save({"x": x, "b": b"bytes", "s": {1}}, file, pickle_protocol=protocol)
        file.seek(0)
        assert flambeau.load(file)["x"].tolist() == [0, 1, 2]
        file.seek(0)
        assert oracle.load(file, weights_only=False)["b"] == b"bytes"


def test_generators_keep_their_place() -> None:
    g = flambeau.Generator().manual_seed(3)
    flambeau.rand(5, generator=g)
    again = copy.deepcopy(g), pickle.loads(pickle.dumps(g))
    expected = flambeau.rand(3, generator=g).tolist()
    assert [flambeau.rand(3, generator=h).tolist() for h in again] == [expected] * 2
