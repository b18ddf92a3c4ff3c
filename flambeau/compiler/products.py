"""Products: a matmul cluster becomes launches of the generated matrix multiplication.

    %2 = mm(%0, %1)                      gemm  a = %0, b = %1
    %4 = add(%2, %3)                →          store relu(product + load0)
    %5 = relu(%4)

What follows the product element by element is its epilogue. Transposed operands are strides.
"""

from __future__ import annotations

from typing import Any

from flambeau.codegen.cpu.gemm.plan import plan
from flambeau.codegen.cpu.gemm.spec import Matmul, Plan, Shape, machine_of, product
from flambeau.codegen.cpu.target import cpu
from flambeau.codegen.scalar import k
from flambeau.compiler.clusters import Cluster, Fused, Member
from flambeau.compiler.scheduled import Operand, Scalar, as_access
from flambeau.compiler.trees import Writer
from flambeau.ir.dims import Later, later
from flambeau.ir.kernel import Store
from flambeau.ir.program import Ref
from flambeau.ir.record import record
from flambeau.ir.tree import Tree
from flambeau.runtime.threads import Launch


class EpilogueWriter(Writer):
    """Makes the trees of what follows a product; the product itself is a leaf."""

    def make(self, member: Member, stage: int) -> Tree:
        if member.level != "core":
            return super().make(member, stage)
        return k.cast(product(self.element), member.call.outs[0].dtype)

    element: Any


def epilogue_of(writer: EpilogueWriter) -> tuple[Store, ...]:
    """What is stored of the product, and of what is made from it."""
    stores, fused = [], writer.fused
    for member in writer.cluster.members:
        writer.stage_of[member.call.outs[0].value] = 0
        (out, strides), *_ = member.outs
        if out.value in writer.stored:
            tree = writer.value(member, out.value, 0)
            access = writer.access(fused.homes[out.value], out.layout.offset, out.dtype, strides)
            stores.append(Store(access, tree))
    return tuple(stores)


@record
class Planned:
    """The launches of one product, with what their named words stand for."""

    plan: Plan
    a: Ref
    b: Ref
    operands: tuple[Operand, ...]
    scalars: tuple[Scalar, ...]

    @property
    def scratch(self) -> int:
        return later(scratch_of, self.plan)

    def launches(self, emitter: Any, number: int) -> list[Launch]:
        """Ready for the tape."""
        return later(launches_of, self.plan, self.words(emitter, number))

    def words(self, emitter: Any, number: int) -> dict[str, tuple[int, int]]:
        """What the plan may name, as words of the frame."""
        found = {"": (0, 0)}
        for name, ref in (("a", self.a), ("b", self.b)):
            home = emitter.fused.homes[ref.value]
            found[name] = emitter.address(home, ref.layout.offset, ref.dtype.itemsize)
        for n, operand in enumerate(self.operands):
            where = operand.home, operand.offset, operand.dtype.itemsize
            found[f"access{n}"] = emitter.address(*where)
        for n, scalar in enumerate(self.scalars):
            found[f"scalar{n}"] = emitter.number(scalar)
        found["scratch"] = emitter.slots["arena"], emitter.starts.get((number, "packed"), 0)
        return found


def scratch_of(plan: Plan) -> int:
    return plan.scratch


def launches_of(plan: Plan, words: dict[str, tuple[int, int]]) -> list[Launch]:
    """The launches of a plan with its names replaced by words."""
    found = []
    for launch in plan.launches:
        kernel = cpu().load_text(launch.text, launch.name)
        filled = tuple((words[name][0], words[name][1] + more) for name, more in launch.words)
        found.append(Launch(kernel.address, filled, launch.tasks))
    return found


def matmul_plan(cluster: Cluster, fused: Fused, stored: set[int]) -> Planned:
    """The launches of a product with everything that follows it."""
    core = cluster.members[0]
    (a, _), (b, _) = core.reads
    writer = EpilogueWriter(cluster, fused, stored)
    writer.loops = [(d,) for d in range(len(cluster.domain))]
    batch = cluster.domain[:-2]
    (m, n), depth = cluster.domain[-2:], a.size[-1]
    draft = Matmul(a.dtype, b.dtype, len(batch), (), (), ())
    writer.element = draft.element
    stores = epilogue_of(writer)
    matmul = Matmul(a.dtype, b.dtype, len(batch), tuple(map(as_access, writer.operands)),
                    tuple(s.dtype for s in writer.scalars), stores,
                    varied=isinstance(m, Later))  # fmt: skip
    shape = Shape(tuple(batch), m, n, depth, a.layout.stride, b.layout.stride,
                  tuple(o.strides for o in writer.operands))  # fmt: skip
    made = later(plan, matmul, shape, machine_of(cpu()))
    return Planned(made, a, b, tuple(writer.operands), tuple(writer.scalars))
