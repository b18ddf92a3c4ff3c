"""Objects in memory: what is resolved, what is refused, how much of the system it takes."""

import ctypes
import math
import mmap
import platform
import struct
import sys

import numpy as np
import pytest

from flambeau.codegen.cpu import linking
from flambeau.codegen.cpu.target import cpu

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="LLVM links on this system"
)


def compiled(text):
    return cpu().compiler.compile(text)


def function(code, name, *types):
    return ctypes.CFUNCTYPE(*types)(linking.Linker().load(code)[name])


def maps():
    with open("/proc/self/maps") as file:
        return file.read().splitlines()


def unsafe(lines):
    return sum(line.split()[1].startswith("rwx") for line in lines)


WORD, REAL = ctypes.c_int64, ctypes.c_double
SQUARES = """
@table = private constant [4 x i64] [i64 0, i64 1, i64 4, i64 900], align 64
define i64 @square(i64 %i) {
  %place = getelementptr [4 x i64], ptr @table, i64 0, i64 %i
  %found = load i64, ptr %place, align 8
  ret i64 %found
}
define i64 @twice(i64 %i) {
  %one = call i64 @square(i64 %i)
  %two = shl i64 %one, 1
  ret i64 %two
}
"""


def test_constants_and_calls_from_one_function_to_another():
    code = compiled(SQUARES)
    assert [function(code, "square", WORD, WORD)(i) for i in range(4)] == [0, 1, 4, 900]
    assert function(code, "twice", WORD, WORD)(3) == 1800


def test_vector_constants_lie_where_aligned_loads_find_them():
    numbers = ", ".join(f"double {i}.5" for i in range(8))
    code = compiled(f"""
        @bytes = private constant [3 x i8] c"abc"
        @table = private constant <8 x double> <{numbers}>, align 64
        define i64 @where() {{ ret i64 ptrtoint (ptr @table to i64) }}
        define i8 @byte() {{
          %b = load i8, ptr getelementptr (i8, ptr @bytes, i64 2)
          ret i8 %b
        }}""")
    place = function(code, "where", WORD)()
    assert place % 64 == 0
    assert list((REAL * 8).from_address(place)) == [i + 0.5 for i in range(8)]
    assert function(code, "byte", ctypes.c_int8)() == ord("c")


CALLS = """
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define double @rest(double %a, double %b) {
  %r = frem double %a, %b
  ret double %r
}
define void @copy(ptr %to, ptr %from, i64 %size) {
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %size, i1 false)
  ret void
}
"""


def test_calls_that_llvm_makes_of_remainders_and_of_large_copies():
    code = compiled(CALLS)
    assert set(linking.Object(code).outside()) == {"fmod", "memcpy"}
    assert function(code, "rest", REAL, REAL, REAL)(-7.25, 2.5) == math.fmod(-7.25, 2.5)
    source, target = ctypes.create_string_buffer(bytes(range(256)) * 40), bytearray(10240)
    into = (ctypes.c_char * 10240).from_buffer(target)
    copy = function(code, "copy", None, ctypes.c_void_p, ctypes.c_void_p, WORD)
    copy(ctypes.addressof(into), ctypes.addressof(source), 10240)
    assert target == source.raw[:10240]


def test_conversions_that_old_processors_leave_to_the_compilers_library():
    llvm = cpu().llvm
    old = llvm.Target.from_default_triple().create_target_machine(
        cpu="x86-64", reloc="pic", codemodel="small"
    )
    text = """
define double @rounded(double %x) {
  %half = fptrunc double %x to half
  %back = fpext half %half to double
  ret double %back
}"""
    code = old.emit_object(llvm.parse_assembly(text))
    assert "__truncdfhf2" in linking.Object(code).outside()
    assert function(code, "rounded", REAL, REAL)(0.1) == float(np.float16(0.1))


@pytest.mark.parametrize("text, what", [
    ("@x = internal global i64 7\ndefine i64 @f() { %v = load volatile i64, ptr @x\n ret i64 %v }",
     "variables"),
    ("@x = internal global i64 0\ndefine i64 @f() { %v = load volatile i64, ptr @x\n ret i64 %v }",
     "variables"),
    ("@x = external global i64\ndefine i64 @f() { %v = load i64, ptr @x\n ret i64 %v }",
     "relocation of kind .* to x|calls x"),
    ("@x = external hidden global i64\ndefine i64 @f() { %v = load i64, ptr @x\n ret i64 %v }",
     "relocation of kind 2 to x|calls x"),
    ("declare void @no_such()\ndefine void @f() { call void @no_such()\n ret void }",
     "calls no_such"),
])  # fmt: skip
def test_what_kernels_have_no_need_of_is_refused(text, what):
    with pytest.raises(RuntimeError, match=what):
        linking.Linker().load(compiled(text))


def test_the_address_of_a_library_function_is_not_taken_for_data():
    text = "declare double @pow(double, double)\ndefine ptr @f() { ret ptr @pow }"
    with pytest.raises(RuntimeError, match="relocation of kind"):
        linking.Linker().load(compiled(text))


def test_cut_objects_are_refused_wherever_they_are_cut():
    code = compiled(SQUARES)
    for size in range(0, len(code), 7):
        with pytest.raises(RuntimeError, match="damaged|format"):
            linking.Linker().load(code[:size])


def test_relocations_outside_of_their_section_are_refused():
    code = bytearray(compiled(SQUARES))
    table = next(s for s in linking.Object(bytes(code)).sections if s.kind == linking.RELOCATIONS)
    struct.pack_into("<Q", code, table.offset, 1 << 20)
    with pytest.raises(RuntimeError, match="damaged"):
        linking.Linker().load(bytes(code))


def test_objects_for_other_machines_are_refused():
    code = bytearray(compiled(SQUARES))
    struct.pack_into("<H", code, 0x12, 183)  # 64-bit ARM
    with pytest.raises(RuntimeError, match="format"):
        linking.Linker().load(bytes(code))


def test_thousands_of_kernels_take_a_few_maps_of_memory_never_writable_and_executable():
    code = compiled("define i64 @f(i64 %i) { %r = add i64 %i, 5\n ret i64 %r }")
    linker, before = linking.Linker(), maps()
    places = [linker.load(code)["f"] for _ in range(5000)]
    after = maps()
    assert len(after) - len(before) <= 3 * (5000 * mmap.PAGESIZE // linking.BLOCK + 2)
    assert unsafe(after) == unsafe(before)
    assert len(set(places)) == 5000
    assert ctypes.CFUNCTYPE(WORD, WORD)(places[0])(2) == 7
    assert ctypes.CFUNCTYPE(WORD, WORD)(places[-1])(3) == 8


def test_code_larger_than_a_block():
    words = linking.BLOCK // 8 + 1000
    code = compiled(f"""
        @table = private constant [{words} x i64] [i64 3{", i64 9" * (words - 1)}]
        define i64 @f(i64 %i) {{
          %place = getelementptr [{words} x i64], ptr @table, i64 0, i64 %i
          %found = load i64, ptr %place
          ret i64 %found
        }}""")
    f = function(code, "f", WORD, WORD)
    assert (f(0), f(words - 1)) == (3, 9)


@pytest.mark.parametrize("triple", ["arm64-apple-darwin23", "aarch64-unknown-linux-gnu",
                                    "x86_64-pc-windows-msvc"])  # fmt: skip
def test_elsewhere_llvm_links(triple, monkeypatch):
    monkeypatch.setattr(cpu().llvm, "get_default_triple", lambda: triple)
    engine = linking.linker(cpu().llvm, cpu()._machine)
    assert isinstance(engine, linking.Engine)
    square = ctypes.CFUNCTYPE(WORD, WORD)(engine.load(compiled(SQUARES))["square"])
    assert square(3) == 900
