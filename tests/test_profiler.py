"""torch.profiler: what it measures is there, adds up, and changes nothing in what is computed."""

import gzip
import json
import time

import pytest

import flambeau as torch
from flambeau import profiler
from flambeau.autograd import profiler as module
from flambeau.profiler import ProfilerAction, profile, record_function
from flambeau.settings import settings


def training(steps=8, patience=0.0):
    """A function that does one step, compiled by now; and its parameter."""
    torch.manual_seed(0)
    x, w = torch.randn(32, 20), torch.randn(20, 5, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)

    def step():
        loss = torch.nn.functional.softmax(x @ w, dim=1).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    with settings.override(patience=patience):
        for _ in range(steps):
            step()
    return step, w


def keyed(prof):
    return {average.key: average for average in prof.key_averages()}


def test_calls_get_shares_of_the_kernels_that_do_them():
    step, _ = training()
    with settings.override(patience=0.0), profile() as prof:
        step()
    (run,) = [e for e in prof.events() if e.name == "flambeau::run_compiled"]
    calls = run.cpu_children
    assert {"aten::mm", "aten::softmax", "aten::sgd_update"} <= {call.name for call in calls}
    assert all(call.cpu_time_total > 0 for call in calls if call.name == "aten::mm")
    for call in calls:
        assert call.cpu_time_total == pytest.approx(
            sum(k.duration for k in call.kernels), abs=1e-3
        )
    inside = sum(call.cpu_time_total for call in calls)
    assert run.self_cpu_time_total == pytest.approx(run.cpu_time_total - inside, abs=1e-3)
    assert 0 < inside <= run.cpu_time_total
    assert prof.self_cpu_time_total == pytest.approx(
        sum(e.cpu_time_total for e in prof.events() if e.cpu_parent is None), abs=1e-2
    )


def test_a_profile_changes_no_bit():
    results = []
    for active in (False, True):
        step, w = training(steps=3)
        with settings.override(patience=0.0), profile(enabled=active):
            losses = [step().item() for _ in range(4)]
        results.append((losses, w.tolist()))
    assert results[0] == results[1]


def test_calls_one_by_one():
    step, _ = training(steps=0)
    with settings.override(compile=False), profile(record_shapes=True, with_stack=True) as prof:
        step()
    found = keyed(prof)
    assert "flambeau::run_call_by_call" in found and "flambeau::run_compiled" not in found
    (product, *_) = [e for e in prof.events() if e.name == "aten::mm"]
    assert product.input_shapes == [[32, 20], [20, 5]]
    assert __file__ in product.stack[0] and product.cpu_time_total > 0


def test_compiling_is_an_event_of_its_own():
    x = torch.ones(7, 77)
    with settings.override(patience=0.0), profile() as prof:
        for _ in range(4):
            (x * 2 + 1).cos().sum().item()
    found = keyed(prof)
    assert found["flambeau::compile"].count >= 1 and found["flambeau::profiler_setup"].count >= 1


def test_ranges_nest():
    with profile(activities=[profiler.ProfilerActivity.CPU]) as prof:
        for _ in range(2):
            with record_function("outer"):
                with record_function("inner"):
                    (torch.ones(300) + 1).sum()
                time.sleep(0.002)
    found = keyed(prof)
    outer, inner = found["outer"], found["inner"]
    assert outer.count == inner.count == 2 and outer.is_user_annotation
    assert outer.cpu_time_total > inner.cpu_time_total > 0
    assert outer.self_cpu_time_total == pytest.approx(
        outer.cpu_time_total - inner.cpu_time_total, abs=1e-2
    )
    assert outer.self_cpu_time_total > 3000 and outer.cpu_time == outer.cpu_time_total / 2
    parents = {e.name: e.cpu_parent for e in prof.events()}
    assert parents["inner"].name == "outer" and parents["outer"] is None


def test_a_range_runs_what_it_recorded():
    x = torch.ones(4)
    with profile():
        with record_function("range"):
            y = x + 1
        assert y._storage.buffer is not None
    with record_function("nobody measures"):
        z = x + 2
    assert z._storage.buffer is None


def test_the_table():
    step, _ = training()
    options = dict(record_shapes=True, profile_memory=True, with_stack=True, with_flops=True)
    with settings.override(patience=0.0), profile(**options) as prof:
        with record_function("a range with a name so long that no column would want to have it"):
            step()
    table = prof.key_averages().table(sort_by="cpu_time_total", row_limit=3)
    rule, head, _, *rows, last, total, end = table.split("\n")
    assert rule == last and set(rule) == {"-", " "} and len(rows) == 3 and end == ""
    for name in ("Name", "Self CPU %", "CPU total", "CPU Mem", "# of Calls", "Total KFLOPs"):
        assert name in head
    assert "Input Shapes" not in head and "Source Location" not in head
    assert rows[0].split("  ")[0].endswith("...") and total.startswith("Self CPU time total: ")
    by_shape = prof.key_averages(group_by_input_shape=True).table(time_unit="ms", header="TITLE")
    assert "[[32, 20], [20, 5]]" in by_shape and "TITLE" in by_shape and "us" not in by_shape
    by_source = prof.key_averages(group_by_stack_n=1).table()
    assert "Source Location" in by_source and "test_profiler.py(" in by_source
    with pytest.raises(AttributeError, match="has no attribute 'beauty'"):
        prof.key_averages().table(sort_by="beauty")


def test_operations_and_memory():
    a, b = torch.randn(64, 32), torch.randn(32, 16)
    with settings.override(patience=0.0), profile(with_flops=True, profile_memory=True) as prof:
        for _ in range(3):
            c = a @ b
            c.sum().item()
    (*_, product) = [e for e in prof.events() if e.name == "aten::mm"]
    assert product.flops == 2 * 64 * 32 * 16 and product.self_cpu_memory_usage == 64 * 16 * 4


def test_the_trace(tmp_path):
    step, _ = training()
    with settings.override(patience=0.0), profile(record_shapes=True) as prof:
        with record_function("work"):
            step()
    prof.add_metadata("who", 'me, "myself"')
    prof.add_metadata_json("what", '{"a": 1}')
    prof.export_chrome_trace(str(tmp_path / "trace.json"))
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert trace["who"] == 'me, "myself"' and trace["what"] == {"a": 1}
    slices = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert {e["cat"] for e in slices} == {"user_annotation", "cpu_op", "kernel"}
    (work,) = [e for e in slices if e["name"] == "work"]
    kernels = [e for e in slices if e["cat"] == "kernel"]
    for one in kernels:  # kernels lie in the range, and their calls in them
        assert work["ts"] <= one["ts"] and one["ts"] + one["dur"] <= work["ts"] + work["dur"]
        assert one["args"]["calls"]
    products = [e for e in slices if e["name"] == "aten::mm"]
    assert products and all(e["args"]["Input Dims"] for e in products)
    prof.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    with gzip.open(tmp_path / "trace.json.gz", "rt") as file:
        assert len(json.load(file)["traceEvents"]) == len(trace["traceEvents"])


def test_stacks(tmp_path):
    step, _ = training()
    with settings.override(patience=0.0), profile(with_stack=True) as prof:
        for _ in range(20):
            step()
    prof.export_stacks(str(tmp_path / "stacks"), "self_cpu_time_total")
    for row in (tmp_path / "stacks").read_text().splitlines():
        names, value = row.rsplit(" ", 1)
        assert "test_profiler.py(" in names and ";aten::" in names and int(value) > 0
    with pytest.raises(ValueError, match="metric should be one of"):
        prof.export_stacks(str(tmp_path / "stacks"), "beauty")


@pytest.mark.filterwarnings("ignore:Profiler won't be using warmup")
def test_schedules_are_pytorchs():
    theirs = pytest.importorskip("torch.profiler")
    options = [
        dict(wait=1, warmup=1, active=2),
        dict(wait=1, warmup=1, active=2, repeat=2, skip_first=3),
        dict(wait=0, warmup=0, active=1, repeat=1),
        dict(wait=2, warmup=1, active=1, skip_first=1, skip_first_wait=1),
    ]
    for option in options:
        mine, other = profiler.schedule(**option), theirs.schedule(**option)
        assert [mine(n).name for n in range(15)] == [other(n).name for n in range(15)]
    with pytest.raises(AssertionError):
        profiler.schedule(wait=0, warmup=0, active=0)


def names_of_cycles(make, options, acc_events=False):
    """What each on_trace_ready sees, and what is left at the end, of six steps with a range."""
    seen = []

    def ready(prof):
        steps = [a for a in prof.key_averages() if a.key in ("range", "ProfilerStep*")]
        seen.append(sorted((a.key, a.count) for a in steps))

    planned = make.schedule(**options)
    with make.profile(schedule=planned, on_trace_ready=ready, acc_events=acc_events,
                      activities=[make.ProfilerActivity.CPU]) as prof:  # fmt: skip
        for _ in range(7):
            with make.record_function("range"):
                pass
            prof.step()
    return seen


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("acc_events", [False, True])
@pytest.mark.parametrize("options", [
    dict(wait=1, warmup=1, active=2, repeat=1), dict(wait=1, warmup=1, active=1),
    dict(wait=0, warmup=1, active=2, repeat=2),
], ids=str)  # fmt: skip
def test_steps_of_a_schedule(options, acc_events):
    theirs = pytest.importorskip("torch.profiler")
    mine = names_of_cycles(profiler, options, acc_events)
    assert mine == names_of_cycles(theirs, options, acc_events)


def test_what_is_found_stays_after_the_last_cycle():
    with profile(schedule=profiler.schedule(wait=1, warmup=1, active=1, repeat=1)) as prof:
        for _ in range(5):
            torch.ones(3).sum().item()
            prof.step()
    assert keyed(prof)["ProfilerStep*"].count == 1 and keyed(prof)["aten::sum_all"].count == 1
    assert prof.current_action is ProfilerAction.NONE


def test_decorator_and_handler(tmp_path):
    @record_function("work")
    def work():
        return torch.ones(2).sum()

    handler = profiler.tensorboard_trace_handler(str(tmp_path), "me", use_gzip=True)
    with profile(on_trace_ready=handler):
        work()
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("me.") and path.name.endswith(".pt.trace.json.gz")
    with gzip.open(path, "rt") as file:
        assert "work" in {e["name"] for e in json.load(file)["traceEvents"]}


def test_what_is_refused():
    with pytest.raises(AssertionError, match="No valid profiler activities"):
        profile(activities=[])
    with pytest.raises(AssertionError, match="must be initialized"):
        profile().key_averages()
    with pytest.raises(NotImplementedError):
        profile().export_memory_timeline("timeline")


def test_programs_run_as_always_afterwards():
    from flambeau.trace import programs

    with profile():
        assert programs.timed is not None
    assert programs.timed is None and not module._active
    with pytest.raises(ZeroDivisionError), profile():
        1 / 0  # noqa: B018 an error inside ends the profile
    assert programs.timed is None


def test_errors_are_what_they_are_without():
    x, index = torch.randn(5), torch.tensor([0, 1])
    with settings.override(patience=0.0), profile():
        for n in (1, 2, 3, 4):
            (x.index_select(0, index * n) * 2).sum().item()
        with pytest.raises(IndexError, match="index"):
            (x.index_select(0, index * 9) * 2).sum().item()
        assert (x.index_select(0, index) * 2).sum().item() == (x[:2] * 2).sum().item()
