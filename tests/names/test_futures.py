"""Results that come later, beside PyTorch; settings of a compiler that is not there."""

import threading

import pytest

import flambeau
from tests.beside import same

MAKE = "F = torch.futures", "f, g = F.Future(), F.Future()"
CASES = """
f.set_result(3); out = f.done(), f.wait(), f.value()
g = f.then(lambda x: x.value() + 1); f.set_result(3); out = g.wait()
f.set_exception(ValueError("no")); f.wait()
f.set_exception(ValueError("no")); f.value()
f.set_result(1); f.set_result(2)
h = F.collect_all([f, g]); f.set_result(1); a = h.done(); g.set_result(2); out = a, h.done()
f.set_result(1); g.set_result(2); out = F.wait_all([f, g])
f.set_exception(ValueError("no")); g.set_result(1); F.wait_all([f, g])
f.value()
f.set_exception(3)
out = []; f.add_done_callback(lambda x: out.append(x.value())); f.set_result(5)
f.set_result(5); out = []; f.add_done_callback(lambda x: out.append(x.value()))
h = f.then(lambda x: 1 / 0); f.set_result(3); h.wait()
out = F.collect_all([]).wait(), F.wait_all([])
""".strip().split("\n")


@pytest.mark.parametrize("case", CASES)
def test_case(case):
    same(*MAKE, "out = None", case, "out", words=0 if case == "f.value()" else 5)


def test_one_thread_waits_for_another():
    future = flambeau.futures.Future()
    thread = threading.Timer(0.05, future.set_result, [flambeau.ones(2)])
    thread.start()
    assert future.wait().tolist() == [1, 1]
    thread.join()


def test_settings_of_the_other_compiler():
    flambeau._inductor.config.coordinate_descent_tuning = True
    flambeau._logging.set_logs(graph_breaks=True)
    assert flambeau._inductor.config.coordinate_descent_tuning is True
    flambeau._inductor.config.coordinate_descent_tuning = False
