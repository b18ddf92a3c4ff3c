"""Compile threads: what they give, what they do with errors, forks, interrupts and the end."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from flambeau.codegen.cpu import compiling
from flambeau.codegen.cpu.compiling import Compiler
from flambeau.codegen.cpu.target import CPU, cpu
from flambeau.settings import settings


def module(number, length=1):
    """A module that takes about a millisecond of LLVM's for each five steps."""
    steps = "".join(f"  %v{n + 1} = call i64 @mix{number}(i64 %v{n})\n" for n in range(length))
    return f"""
define internal i64 @mix{number}(i64 %x) {{ %y = add i64 %x, {number}\n ret i64 %y }}
define i64 @f{number}(i64 %v0) {{
{steps}  ret i64 %v{length}
}}"""


@pytest.fixture
def compiler(monkeypatch):
    monkeypatch.setattr(compiling, "get_num_threads", lambda: 3)
    fresh = Compiler(cpu().llvm, cpu()._machine)
    yield fresh
    fresh.settle()


def kept():
    codes = []
    return codes, codes.append


def test_threads_give_the_code_that_llvmlite_gives(compiler):
    codes, keep = kept()
    texts = [module(n, 50) for n in range(12)]
    jobs = [compiler.begin(text, keep) for text in texts]
    found = [job.result() for job in jobs]
    machine = cpu()._machine()
    assert found == [machine.emit_object(cpu().llvm.parse_assembly(text)) for text in texts]
    compiler.settle()
    assert sorted(codes) == sorted(found)
    assert not compiler.threads


def test_without_threads_whoever_waits_compiles(monkeypatch):
    monkeypatch.setattr(compiling, "get_num_threads", lambda: 1)
    compiler = Compiler(cpu().llvm, cpu()._machine)
    job = compiler.begin(module(1), kept()[1])
    assert not compiler.threads and not job.done.is_set()
    assert job.result()
    assert not compiler.waiting


def test_a_system_without_more_threads_is_no_error(compiler, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    job = compiler.begin(module(1), kept()[1])
    assert not compiler.threads
    assert job.result()


def test_what_llvm_refuses_is_raised_by_each_result_and_stops_no_thread(compiler):
    codes, keep = kept()
    bad = compiler.begin("define i64 @f( {", keep)
    good = compiler.begin(module(1), keep)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="LLVM refuses a kernel: .*error"):
            bad.result()
    assert good.result()
    compiler.settle()
    assert codes == [good.result()]


def test_an_interrupted_job_is_begun_anew(compiler, monkeypatch):
    whole, calls = compiler.compile, []

    def interrupted(text):
        calls.append(text)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return whole(text)

    monkeypatch.setattr(compiler, "compile", interrupted)
    monkeypatch.setattr(compiling, "get_num_threads", lambda: 1)
    job = compiler.begin(module(1), kept()[1])
    with pytest.raises(KeyboardInterrupt):
        job.result()
    assert job.result() and len(calls) == 2


def test_an_interrupt_before_the_work_begins_loses_no_job(compiler, monkeypatch):
    monkeypatch.setattr(compiling, "get_num_threads", lambda: 1)
    job = compiler.begin(module(1), kept()[1])
    assert compiler.take(job) is job  # and there the interrupt comes
    assert job.result()


def test_who_waits_notices_that_a_job_was_given_up(compiler, monkeypatch):
    monkeypatch.setattr(compiling, "get_num_threads", lambda: 1)
    job = compiler.begin(module(1), kept()[1])
    found = []
    compiler.take(job)
    waiter = threading.Thread(target=lambda: found.append(job.result()))
    waiter.start()
    time.sleep(0.02)
    assert not found
    job.by = None  # as an interrupted thread leaves it
    waiter.join(20)
    assert found


def test_settling_keeps_what_nobody_began_with(compiler):
    jobs = [compiler.begin(module(n, 50), kept()[1]) for n in range(30)]
    compiler.settle()
    assert not compiler.threads
    begun = [job for job in jobs if job.done.is_set()]
    assert len(begun) + len(compiler.waiting) == len(jobs)
    assert all(job.result() for job in jobs)


def test_loading_code_that_llvm_refuses_names_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "cache", tmp_path)
    target = CPU()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="LLVM refuses a kernel"):
            target.load_module("define void @g( {", ("g",))
    target.compiler.settle()
    assert not (tmp_path / "kernels").exists()


BUSY = """
import os, sys
sys.path.insert(0, os.getcwd())
import flambeau.codegen.cpu.compiling as compiling
from flambeau.codegen.cpu.target import cpu
from tests.codegen.test_compiling import module
compiling.get_num_threads = lambda: 3
jobs = [cpu().compiler.begin(module(n, 400), lambda code: None) for n in range(6)]
"""


def python(text):
    return subprocess.run([sys.executable, "-c", BUSY + text], capture_output=True, text=True,
                          timeout=120)  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_both_sides_of_a_fork_go_on_compiling():
    ran = python("""
child = os.fork()
assert not cpu().compiler.threads
jobs.append(cpu().compiler.begin(module(99), lambda code: None))
sizes = [len(job.result()) for job in jobs]
if child == 0:
    os._exit(0 if all(sizes) else 1)
assert all(sizes) and os.waitpid(child, 0)[1] == 0
print("both")
""")
    assert (ran.stdout, ran.returncode) == ("both\n", 0), ran.stderr


def test_a_process_ends_while_threads_compile_and_compiles_still_at_its_end():
    ran = python("""
import atexit
def late():
    assert cpu().compiler.begin(module(99), lambda code: None).result()
    assert not cpu().compiler.threads
    print("late")
compiling.atexit.unregister(compiling.end)
atexit.register(late)
atexit.register(compiling.end)
assert cpu().compiler.threads
print("end", flush=True)
""")
    assert (ran.stdout, ran.returncode, ran.stderr) == ("end\nlate\n", 0, "")


@pytest.mark.skipif(os.name == "nt", reason="signals are sent in another way there")
def test_ctrl_c_while_waiting_ends_the_wait_and_the_code_comes_all_the_same():
    ran = python(f"""
import signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt():
    time.sleep(0.02)
    os.kill(os.getpid(), {int(signal.SIGINT)})
threading.Thread(target=interrupt).start()
times = 0
try:
    while True:
        done = [job.result() for job in jobs]
        time.sleep(0.1)
except KeyboardInterrupt:
    times += 1
assert all(job.result() for job in jobs)
print(times)
""")
    assert (ran.stdout, ran.returncode) == ("1\n", 0), ran.stderr
