"""A sampler for several processes that train together."""

import math

from flambeau.utils.data.sampler import Sampler


class DistributedSampler(Sampler):
    """Every num_replicas-th sample, from the rank-th on, of an order that all replicas share."""

    def __init__(self, dataset, num_replicas=None, rank=None, shuffle=True, seed=0,
                 drop_last=False):  # fmt: skip
        if num_replicas is None or rank is None:
            raise ValueError("Default process group has not been initialized, please make sure to "
                             "call init_process_group.")  # fmt: skip
        if rank >= num_replicas or rank < 0:
            raise ValueError(
                f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]"
            )
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.epoch, self.drop_last = 0, drop_last
        count = len(dataset)
        whole = drop_last and count % num_replicas != 0
        self.num_samples = math.ceil((count - num_replicas if whole else count) / num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.shuffle, self.seed = shuffle, seed

    def __iter__(self):
        indices = self.order()
        if self.drop_last:
            indices = indices[: self.total_size]
        else:  # begin again where there are too few
            missing = self.total_size - len(indices)
            indices += (indices * math.ceil(missing / len(indices)))[:missing]
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def order(self):
        """All samples in the order of this epoch."""
        from flambeau import Generator, randperm

        if not self.shuffle:
            return list(range(len(self.dataset)))
        generator = Generator()
        generator.manual_seed(self.seed + self.epoch)
        return randperm(len(self.dataset), generator=generator).tolist()

    def __len__(self):
        return self.num_samples

    def set_epoch(self, epoch):
        """Another epoch has another order."""
        self.epoch = epoch
