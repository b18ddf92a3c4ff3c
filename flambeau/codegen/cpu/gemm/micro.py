"""The innermost loop of matrix multiplication: a tile of C that stays in vector registers.

One function is emitted for each height. It adds A · B over `k` steps to a tile of `height` rows and
`vectors` vectors. B's rows are read as vectors (masked, so that no element beyond the matrix is
touched), A's elements are read one by one and broadcast. No packing is assumed: packed panels are
only another pair of strides.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """What the shape of a tile depends on: the bytes of a vector register, and how many there are."""

    vector_bytes: int
    registers: int
    masked_loads_are_free: bool = True  # as with AVX-512; otherwise full tiles get unmasked loads

    def width(self, itemsize: int) -> int:
        return self.vector_bytes // itemsize


@dataclass(frozen=True, slots=True)
class Micro:
    """A micro-kernel: everything that changes its code.

    `along_k`: a row of A is contiguous (each row has its own pointer); otherwise a column of A is,
    as in a transposed matrix and in a packed panel.
    """

    element: str  # 'float' or 'double'
    width: int
    height: int
    vectors: int
    along_k: bool
    masked: bool
    unroll: int = 2

    @property
    def itemsize(self) -> int:
        return 4 if self.element == "float" else 8

    @property
    def vector(self) -> str:
        return f"<{self.width} x {self.element}>"

    @property
    def mangled(self) -> str:
        return f"v{self.width}f{8 * self.itemsize}"

    @property
    def name(self) -> str:
        return f"micro{self.height}" + ("_edge" if self.masked else "")

    @property
    def cells(self) -> list[tuple[int, int]]:
        return [(i, j) for i in range(self.height) for j in range(self.vectors)]


def micro_text(micro: Micro) -> str:
    """`void @micro(ptr tile, ptr a, ptr b, i64 k, i64 sa, i64 sb, i64 columns, i1 fresh)`.

    The tile is a dense buffer of height × vectors vectors; a fresh one starts at zero. `sa` and `sb`
    are the strides, in bytes, that the kind of A needs (rows or steps) and from one row of B to
    the next.
    """
    lines = [
        f"define internal void @{micro.name}(ptr %tile, ptr %a, ptr %b, i64 %k, i64 %sa, i64 %sb,"
        " i64 %columns, i1 %fresh) noinline nounwind {",
        "entry:",
        *masks(micro),
        "  br i1 %fresh, label %begin, label %reload",
        "reload:",
        *reload(micro),
        "  br label %begin",
        "begin:",
    ]
    for i, j in micro.cells:
        lines.append(f"  %s{i}_{j} = phi {micro.vector} [zeroinitializer, %entry], [%o{i}_{j}, %reload]")
    lines += [
        f"  %main = udiv i64 %k, {micro.unroll}",
        f"  %rest = urem i64 %k, {micro.unroll}",
        "  %any = icmp ne i64 %main, 0",
        "  br i1 %any, label %loop, label %between",
        *loop(micro, "loop", "s", "begin", "%a", "%b", "%main", micro.unroll, "between"),
        "between:",
    ]
    lines += merge(micro, "t", "begin", "s", "loop", "loop_")
    lines += [
        "  %left = icmp ne i64 %rest, 0",
        "  br i1 %left, label %tail, label %end",
        *loop(micro, "tail", "t", "between", "%t_a", "%t_b", "%rest", 1, "end"),
        "end:",
    ]
    for i, j in micro.cells:
        lines.append(
            f"  %e{i}_{j} = phi {micro.vector} [%t{i}_{j}, %between], [%tail_{i}_{j}, %tail]"
        )
    for i, j in micro.cells:
        lines += cell_address(micro, f"%pe{i}_{j}", i, j)
        lines.append(f"  store {micro.vector} %e{i}_{j}, ptr %pe{i}_{j}, align {micro.width * micro.itemsize}")
    return "\n".join([*lines, "  ret void", "}", ""])


def cell_address(micro: Micro, name: str, i: int, j: int) -> list[str]:
    offset = (i * micro.vectors + j) * micro.width
    return [f"  {name} = getelementptr {micro.element}, ptr %tile, i64 {offset}"]


def masks(micro: Micro) -> list[str]:
    """One mask a vector: its lanes that lie left of `columns`."""
    if not micro.masked:
        return []
    lanes = f"<{micro.width} x i32>"
    lines = [
        "  %columns32 = trunc i64 %columns to i32",
        f"  %first = insertelement {lanes} poison, i32 %columns32, i32 0",
        f"  %limit = shufflevector {lanes} %first, {lanes} poison, {lanes} zeroinitializer",
    ]
    for j in range(micro.vectors):
        numbers = ", ".join(f"i32 {j * micro.width + lane}" for lane in range(micro.width))
        lines.append(f"  %mask{j} = icmp ult {lanes} <{numbers}>, %limit")
    return lines


def reload(micro: Micro) -> list[str]:
    lines = []
    for i, j in micro.cells:
        lines += cell_address(micro, f"%po{i}_{j}", i, j)
        lines.append(f"  %o{i}_{j} = load {micro.vector}, ptr %po{i}_{j}, align {micro.width * micro.itemsize}")
    return lines


def merge(micro: Micro, new: str, one: str, ones: str, two: str, twos: str) -> list[str]:
    lines = [
        f"  %{new}{i}_{j} = phi {micro.vector} [%{ones}{i}_{j}, %{one}], [%{twos}{i}_{j}, %{two}]"
        for i, j in micro.cells
    ]
    return [
        *lines,
        f"  %{new}_a = phi ptr [%a, %{one}], [%{twos}a, %{two}]",
        f"  %{new}_b = phi ptr [%b, %{one}], [%{twos}b, %{two}]",
    ]


def loop(
    micro: Micro, name: str, start: str, before: str, a: str, b: str, count: str, steps: int, after: str
) -> list[str]:
    """A loop that takes `steps` steps along k each time around."""
    v = micro.vector
    lines = [f"{name}:", f"  %{name}_n = phi i64 [0, %{before}], [%{name}_n1, %{name}]"]
    lines.append(f"  %{name}_pa = phi ptr [{a}, %{before}], [%{name}_a, %{name}]")
    lines.append(f"  %{name}_pb = phi ptr [{b}, %{before}], [%{name}_b, %{name}]")
    for i, j in micro.cells:
        lines.append(
            f"  %{name}_x{i}_{j} = phi {v} [%{start}{i}_{j}, %{before}], [%{name}_{i}_{j}, %{name}]"
        )
    here = {(i, j): f"%{name}_x{i}_{j}" for i, j in micro.cells}
    for step in range(steps):
        lines += one_step(micro, name, step, steps, here)
    bytes_ = steps * micro.itemsize
    if micro.along_k:
        lines.append(f"  %{name}_a = getelementptr i8, ptr %{name}_pa, i64 {bytes_}")
    else:
        lines.append(f"  %{name}_da = mul i64 %sa, {steps}")
        lines.append(f"  %{name}_a = getelementptr i8, ptr %{name}_pa, i64 %{name}_da")
    lines.append(f"  %{name}_db = mul i64 %sb, {steps}")
    lines.append(f"  %{name}_b = getelementptr i8, ptr %{name}_pb, i64 %{name}_db")
    lines += [
        f"  %{name}_n1 = add nuw nsw i64 %{name}_n, 1",
        f"  %{name}_more = icmp ult i64 %{name}_n1, {count}",
        f"  br i1 %{name}_more, label %{name}, label %{after}",
    ]
    return lines


def one_step(
    micro: Micro, name: str, step: int, steps: int, here: dict[tuple[int, int], str]
) -> list[str]:
    """Add one column of A times one row of B; `here` names the accumulators, and is brought on."""
    v, tag = micro.vector, f"{name}{step}"
    lines = [f"  %{tag}_sb = mul i64 %sb, {step}", f"  %{tag}_bp = getelementptr i8, ptr %{name}_pb, i64 %{tag}_sb"]
    for j in range(micro.vectors):
        lines.append(f"  %{tag}_bp{j} = getelementptr {micro.element}, ptr %{tag}_bp, i64 {j * micro.width}")
        if micro.masked:
            lines.append(
                f"  %{tag}_b{j} = call {v} @llvm.masked.load.{micro.mangled}.p0(ptr %{tag}_bp{j},"
                f" i32 {micro.itemsize}, <{micro.width} x i1> %mask{j}, {v} zeroinitializer)"
            )
        else:
            lines.append(f"  %{tag}_b{j} = load {v}, ptr %{tag}_bp{j}, align {micro.itemsize}")
    if not micro.along_k:
        lines.append(f"  %{tag}_sa = mul i64 %sa, {step}")
        lines.append(f"  %{tag}_ap = getelementptr i8, ptr %{name}_pa, i64 %{tag}_sa")
    for i in range(micro.height):
        if micro.along_k:
            lines.append(f"  %{tag}_r{i} = mul i64 %sa, {i}")
            lines.append(f"  %{tag}_rp{i} = getelementptr i8, ptr %{name}_pa, i64 %{tag}_r{i}")
            lines.append(f"  %{tag}_ap{i} = getelementptr {micro.element}, ptr %{tag}_rp{i}, i64 {step}")
        else:
            lines.append(f"  %{tag}_ap{i} = getelementptr {micro.element}, ptr %{tag}_ap, i64 {i}")
        lines += [
            f"  %{tag}_a{i} = load {micro.element}, ptr %{tag}_ap{i}, align {micro.itemsize}",
            f"  %{tag}_i{i} = insertelement {v} poison, {micro.element} %{tag}_a{i}, i32 0",
            f"  %{tag}_v{i} = shufflevector {v} %{tag}_i{i}, {v} poison, <{micro.width} x i32> zeroinitializer",
        ]
        for j in range(micro.vectors):
            new = f"%{name}_{i}_{j}" if step == steps - 1 else f"%{tag}_{i}_{j}"
            lines.append(
                f"  {new} = call {v} @llvm.fma.{micro.mangled}({v} %{tag}_v{i}, {v} %{tag}_b{j},"
                f" {v} {here[i, j]})"
            )
            here[i, j] = new
    return lines
