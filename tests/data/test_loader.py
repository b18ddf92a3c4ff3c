"""Loaders give PyTorch's batches in PyTorch's order from the same seed."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")


class Makers:
    """Data sets of one framework."""

    def __init__(self, torch):
        D = self.D = torch.utils.data

        class Dictionaries(D.Dataset):
            def __len__(self):
                return 7

            def __getitem__(self, i):
                return {"x": torch.tensor([float(i)]), "y": i, "z": (i * 2.0, "s")}

        class Numbers(D.IterableDataset):
            def __iter__(self):
                return iter(range(5))

        self.rows = D.TensorDataset(torch.arange(10.0), torch.arange(20).reshape(10, 2))
        self.dictionaries, self.numbers = Dictionaries(), Numbers()


EXPRESSIONS = """
D.DataLoader(m.rows, batch_size=3)
D.DataLoader(m.rows, batch_size=4, shuffle=True)
D.DataLoader(m.rows, batch_size=4, shuffle=True, drop_last=True)
D.DataLoader(m.rows, batch_size=4, shuffle=True, generator=g)
D.DataLoader(m.dictionaries, batch_size=3, shuffle=True)
D.DataLoader(m.numbers, batch_size=2)
D.DataLoader(m.numbers, batch_size=2, drop_last=True)
D.DataLoader(m.rows, batch_size=None)
D.DataLoader(D.Subset(m.rows, [3, 1, 7]), batch_size=2, shuffle=True)
D.DataLoader(m.rows, batch_sampler=D.BatchSampler(D.SequentialSampler(m.rows), 3, True))
D.DataLoader(m.rows, batch_sampler=[[0, 1], [-1, 5, 5]])
D.DataLoader(m.rows, batch_sampler=[[0, 10]])
D.DataLoader(m.rows, batch_size=3, sampler=D.SubsetRandomSampler([1, 5, 7, 2]))
D.DataLoader(m.rows, batch_size=3, sampler=D.RandomSampler(m.rows, True, num_samples=37))
D.DataLoader(m.rows, batch_size=5, sampler=D.RandomSampler(m.rows, num_samples=13))
D.DataLoader(m.rows, batch_size=5, sampler=D.WeightedRandomSampler([0.1, 0.2, 0.3, 0.4], 8))
D.DataLoader(m.rows, batch_size=3, collate_fn=lambda batch: len(batch))
D.DataLoader(D.ConcatDataset([m.rows, m.rows]), batch_size=6, shuffle=True)
D.DataLoader(D.random_split(m.rows, [3, 7], generator=g)[1], batch_size=4)
D.random_split(m.rows, [3, 4])
D.TensorDataset(torch.ones(2), torch.ones(3))
D.DataLoader(m.rows, batch_size=0)
D.DataLoader(m.rows, shuffle=True, sampler=D.SequentialSampler(m.rows))
D.DataLoader(m.rows, batch_size=None, drop_last=True)
D.DataLoader(m.rows, num_workers=-1)
D.DataLoader(m.rows, prefetch_factor=3)
D.DataLoader(m.numbers, shuffle=True)
D.BatchSampler(D.SequentialSampler(m.rows), 2, 3)
D.RandomSampler(m.rows, num_samples=-1)
D.RandomSampler([])
[D.default_collate([object()])]
[D.default_collate([[1, 2], [3]])]
[D.default_collate([{'a': 1, 'b': 'x'}, {'a': 2.0, 'b': 'y'}])]
[D.default_collate([(1, 2.0), (3, 4.0)]), D.default_collate(['a']), D.default_collate([1.0, 2.0])]
[D.default_collate([np.ones(2), np.ones(2)]), D.default_collate([np.float32(1), np.float32(2)])]
[m.rows[1:3], m.rows[-1]]
D.DataLoader(m.rows, timeout=3)
D.DataLoader(m.rows, timeout=-1)
D.DataLoader(m.rows, persistent_workers=True)
D.DataLoader(m.rows, prefetch_factor=-1, num_workers=1)
D.DataLoader(m.rows, multiprocessing_context="fork")
D.DataLoader(m.rows, multiprocessing_context="x", num_workers=1)
D.DataLoader(m.rows, multiprocessing_context=3, num_workers=1)
D.DistributedSampler(m.rows)
D.DistributedSampler(m.rows, num_replicas=2, rank=3)
D.DistributedSampler(m.rows, num_replicas=3, rank=1, seed=3)
D.DistributedSampler(m.rows, 3, 1, shuffle=False, drop_last=True)
D.DistributedSampler(m.rows, 3, 2, shuffle=False)
D.DistributedSampler([1], 3, 2)
D.WeightedRandomSampler([1.0, 2.0], 2, replacement=3)
D.WeightedRandomSampler([[1.0, 2.0]], 1)
D.random_split(m.rows, [.5, .6])
[[list(part.indices) for part in D.random_split(m.rows, [.25, .75], generator=g)]]
D.StackDataset(m.rows, a=m.rows)
D.DataLoader(D.StackDataset(m.rows, m.rows), batch_size=4)
D.DataLoader(D.StackDataset(a=m.rows, b=m.rows), batch_size=4)
D.ConcatDataset([m.numbers])
[D.ConcatDataset([m.rows])[-11]]
list(D.ChainDataset([m.rows]))
[D.default_convert([1, np.ones(2), "a", (1, np.int64(3)), {"a": np.ones(1)}])]
[D.get_worker_info()]
""".strip().splitlines()


def batches(torch, expression):
    """Two passes, and what the generators give afterwards."""
    m, g = Makers(torch), torch.Generator()
    g.manual_seed(5)
    torch.manual_seed(0)
    try:
        loader = eval(expression, {"D": m.D, "m": m, "g": g, "torch": torch, "np": np})
        return str((list(loader), list(loader), torch.rand(2), torch.rand(2, generator=g)))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_batches(expression):
    assert batches(flambeau, expression) == batches(torch, expression)
