"""Running sums and products: a call becomes one launch of the kernel in codegen/cpu/scan.py."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

from flambeau.codegen.cpu.scan import Scan, scan_of, scan_text, walk_of
from flambeau.codegen.cpu.target import cpu
from flambeau.ir.layout import Ints
from flambeau.ir.program import Call, Ref
from flambeau.ir.record import record
from flambeau.runtime.threads import Launch

STEPS = {"cumsum": "sum", "cumprod": "prod", "reverse_cumsum": "sum"}


@record
class Scanned:
    """The launch of one scan."""

    call: Call
    scratch: int = 0

    def launches(self, emitter: Any, number: int) -> list[Launch]:
        call = self.call
        ref, dim = call.args[:2]
        (out,) = call.outs
        assert isinstance(ref, Ref) and isinstance(dim, int)
        offsets, strides = self.order(ref, dim)
        walk = walk_of(out.size, *strides, dim)
        spec = scan_of(STEPS[call.op.name], ref.dtype, out.dtype, walk)
        kernel = cpu().load_text(kernel_text(spec), spec.name)
        homes = emitter.fused.homes
        words = []
        for operand, more in zip(call.tensors(), offsets):
            item = operand.dtype.itemsize
            slot, start = emitter.address(homes[operand.value], operand.layout.offset, item)
            words.append((slot, start + more * item))
        return [Launch(kernel.address, (*words, *((0, w) for w in walk.words())), walk.tasks())]

    def order(self, ref: Ref, dim: int) -> tuple[Ints, tuple[Ints, Ints]]:
        """Where the walk begins in input and output, and its strides: backwards for some."""
        layouts = ref.layout, self.call.outs[0].layout
        if not self.call.op.name.startswith("reverse"):
            return (0, 0), (layouts[0].stride, layouts[1].stride)
        starts = tuple((x.size[dim] - 1) * x.stride[dim] for x in layouts)
        turned = [tuple(-s if d == dim else s for d, s in enumerate(x.stride)) for x in layouts]
        return starts, (turned[0], turned[1])


@lru_cache(maxsize=256)
def kernel_text(spec: Scan) -> str:
    return scan_text(spec, cpu().builder())


def scanned(call: Call, emitter: Any) -> Scanned | None:
    """The launch of a scan; None where there is no dim to walk along, or nothing to do."""
    ref, (out,) = call.args[0], call.outs
    assert isinstance(ref, Ref)
    if not ref.size or not prod(ref.size):
        return None
    homes = emitter.fused.homes
    if out.over is not None and homes[out.over] == homes[ref.value] and ref.layout != out.layout:
        return None
    return Scanned(call)


KERNELS = dict.fromkeys(STEPS, scanned)
