"""Messages between a loader and its worker processes.

A small message goes through a pipe as it is. Of a large one only its place does: the bytes lie in a
file of shared memory, which the receiver maps and removes, so that tensors are not copied again.
Pipes so never fill up, and neither side ever waits for the other to read.
"""

import io
import itertools
import mmap
import os
import pickle
import shutil
import tempfile

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import spec_of
from flambeau.runtime.buffers import adopt
from flambeau.tensor import Tensor
from flambeau.trace import flush
from flambeau.trace.storage import Storage, new_storage
from flambeau.trace.tensor import assemble

SHARED = "/dev/shm"  # memory that looks like files, where the system has it
PIPE = 65536  # bytes that a pipe holds where the system does not tell
ALIGNMENT = 64

# ------------------------------------------------------------------ tensors in pickles


class Packer(pickle.Pickler):
    """Pickles with the memory of tensors and arrays beside them."""

    def reducer_override(self, obj):
        if type(obj) is Tensor and not obj.__dict__:
            return reduce_tensor(obj)
        if type(obj) is Storage:
            flush.settle_all(obj)
            return storage_on, (pickle.PickleBuffer(obj.buffer.memory[: obj.nbytes]),)
        return NotImplemented


def reduce_tensor(x):
    """A tensor by its storage and its view; of a storage that is larger, only what it sees."""
    if x._edge is not None:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd "
            "does not support crossing process boundaries.  If you just want to transfer the data, "
            "call detach() on the tensor before serializing (e.g., putting it on the queue)."
        )
    spec = x._spec
    if x._storage.nbytes > max(spec.numel, 1) * spec.dtype.itemsize:
        x = x.detach().clone()
    place = x._offset, x._spec.size, x._spec.stride, x._spec.dtype.name, spec.requires_grad
    return tensor_on, (x._storage, *place)


def storage_on(data):
    """A storage on memory that came with a message."""
    memory = np.frombuffer(data, np.uint8) if memoryview(data).nbytes else np.empty(0, np.uint8)
    return new_storage(memory.nbytes, adopt(memory, None))


def tensor_on(storage, offset, size, stride, dtype, requires_grad):
    """A tensor on such a storage."""
    spec = spec_of(tuple(size), tuple(stride), dt.BY_NAME[dtype], requires_grad)
    return assemble(Tensor, storage, spec, offset)


# ------------------------------------------------------------------ channels


def make_folder():
    """Where the large messages of one loader lie."""
    return tempfile.mkdtemp(prefix="flambeau-", dir=SHARED if os.path.isdir(SHARED) else None)


def remove_folder(folder):
    shutil.rmtree(folder, ignore_errors=True)


class Sender:
    """One end of a pipe. `waiting`: how many messages there may be that were not read yet."""

    def __init__(self, pipe, folder, name, waiting):
        self.pipe, self.folder, self.name = pipe, folder, name
        self.limit = capacity(pipe) // (waiting + 2)
        self.counter = itertools.count()

    def send(self, message):
        """Pickle first: what cannot be pickled raises, and nothing was sent."""
        parts, head = [], io.BytesIO()
        Packer(head, 5, buffer_callback=lambda part: parts.append(part.raw())).dump(message)
        views = [head.getbuffer(), *parts]
        if sum(v.nbytes for v in views) + 64 * len(views) <= self.limit:
            self.pipe.send_bytes(pickle.dumps([bytes(v) for v in views]))
            return
        path = os.path.join(self.folder, f"{self.name}-{next(self.counter)}")
        self.pipe.send_bytes(pickle.dumps((path, write(path, views))))


def write(path, views):
    """Write all to a new file; answers where each begins and ends."""
    places, end = [], 0
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for view in views:
            start = -(-end // ALIGNMENT) * ALIGNMENT
            end = start + view.nbytes
            write_all(file, view, start)
            places.append((start, end))
        os.truncate(file, max(end, 1))
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(file)
    return places


def write_all(file, view, start):
    """As often as it takes: the system writes 2 GB at a time."""
    done = 0
    while done < view.nbytes:
        done += os.pwrite(file, view[done:], start + done)


def receive(pipe):
    """The next message of a pipe; waits for it."""
    message = pickle.loads(pipe.recv_bytes())
    if isinstance(message, list):
        head, *parts = message
        return pickle.loads(head, buffers=map(bytearray, parts))
    path, places = message
    memory = mapped(path)
    head, *parts = [memory[start:end] for start, end in places]
    return pickle.loads(head, buffers=parts)


def mapped(path):
    """The memory of a file, which is removed: the memory lives as long as somebody uses it."""
    with open(path, "r+b") as file:
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        memory = mmap.mmap(file.fileno(), 0, flags=flags)
    os.unlink(path)
    return memoryview(memory)


def capacity(pipe):
    """How many bytes may wait in a pipe."""
    try:
        import fcntl

        return fcntl.fcntl(pipe.fileno(), fcntl.F_GETPIPE_SZ)
    except (ImportError, AttributeError, OSError):
        return PIPE
