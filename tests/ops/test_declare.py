"""Signatures are read as Python reads them."""

import inspect

import pytest

from flambeau.ops.declare import parse

SIGNATURES = """f()
f(input)
f(input, other, *, alpha=1)
f(input, dim=(0, 1), keepdim=False, *, dtype=None)
f(tensors, size=(), value=-1.5, *, reduction='mean', other)
f(input, pair=((1, 2), (3,)), *, weight=None)""".split("\n")


@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_signature_is_read_as_python_reads_it(signature):
    scope = {}
    exec(f"def {signature}: pass", scope)
    name, params = parse(signature, (), ())
    theirs = inspect.signature(scope["f"]).parameters.values()
    assert name == "f" and [p.name for p in params] == [p.name for p in theirs]
    for ours, python in zip(params, theirs):
        assert ours.required is (python.default is python.empty)
        assert ours.keyword is (python.kind is python.KEYWORD_ONLY)
        assert ours.required or (type(ours.default), ours.default) == (
            type(python.default), python.default)  # fmt: skip


def test_what_a_parameter_holds_follows_from_its_name():
    _, params = parse("f(input, tensors, dim, scale, other=1)", ["scale"], ("other",))
    kinds = {p.name: p.kind for p in params}
    assert kinds == {"input": "tensor", "tensors": "tensors", "dim": "static", "scale": "number",
                     "other": "static"}  # fmt: skip


def test_what_is_no_parameter_is_refused():
    with pytest.raises(TypeError, match="'2x' is no parameter"):
        parse("f(input, 2x)", (), ())
