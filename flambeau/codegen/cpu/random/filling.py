"""The loops of a kernel that makes each element from its own words, and what its bodies share.

Words are drawn a chunk at a time into a buffer on the stack and turned into elements by vectors,
16 or 8 wide on every machine; the last, broken vector goes through a spare one.
"""

from __future__ import annotations

import struct

from flambeau.ir.record import frozen

from ....ir.dtype import DType, bfloat16, float16, float32, float64

CHUNK = 1024  # elements; of two words each at most


@frozen
class Filler:
    """How a vector of words becomes a vector of elements.

    `body` reads `%from` and the names that `head` made once, and makes `%value`.
    """

    width: int
    words: int  # for each element
    head: str
    body: str
    chunk: str = ""  # done for every chunk, after its words are drawn: %first, %count


def llvm(dtype: DType) -> str:
    """The type of an element in memory."""
    names = {float16: "half", float32: "float", float64: "double"}
    return names.get(dtype, f"i{8 * dtype.itemsize}")


def single(value: float) -> str:
    """A float32 constant, written as LLVM wants it."""
    rounded = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"


def double(value: float) -> str:
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


HEAD = """
entry:
  %state.word = call i64 @whole(ptr %args, i64 0)
  %out.word = call i64 @whole(ptr %args, i64 1)
  %n = call i64 @whole(ptr %args, i64 2)
  %state = inttoptr i64 %state.word to ptr
  %out = inttoptr i64 %out.word to ptr"""


def filler_text(name: str, dtype: DType, f: Filler) -> str:
    """The loops of a kernel that makes each element from its own words."""
    element = llvm(dtype)
    return f"""
define void @{name}(ptr %args, i64 %begin, i64 %end, i64 %thread) nounwind {{{HEAD}
  %buffer = alloca [{4 * f.words * CHUNK + 64} x i8], align 64
  %spare = alloca <{f.width} x {element}>, align 64{f.head}
  br label %ready
ready:
  br label %chunk
chunk:
  %first = phi i64 [0, %ready], [%following, %chunk.end]
  %rest = sub i64 %n, %first
  %any = icmp sgt i64 %rest, 0
  br i1 %any, label %draw, label %tail
draw:
  %count = call i64 @llvm.smin.i64(i64 %rest, i64 {CHUNK})
  %drawn = mul i64 %count, {f.words}
  call void @words(ptr %state, ptr %buffer, i64 %drawn){f.chunk}
  %chunk.out = getelementptr {element}, ptr %out, i64 %first
  br label %vector
vector:
  %i = phi i64 [0, %draw], [%i.next, %vector]
  %from.word = mul i64 %i, {f.words}
  %from = getelementptr i32, ptr %buffer, i64 %from.word{f.body}
  %i.next = add i64 %i, {f.width}
  %whole = icmp sle i64 %i.next, %count
  %to = getelementptr {element}, ptr %chunk.out, i64 %i
  %target = select i1 %whole, ptr %to, ptr %spare
  store <{f.width} x {element}> %value, ptr %target, align {dtype.itemsize}
  %more = icmp slt i64 %i.next, %count
  br i1 %more, label %vector, label %chunk.end
chunk.end:
  %following = add i64 %first, {CHUNK}
  br label %chunk
tail:
  %broken = and i64 %n, {f.width - 1}
  %whole.ones = sub i64 %n, %broken
  %tail.out = getelementptr {element}, ptr %out, i64 %whole.ones
  br label %tail.more
tail.more:
  %t = phi i64 [0, %tail], [%t.next, %tail.copy]
  %left = icmp slt i64 %t, %broken
  br i1 %left, label %tail.copy, label %exit
tail.copy:
  %t.from = getelementptr {element}, ptr %spare, i64 %t
  %t.to = getelementptr {element}, ptr %tail.out, i64 %t
  %t.value = load {element}, ptr %t.from, align {dtype.itemsize}
  store {element} %t.value, ptr %t.to, align {dtype.itemsize}
  %t.next = add i64 %t, 1
  br label %tail.more
exit:
  ret void
}}
"""


def broadcast(to: str, value: str, kind: str, width: int) -> str:
    """A run-time scalar in every lane of %to."""
    vector = f"<{width} x {kind}>"
    return f"""
  %{to}.one = insertelement {vector} poison, {kind} {value}, i64 0
  %{to} = shufflevector {vector} %{to}.one, {vector} poison, <{width} x i32> zeroinitializer"""


def number(name: str, word: int, dtype: DType, width: int) -> str:
    """A float64 parameter, rounded to `dtype`, in every lane; by way of float32, as PyTorch."""
    text = f"\n  %{name}.real = call double @real(ptr %args, i64 {word})"
    if dtype is float64:
        return text + broadcast(name, f"%{name}.real", "double", width)
    text += f"\n  %{name}.single = fptrunc double %{name}.real to float"
    wide = f"{name}.wide"
    text += broadcast(wide, f"%{name}.single", "float", width)
    return text + rounded(name, wide, dtype, width)


def rounded(to: str, value: str, dtype: DType, width: int) -> str:
    """A float32 vector as elements of `dtype`; bfloat16 by hand, to the nearest even, no NaN."""
    old, new = f"<{width} x float>", f"<{width} x {llvm(dtype)}>"
    if dtype is float32:
        return f"\n  %{to} = bitcast {old} %{value} to {new}"
    if dtype is float16:
        return f"\n  %{to} = fptrunc {old} %{value} to {new}"
    if dtype is not bfloat16:
        return f"\n  %{to} = fptosi {old} %{value} to {new}"
    whole = f"<{width} x i32>"
    return f"""
  %{to}.bits = bitcast {old} %{value} to {whole}
  %{to}.shifted = lshr {whole} %{to}.bits, splat (i32 16)
  %{to}.even = and {whole} %{to}.shifted, splat (i32 1)
  %{to}.half = add {whole} %{to}.bits, splat (i32 32767)
  %{to}.up = add {whole} %{to}.half, %{to}.even
  %{to}.top = lshr {whole} %{to}.up, splat (i32 16)
  %{to} = trunc {whole} %{to}.top to {new}"""
