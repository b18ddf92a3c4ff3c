"""What a data set can know about the worker process that it is in."""


class WorkerInfo:
    """Facts about the worker process that asks: id, num_workers, seed, dataset."""

    _fixed = False

    def __init__(self, **facts):
        self.__dict__.update(facts)
        self._names = tuple(facts)
        self._fixed = True

    def __setattr__(self, name, value):
        if self._fixed:
            raise RuntimeError(f"Cannot assign attributes to {type(self).__name__} objects")
        super().__setattr__(name, value)

    def __repr__(self):
        facts = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names)
        return f"{type(self).__name__}({facts})"


current = None


def get_worker_info():
    """Facts about the worker process that asks; None in the main process."""
    return current
