"""Tensors that cross into other processes, and processes that fail."""

import os

import pytest

import flambeau as torch
import flambeau.multiprocessing as mp


def add(number, total, many):
    total[number] += number + 1
    many["weight"].data[:, number].mul_(2)  # its own part: nobody waits for the other


def fill(queue, done):
    x = torch.arange(4.0)
    queue.put((x, x[1:3], torch.nn.Parameter(torch.ones(2)), torch.zeros(0)))
    done.wait(30)


def fail(number):
    if number == 1:
        raise ValueError("the second one fails")
    import time

    time.sleep(60)


def leave(number):
    os._exit(7)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_both_sides_see_writes(method):
    total, linear = torch.zeros(2), torch.nn.Linear(2, 1, bias=False)
    linear.share_memory()
    total.share_memory_()
    before = linear.weight.detach().clone()
    mp.start_processes(add, (total, dict(linear.named_parameters())), 2, start_method=method)
    assert total.tolist() == [1.0, 2.0]
    assert torch.equal(linear.weight, before * 2)


def test_a_tensor_that_is_sent_is_shared():
    context = mp.get_context("spawn")
    queue, done = context.Queue(), context.Event()
    process = context.Process(target=fill, args=(queue, done))
    process.start()
    x, part, parameter, empty = queue.get(timeout=60)
    done.set()
    process.join(60)
    assert x.tolist() == [0, 1, 2, 3] and part.tolist() == [1, 2] and empty.shape == (0,)
    assert x.is_shared() and type(parameter) is torch.nn.Parameter and parameter.requires_grad
    part.zero_()
    assert x.tolist() == [0, 0, 0, 3]


def test_histories_do_not_cross():
    from multiprocessing.reduction import ForkingPickler

    with pytest.raises(RuntimeError, match="non-leaf tensor which requires_grad"):
        ForkingPickler.dumps(torch.ones(2, requires_grad=True) * 2)


def test_failures():
    with pytest.raises(mp.ProcessRaisedException, match="the second one fails") as raised:
        mp.spawn(fail, nprocs=2)
    assert raised.value.error_index == 1
    with pytest.raises(mp.ProcessExitedException, match="exit code 7"):
        mp.spawn(leave)


def test_strategies():
    assert mp.get_sharing_strategy() in mp.get_all_sharing_strategies()
    mp.set_sharing_strategy("file_descriptor")
    with pytest.raises(NotImplementedError):
        mp.set_sharing_strategy("file_system")
