"""How tensors go to other processes: by the file that their shared memory is."""

import mmap
from multiprocessing.reduction import DupFd, ForkingPickler

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import spec_of
from flambeau.nn.parameter import Parameter
from flambeau.runtime.buffers import adopt
from flambeau.storage import Shared, share
from flambeau.tensor import Tensor
from flambeau.trace.storage import Storage, new_storage
from flambeau.trace.tensor import assemble


def init_reductions():
    """Tell Python's multiprocessing about tensors."""
    ForkingPickler.register(Storage, reduce_storage)
    ForkingPickler.register(Tensor, reduce_tensor)
    ForkingPickler.register(Parameter, reduce_tensor)


def reduce_tensor(x):
    """A tensor by its storage and its view; gradients and histories stay behind."""
    if x._edge is not None and x.requires_grad:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd "
            "does not support crossing process boundaries.  If you just want to transfer the data, "
            "call detach() on the tensor before serializing (e.g., putting it on the queue)."
        )
    spec = x._spec
    view = x._offset, spec.size, spec.stride, spec.dtype.name, spec.requires_grad
    return rebuild_tensor, (type(x), x._storage, *view, x.__dict__)


def rebuild_tensor(cls, storage, offset, size, stride, dtype, requires_grad, attributes):
    """The tensor on the other side."""
    spec = spec_of(tuple(size), tuple(stride), dt.BY_NAME[dtype], requires_grad)
    x = assemble(cls, storage, spec, offset)
    x.__dict__.update(attributes)
    return x


def reduce_storage(storage):
    """A storage by the file that its memory is, where it moves now if it is not there yet."""
    if not storage.nbytes:
        return new_storage, (0, adopt(np.empty(0, np.uint8), None))
    share(storage)
    return rebuild_storage, (DupFd(storage.pin.descriptor), storage.nbytes)


def rebuild_storage(descriptor, nbytes):
    """A storage on the same memory."""
    pin = Shared(descriptor.detach())
    mapping = mmap.mmap(pin.descriptor, nbytes)
    storage = new_storage(nbytes, adopt(np.frombuffer(mapping, np.uint8), mapping))
    storage.pin = pin
    return storage
