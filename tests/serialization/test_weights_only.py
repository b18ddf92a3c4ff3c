"""weights_only=True: nothing that a file says makes anything run, or take more than its share."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import struct
import subprocess
import time
import zipfile
from collections import OrderedDict
from typing import Any

import pytest

import flambeau as torch
from flambeau import serialization
from flambeau.serialization.weights import Machine


def run(data: bytes, storages: Any = None) -> Any:
    return Machine(data, 0, storages or (lambda name: name)).run()


def archive_of(data: bytes, **records: bytes) -> io.BytesIO:
    """A file whose pickle is `data`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("x/data.pkl", data)
        out.writestr("x/version", b"3\n")
        for name, text in records.items():
            out.writestr(f"x/data/{name}", text)
    file.seek(0)
    return file


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> Any:
        return self.function, self.args


MARKER = "flambeau_was_here"
ATTACKS = {
    "eval": Calls(eval, f"open('{MARKER}', 'w')"),
    "exec": Calls(exec, f"open('{MARKER}', 'w')"),
    "system": Calls(os.system, f"touch {MARKER}"),
    "popen": Calls(subprocess.Popen, ["touch", MARKER]),
    "open": Calls(open, MARKER, "w"),
    "getattr": Calls(getattr, "x", "upper"),
    "import": Calls(builtins.__import__, "os"),
    "load": Calls(torch.load, MARKER),
    "save": Calls(torch.save, 1, MARKER),
    "from_file": Calls(torch.from_numpy, 1),
    "loads": Calls(pickle.loads, b"."),
    "bytes": Calls(bytes, 10**9),
    "list": Calls(list, "ab"),
    "linear": Calls(torch.nn.Linear, 1, 1),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("attack", ATTACKS)
def test_calls_are_refused(attack: str, protocol: int, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps([ATTACKS[attack]], protocol)
    with pytest.raises(pickle.UnpicklingError, match="was not an allowed global|is blocked"):
        torch.load(archive_of(data))
    assert not os.listdir(tmp_path)


def test_a_blocked_module_stays_blocked() -> None:
    with serialization.safe_globals([os.system]):
        with pytest.raises(pickle.UnpicklingError, match="is blocked"):
            torch.load(archive_of(pickle.dumps(ATTACKS["system"])))


def call(name: str, *args: Any) -> bytes:
    """A pickle that calls an allowed name with these arguments."""
    module, _, function = name.rpartition(".")
    arguments = pickle.dumps(args, 2)[2:-1]
    return b"\x80\x02c" + f"{module}\n{function}\n".encode() + arguments + b"R."


REFUSED_ARGUMENTS = {
    "a huge bytearray": call("builtins.bytearray", 10**12),
    "a huge storage": call("torch.FloatStorage", 10**12),
    "huge bytes": call("torch.storage.UntypedStorage", 10**12),
    "a parameter of a size": call("torch.nn.parameter.Parameter", 10**12),
    "a tensor of a size": call("torch.Tensor", 10**6, 10**6),
    "a legacy tensor": call("torch.FloatTensor", 10**6, 10**6),
    "a slow codec": call("_codecs.encode", "x" * 100, "idna"),
    "a codec of bytes": call("_codecs.encode", "x", "rot13"),
    "a set of a dictionary": call("builtins.set", {1: 2}),
    "a number of a string": call("builtins.complex", "1"),
    "a counter of text": call("collections.Counter", "abc"),
    "pairs that are none": call("collections.OrderedDict", [1, 2]),
    "a layout": call("torch.serialization._get_layout", 3),
    "a device": call("torch.device", "nowhere"),
    "no tensor": call("torch._utils._rebuild_parameter", 1, True, None),
    "no storage": call("torch._utils._rebuild_tensor_v2", 1, 0, (1,), (1,), False, None),
}


@pytest.mark.parametrize("what", REFUSED_ARGUMENTS)
def test_arguments_are_checked(what: str) -> None:
    with pytest.raises((pickle.UnpicklingError, RuntimeError, NotImplementedError)):
        torch.load(archive_of(REFUSED_ARGUMENTS[what]))


def test_functions_cannot_be_passed_on() -> None:
    """_rebuild_from_type_v2 calls its argument; a class of storages may not be called."""
    data = (b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nFloatStorage\n"
            b"ctorch\nTensor\n" + pickle.dumps((10**12,), 2)[2:-1] + b"NtR.")  # fmt: skip
    with pytest.raises(pickle.UnpicklingError, match="unrecognized function"):
        torch.load(archive_of(data))


def test_attributes_are_set_on_few_things() -> None:
    for target in (b"ctorch\nSize\n", b"ctorch._utils\n_rebuild_tensor\n", b"ctorch\nfloat32\n",
                   b"cbuiltins\nset\n", b"]", b"}"):  # fmt: skip
        with pytest.raises(pickle.UnpicklingError, match="Can only build"):
            run(b"\x80\x02" + target + b"}X\x01\0\0\0aK\x01sb.")
    built = run(b"\x80\x02ccollections\nOrderedDict\n)R}X\x01\0\0\0aK\x01sb.")
    assert type(built) is OrderedDict and built.a == 1


def test_objects_of_classes_are_made_of_few() -> None:
    for name in (b"torch\nTensor", b"torch.nn.parameter\nParameter", b"torch\nFloatStorage"):
        with pytest.raises(pickle.UnpicklingError, match="create new object"):
            run(b"\x80\x02c" + name + b"\n)\x81.")


def test_deep_tuples_cannot_be_keys() -> None:
    """Hashing would overflow the stack of C (nested) or take for ever (shared)."""
    nested = b"\x80\x02})" + b"\x85" * 100_000 + b"Ns."
    shared = b"\x80\x02}N\x85q\0" + b"h\0\x86q\0".join([b""] * 60) + b"h\0Ns."
    for data in (nested, b"\x80\x02}" + b"N" + b"q\0h\0\x86" * 60 + b"Ns.", shared):
        with pytest.raises(pickle.UnpicklingError):
            run(data)


def test_deep_lists_are_taken_apart_again() -> None:
    deep = run(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")
    assert isinstance(deep, list)
    del deep


def test_copies_are_counted() -> None:
    """A file of a few kilobytes that asks for the same large set again and again."""
    items = b"".join(b"K" + bytes([i % 256]) for i in range(20_000))
    data = (b"\x80\x02](" + items + b"eq\0cbuiltins\nset\nq\x01"
            + b"h\x01h\0\x85R0" * 20_000 + b"h\0.")  # fmt: skip
    begin = time.perf_counter()
    with pytest.raises(pickle.UnpicklingError, match="far more objects"):
        run(data)
    assert time.perf_counter() - begin < 20


LENGTHS = [
    b"X\xff\xff\xff\xff", b"B\xff\xff\xff\xff", b"\x8e" + b"\xff" * 8,
    b"\x96" + b"\xff" * 8, b"\x8d" + b"\xff" * 8, b"\x8b\xff\xff\xff\x7f",
    b"\x8b\xff\xff\xff\xff", b"T\xff\xff\xff\x7f", b"U\xff", b"C\xff", b"\x8a\xff",
    b"J\0", b"G\0", b"c", b"cos\n", b"K", b"h", b"",
]  # fmt: skip


@pytest.mark.parametrize("data", LENGTHS)
def test_lengths_are_compared_with_what_is_there(data: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        run(b"\x80\x02" + data)


def storage(kind: str = "FloatStorage", key: Any = "0", place: Any = "cpu", size: Any = 2) -> bytes:
    parts = [pickle.dumps(x, 2)[2:-1] for x in (key, place, size)]
    return b"(X\x07\0\0\0storagectorch\n" + kind.encode() + b"\n" + b"".join(parts) + b"tQ"


@pytest.mark.parametrize("named", [
    storage(size=10**12), storage(size=-1), storage(size=3), storage(size=1), storage(size="2"),
    storage(key=[]), storage(key="../1"), storage(key="1"), storage(place=None), storage("Size"),
    storage("float32"), storage("Tensor"), storage("storage\nTypedStorage"), b"NQ", b")Q", b"]Q",
])  # fmt: skip
def test_names_of_storages_are_checked(named: bytes) -> None:
    with pytest.raises((pickle.UnpicklingError, RuntimeError)):
        torch.load(archive_of(b"\x80\x02" + named + b".", **{"0": bytes(8)}))


@pytest.mark.parametrize("view", [
    (0, (3,), (1,)), (1, (2,), (1,)), (-1, (1,), (1,)), (0, (2,), (2,)), (0, (2,), (-1,)),
    (0, (2**62, 4), (0, 0)), (0, (1,), (1, 1)), (2**70, (0,), (1,)), (0.0, (1,), (1,)),
    (0, "ab", "ab"), (0, (1,) * 65, (1,) * 65), (True, (1,), (1,)),
])  # fmt: skip
def test_views_lie_within_their_storage(view: Any) -> None:
    offset, size, stride = (pickle.dumps(x, 2)[2:-1] for x in view)
    data = (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage() + offset + size + stride
            + b"\x89NtR.")  # fmt: skip
    with pytest.raises((pickle.UnpicklingError, RuntimeError)):
        torch.load(archive_of(data, **{"0": bytes(8)}))


def test_a_bomb_is_no_larger_than_it_may_be() -> None:
    """An archive that claims sizes which its bytes cannot have."""
    file = archive_of(b"\x80\x02N.", **{"0": bytes(100)})
    data = bytearray(file.getvalue())
    for mark, at in ((b"PK\1\2", 20), (b"PK\3\4", 18)):
        place = data.rfind(mark)
        struct.pack_into("<2I", data, place + at, 2**31, 2**31)
    with pytest.raises(RuntimeError, match="PytorchStreamReader failed"):
        torch.load(io.BytesIO(bytes(data)))


class Slotted:
    __slots__ = ("a",)


class Stated:
    def __setstate__(self, state: Any) -> None:
        self.state = state


def test_classes_that_are_allowed() -> None:
    slotted, stated = Slotted(), Stated()
    slotted.a, stated.x = 1, 2
    file = io.BytesIO()
    torch.save([slotted, stated], file)
    file.seek(0)
    with serialization.safe_globals([Slotted, (Stated, f"{__name__}.Stated")]):
        a, b = torch.load(file)
        assert serialization.get_safe_globals() == [Slotted, Stated]
    assert a.a == 1 and b.state == {"x": 2} and serialization.get_safe_globals() == []
    serialization.add_safe_globals([Slotted])
    serialization.clear_safe_globals()
    assert serialization.get_safe_globals() == []


def test_an_error_of_an_allowed_class_is_its_own() -> None:
    with serialization.safe_globals([ATTACKS["list"].function, int]):
        with pytest.raises(ValueError, match="invalid literal"):
            run(call("builtins.int", "x"))


def test_names_that_would_be_refused(tmp_path: Any) -> None:
    torch.save([ATTACKS["eval"], torch.nn.Linear(1, 1), torch.ones(1)], tmp_path / "x.pt")
    found = serialization.get_unsafe_globals_in_checkpoint(tmp_path / "x.pt")
    assert found == ["eval", "torch.nn.modules.linear.Linear"]
