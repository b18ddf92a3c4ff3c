"""LLVM IR of the stream itself: `@words(state, to, count)` writes the next words of MT19937.

The state is the block that runtime/generator.py lays out. Vectors are 16 words wide on every
machine; LLVM splits them where the machine's are narrower. A part of every random kernel.
"""

from __future__ import annotations

from ....runtime.generator import OFFSET, SHIFT, WORDS

WIDTH = 16
UPPER, LOWER, MATRIX = 0x80000000, 0x7FFFFFFF, 0x9908B0DF


def splat(value: int | str, kind: str, width: int) -> str:
    """A constant vector, or a constant where the width is 1."""
    return f"splat ({kind} {value})" if width > 1 else str(value)


def vector(kind: str, width: int) -> str:
    return f"<{width} x {kind}>" if width > 1 else kind


def twist(k: str, width: int) -> str:
    """%u, %v (the word after) and %m (the word SHIFT on) → %new, all names ending in `k`."""
    kind = vector("i32", width)
    return f"""
  %high{k} = and {kind} %u{k}, {splat(UPPER, "i32", width)}
  %low{k} = and {kind} %v{k}, {splat(LOWER, "i32", width)}
  %both{k} = or disjoint {kind} %high{k}, %low{k}
  %half{k} = lshr {kind} %both{k}, {splat(1, "i32", width)}
  %odd{k} = and {kind} %v{k}, {splat(1, "i32", width)}
  %all{k} = sub {kind} zeroinitializer, %odd{k}
  %matrix{k} = and {kind} %all{k}, {splat(MATRIX, "i32", width)}
  %mixed{k} = xor {kind} %m{k}, %half{k}
  %new{k} = xor {kind} %mixed{k}, %matrix{k}"""


def segment(k: int, first: int, last: int, width: int, distance: int, before: str) -> str:
    """A loop over words first..last, which reads the words `distance` away."""
    kind = vector("i32", width)
    return f"""
  br label %segment{k}
segment{k}:
  %i{k} = phi i64 [{first}, %{before}], [%next{k}, %segment{k}]
  %at{k} = getelementptr i32, ptr %state, i64 %i{k}
  %after{k} = getelementptr i32, ptr %at{k}, i64 1
  %far{k} = getelementptr i32, ptr %at{k}, i64 {distance}
  %u{k} = load {kind}, ptr %at{k}, align 4
  %v{k} = load {kind}, ptr %after{k}, align 4
  %m{k} = load {kind}, ptr %far{k}, align 4{twist(str(k), width)}
  store {kind} %new{k}, ptr %at{k}, align 4
  %next{k} = add i64 %i{k}, {width}
  %more{k} = icmp slt i64 %next{k}, {last}
  br i1 %more{k}, label %segment{k}, label %end{k}
end{k}:"""


def refill_text() -> str:
    """The next 624 words from these, in place: vectors, then what is left of each stretch."""
    turn = WORDS - SHIFT  # from here on the word SHIFT on has been renewed already
    stretches = [(0, 224, 16, SHIFT), (224, turn, 1, SHIFT),
                 (turn, 611, 16, -turn), (611, WORDS - 1, 4, -turn)]  # fmt: skip
    loops = "".join(
        segment(k, *stretch, before=f"end{k - 1}" if k else "entry")
        for k, stretch in enumerate(stretches)
    )
    return f"""
define internal void @refill(ptr %state) nounwind noinline {{
entry:{loops}
  %at = getelementptr i32, ptr %state, i64 {WORDS - 1}
  %far = getelementptr i32, ptr %state, i64 {SHIFT - 1}
  %u = load i32, ptr %at, align 4
  %v = load i32, ptr %state, align 4
  %m = load i32, ptr %far, align 4{twist("", 1).replace("zeroinitializer", "0")}
  store i32 %new, ptr %at, align 4
  ret void
}}
""".replace("sub i32 zeroinitializer", "sub i32 0")


def words_text() -> str:
    """`@words`. It may write up to 15 words of nonsense after the last one."""
    kind = vector("i32", WIDTH)
    return f"""
define internal void @words(ptr %state, ptr %to, i64 %count) nounwind noinline {{
entry:
  %next.at = getelementptr i8, ptr %state, i64 {OFFSET["next"]}
  %left.at = getelementptr i8, ptr %state, i64 {OFFSET["left"]}
  br label %more
more:
  %done = phi i64 [0, %entry], [%done.now, %taken]
  %enough = icmp sge i64 %done, %count
  br i1 %enough, label %exit, label %look
look:
  %left.seen = load i64, ptr %left.at, align 8
  %empty = icmp sle i64 %left.seen, 1
  br i1 %empty, label %renew, label %take
renew:
  call void @refill(ptr %state)
  store i64 0, ptr %next.at, align 8
  store i64 {WORDS + 1}, ptr %left.at, align 8
  br label %take
take:
  %left = load i64, ptr %left.at, align 8
  %next = load i64, ptr %next.at, align 8
  %have = sub i64 %left, 1
  %want = sub i64 %count, %done
  %k = call i64 @llvm.smin.i64(i64 %have, i64 %want)
  %source = getelementptr i32, ptr %state, i64 %next
  %target = getelementptr i32, ptr %to, i64 %done
  br label %temper
temper:
  %i = phi i64 [0, %take], [%i.next, %temper]
  %from.at = getelementptr i32, ptr %source, i64 %i
  %to.at = getelementptr i32, ptr %target, i64 %i
  %y0 = load {kind}, ptr %from.at, align 4
  %s1 = lshr {kind} %y0, splat (i32 11)
  %y1 = xor {kind} %y0, %s1
  %s2 = shl {kind} %y1, splat (i32 7)
  %m2 = and {kind} %s2, splat (i32 {0x9D2C5680})
  %y2 = xor {kind} %y1, %m2
  %s3 = shl {kind} %y2, splat (i32 15)
  %m3 = and {kind} %s3, splat (i32 {0xEFC60000})
  %y3 = xor {kind} %y2, %m3
  %s4 = lshr {kind} %y3, splat (i32 18)
  %y4 = xor {kind} %y3, %s4
  store {kind} %y4, ptr %to.at, align 4
  %i.next = add i64 %i, {WIDTH}
  %again = icmp slt i64 %i.next, %k
  br i1 %again, label %temper, label %taken
taken:
  %next.now = add i64 %next, %k
  %left.now = sub i64 %left, %k
  store i64 %next.now, ptr %next.at, align 8
  store i64 %left.now, ptr %left.at, align 8
  %done.now = add i64 %done, %k
  br label %more
exit:
  ret void
}}
"""


def stream_text() -> str:
    """All that a random kernel needs of the stream."""
    return refill_text() + words_text()
