"""spawn: the same function in several processes, and the first error of any of them."""

import multiprocessing
import signal
from multiprocessing import connection


class ProcessException(Exception):
    """A process did not end as it should."""

    def __init__(self, msg, error_index, pid):
        super().__init__(msg)
        self.msg, self.error_index, self.pid = msg, error_index, pid

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid)


class ProcessRaisedException(ProcessException):
    """A process ended by an exception; the message holds its traceback."""


class ProcessExitedException(ProcessException):
    """A process ended by a signal or by exit()."""

    def __init__(self, msg, error_index, error_pid, exit_code, signal_name=None):
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name

    def __reduce__(self):
        facts = self.msg, self.error_index, self.pid, self.exit_code, self.signal_name
        return type(self), facts


def run(fn, index, args, errors):
    """What a process does: call the function, and send the traceback of what it raises."""
    try:
        fn(index, *args)
    except KeyboardInterrupt:
        pass  # the parent has it as well
    except Exception:
        import sys
        import traceback

        errors.send(traceback.format_exc())
        sys.exit(1)


class ProcessContext:
    """Processes that were started together."""

    def __init__(self, processes, errors):
        self.processes, self.errors = processes, errors
        self.sentinels = {process.sentinel: n for n, process in enumerate(processes)}

    def pids(self):
        """The processes' numbers."""
        return [int(process.pid) for process in self.processes]

    def join(self, timeout=None, grace_period=None):
        """Wait until one has ended; True when all have, False when some still run.

        Where one has failed, the others are ended (killed after grace_period seconds, where that is
        given) and its failure is raised.
        """
        if not self.sentinels:
            return True
        failed = None
        for sentinel in connection.wait(self.sentinels, timeout):
            number = self.sentinels.pop(sentinel)
            self.processes[number].join()
            if self.processes[number].exitcode:
                failed = number
                break
        if failed is None:
            return not self.sentinels
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join(grace_period)
            if process.is_alive():
                process.kill()
                process.join()
        self.fail(failed)

    def fail(self, number):
        """Raise what ended a process."""
        process = self.processes[number]
        try:
            text = self.errors[number].recv()
        except EOFError:  # it could not say what happened
            text = None
        if text is not None:
            says = f"\n\n-- Process {number} terminated with the following error:\n{text}"
            raise ProcessRaisedException(says, number, process.pid)
        code = process.exitcode
        if code < 0:
            name = signal.Signals(-code).name
            raise ProcessExitedException(f"process {number} terminated with signal {name}", number,
                                         process.pid, code, name)  # fmt: skip
        raise ProcessExitedException(f"process {number} terminated with exit code {code}", number,
                                     process.pid, code)  # fmt: skip


SpawnContext = ProcessContext


def start_processes(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """Call fn(number, *args) in each of several processes.

    join: wait for all, and raise ProcessRaisedException or ProcessExitedException for the first
    that fails; else a ProcessContext comes back.
    """
    context = multiprocessing.get_context(start_method)
    processes, errors = [], []
    for number in range(nprocs):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=run, args=(fn, number, args, sender), daemon=daemon)
        process.start()
        sender.close()
        processes.append(process)
        errors.append(receiver)
    started = ProcessContext(processes, errors)
    if not join:
        return started
    while not started.join():
        pass
    return None


def spawn(fn, args=(), nprocs=1, join=True, daemon=False, start_method="spawn"):
    """start_processes with fresh interpreters: fn must be importable by name."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
