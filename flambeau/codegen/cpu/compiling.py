"""IR text → object code, several modules at a time.

    compiler = Compiler(llvm, create_machine)
    job = compiler.begin(text, keep)      a thread begins to compile it
    code = job.result()                   the object code; whoever waits takes part

llvmlite lets one thread at a time into LLVM. LLVM itself asks only that each thread has a context
and a target machine of its own, and gives the same code then; so its functions are called here
past llvmlite's lock. Python's own lock is free meanwhile: the passes go on.

A thread is started when there is work, and ends when there is none, so nothing is left to do
before a fork or at the end of the process but to wait.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from ...runtime.threads import before_fork, get_num_threads

LOOK_AGAIN = 0.05  # seconds after which whoever waits for a job asks whether it was given up


class Job:
    """A module that is to be compiled, is being compiled, or is."""

    def __init__(self, compiler: Compiler, text: str, keep: Callable[[bytes], None]) -> None:
        self.compiler, self.text, self.keep = compiler, text, keep
        self.by: threading.Thread | None = None  # who has taken it
        self.code: bytes | None = None
        self.error: Exception | None = None
        self.done = threading.Event()

    def result(self) -> bytes:
        """The object code, compiled here and now if nobody is at it."""
        while not self.done.is_set():
            job = self.compiler.take(self)
            if job is not None:
                job.run()
            else:
                self.done.wait(LOOK_AGAIN)
        if self.error is not None:
            raise self.error
        assert self.code is not None
        return self.code

    def free(self) -> bool:
        """Whether nobody is at it: nobody took it, or the calling thread did and was interrupted,
        or the thread that did is gone.
        """
        by = self.by
        given_up = by is None or by is threading.current_thread() or not by.is_alive()
        return given_up and not self.done.is_set()

    def run(self) -> None:
        """Compile; then whoever waits may go on, and whoever keeps code gets it."""
        try:
            self.code = self.compiler.compile(self.text)
        except Exception as error:
            self.error = error
        except BaseException:  # interrupted: whoever needs the code begins anew
            self.by = None
            raise
        self.done.set()
        if self.code is not None:
            self.keep(self.code)


class Compiler:
    """The jobs that wait, and the threads that work on them."""

    def __init__(self, llvm: Any, create_machine: Callable[[], Any]) -> None:
        self.native = Native(llvm)
        self.create_machine = create_machine
        self.machines: list[Any] = []  # those that no thread uses just now
        self.waiting: deque[Job] = deque()
        self.threads: set[threading.Thread] = set()
        self.lock = threading.Lock()
        _compilers.add(self)

    def begin(self, text: str, keep: Callable[[bytes], None]) -> Job:
        """Have a module compiled; `keep` is called with its code, by any thread."""
        job = Job(self, text, keep)
        with self.lock:
            self.waiting.append(job)
            if len(self.threads) < get_num_threads() - 1 and not _ended:
                self.start()
        return job

    def start(self) -> None:
        """One thread more, if the system has one: whoever waits compiles, too."""
        thread = threading.Thread(target=self.work, name="flambeau-compile", daemon=True)
        self.threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            self.threads.discard(thread)

    def work(self) -> None:
        """What a thread does."""
        me = threading.current_thread()
        try:
            while True:
                with self.lock:
                    if not self.waiting:
                        self.threads.discard(me)
                        return
                    job = self.waiting.popleft()
                    job.by = me
                job.run()
        finally:
            self.threads.discard(me)

    def take(self, wanted: Job) -> Job | None:
        """What is best done by a thread that waits for a job: that one, or else the last one."""
        with self.lock:
            if wanted.free():
                job = wanted
                with contextlib.suppress(ValueError):  # an interrupted one is not there
                    self.waiting.remove(job)
            elif self.waiting:
                job = self.waiting.pop()
            else:
                return None
            job.by = threading.current_thread()
            return job

    def compile(self, text: str) -> bytes:
        """Object code of a module, by the calling thread."""
        try:
            machine = self.machines.pop()
        except IndexError:
            machine = self.create_machine()
        try:
            return self.native.compile(text, machine)
        finally:
            self.machines.append(machine)

    def settle(self) -> None:
        """Wait until no thread is at work; what nobody began with stays in the queue."""
        with self.lock:
            held, self.waiting = self.waiting, deque()
            threads = list(self.threads)
        for thread in threads:
            if thread.is_alive():
                thread.join()
        with self.lock:
            self.waiting.extendleft(job for job in reversed(held) if job.by is None)


class Native:
    """The functions of LLVM that turn text into object code, without llvmlite's lock.

    Those that are quick keep Python's lock: to get it back can take milliseconds.
    """

    def __init__(self, llvm: Any) -> None:
        where, number = ctypes.c_void_p, ctypes.c_size_t
        path = llvm.ffi.lib._name
        quick, long = ctypes.PyDLL(path), ctypes.CDLL(path)

        def function(library: Any, name: str, result: Any, *arguments: Any) -> Any:
            found = library[f"LLVMPY_{name}"]
            found.restype, found.argtypes = result, arguments
            return found

        self.context = function(quick, "ContextCreate", where)
        self.end_context = function(quick, "ContextDispose", None, where)
        self.parse = function(long, "ParseAssembly", where, where, ctypes.c_char_p, where)
        self.end_module = function(quick, "DisposeModule", None, where)
        self.emit = function(long, "TargetMachineEmitToMemory", where, where, where,
                             ctypes.c_int, where)  # fmt: skip
        self.start = function(quick, "GetBufferStart", where, where)
        self.size = function(quick, "GetBufferSize", number, where)
        self.end_buffer = function(quick, "DisposeMemoryBuffer", None, where)
        self.end_string = function(quick, "DisposeString", None, where)

    def compile(self, text: str, machine: Any) -> bytes:
        """Object code of a module."""
        context = self.context()
        try:
            module = self.checked(self.parse, context, text.encode())
            try:
                target = ctypes.cast(machine._ptr, ctypes.c_void_p)
                buffer = self.checked(self.emit, target, module, 1)
            finally:
                self.end_module(module)
        finally:
            self.end_context(context)
        try:
            return ctypes.string_at(self.start(buffer), self.size(buffer))
        finally:
            self.end_buffer(buffer)

    def checked(self, function: Any, *arguments: Any) -> Any:
        """What a function answers; it answers nothing and leaves a message where it fails."""
        message = ctypes.c_void_p()
        found = function(*arguments, ctypes.byref(message))
        if not found:
            said = "no reason given"
            if message.value:
                said = ctypes.string_at(message.value).decode(errors="replace")
                self.end_string(message)
            raise RuntimeError(f"LLVM refuses a kernel: {said}")
        return found


_compilers: weakref.WeakSet[Compiler] = weakref.WeakSet()
_ended = False


def settle_all() -> None:
    """Before a fork and at the end: no thread may be inside LLVM."""
    for compiler in list(_compilers):
        compiler.settle()


def end() -> None:
    """At the end of the process: from now on, the thread that needs code compiles it."""
    global _ended
    _ended = True
    settle_all()


atexit.register(end)
before_fork.append(settle_all)
