"""The threads of a training: chosen by measuring, changed when steps turn slow, written down, or as asked."""

import dataclasses

import pytest
import torch

from cae_lib import threads
from cae_lib.run import Run
from cae_lib.threads import Threads
from cae_lib.training import Interrupted, train
from tests.test_training import files, interrupt_at_step

CPU = torch.device("cpu")


@pytest.fixture
def free(tiny):
    """A configuration whose threads are measured, on a machine of four cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield dataclasses.replace(tiny, threads=0)
    torch.set_num_threads(before)


@pytest.fixture
def takes(monkeypatch):
    """Seconds of a step by threads, as the test says; returns what it reads, to be changed, and what was tried."""
    seconds, tried = {}, []

    def trial(self, model, x):
        tried.append(torch.get_num_threads())
        return seconds[tried[-1]]

    monkeypatch.setattr(Threads, "trial", trial)
    return seconds, tried


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [0.0]
    monkeypatch.setattr(threads.time, "perf_counter", lambda: now[0])
    return now


def chosen(config) -> tuple[Threads, int]:
    found = Threads(config, CPU, torch.float32)
    with found.begun_at(0):
        return found, torch.get_num_threads()


@pytest.mark.parametrize(
    ("seconds", "best", "tried_too"),
    [
        ({1: 0.10, 2: 0.06, 4: 0.04}, 4, []),
        ({1: 0.10, 2: 0.06, 4: 0.059}, 2, [4]),  # not worth two more threads
        ({1: 0.10, 2: 1.30, 4: 0.02}, 1, [2]),  # beside other work; more are not tried
        ({1: 0.10, 2: 0.097, 4: 0.02}, 1, [2]),
    ],
)
def test_more_threads_are_used_as_long_as_they_are_faster(free, takes, seconds, best, tried_too):
    takes[0].update(seconds)
    found, used = chosen(free)
    assert used == best and found.facts == {"threads": str(best), "thread_changes": [[0, best]]}
    assert takes[1][-1] in (best, *tried_too)
    assert torch.get_num_threads() == 4, "torch has its own number again"


def test_a_limit_that_is_no_power_of_two_is_tried_too(free, takes):
    torch.set_num_threads(3)
    takes[0].update({1: 3.0, 2: 2.0, 3: 1.0})
    assert chosen(free)[1] == 3 and takes[1] == [1, 2, 3]


def test_sixteen_threads_are_not_used_where_two_are_cores(free):
    """Measured for real: a tiny net has no use for sixteen threads, whatever machine this is."""
    torch.set_num_threads(16)
    assert chosen(free)[1] < 16


def test_a_number_that_is_asked_for_is_kept_and_nothing_measured(free, takes, clock):
    found = Threads(dataclasses.replace(free, threads=3), CPU, torch.float32)
    with found.begun_at(0):
        for step in range(100):
            clock[0] += 10
            found.watch(step)
        assert torch.get_num_threads() == 3
    assert takes[1] == [] and found.facts["thread_changes"] == [[0, 3]]


def test_a_gpu_s_training_leaves_the_processor_s_threads(free, takes):
    found = Threads(free, torch.device("cuda"), torch.bfloat16)
    with found.begun_at(0):
        assert torch.get_num_threads() == 4
    assert takes[1] == []


def test_slow_steps_are_measured_again_told_once_and_more_threads_come_back(free, takes, clock, capsys):
    seconds = takes[0]
    seconds.update({1: 0.10, 2: 0.05, 4: 0.06})
    found = Threads(free, CPU, torch.float32)

    def steps(count, each):
        for _ in range(count):
            clock[0] += each
            found.watch(steps.done)
            steps.done += 1

    steps.done = 0
    with found.begun_at(0):
        steps(200, 0.05)
        assert len(takes[1]) == 3, "as fast as expected: not measured again"
        seconds.update({1: 0.12, 2: 0.9, 4: 4.0})  # another program begins
        steps(4, 0.9)
        assert torch.get_num_threads() == 1
        steps(20, 0.12)
        seconds.update({1: 0.10, 2: 0.05, 4: 0.06})  # it has ended
        steps(400, 0.10)
        assert torch.get_num_threads() == 2
        seconds.update({1: 0.30, 2: 0.9, 4: 4.0})
        steps(4, 0.9)
        steps(40, 0.30)
        seconds.update({1: 0.90})
        steps(40, 0.90)
    assert found.facts["threads"] == "2 → 1 → 2 → 1"
    assert [count for _, count in found.changes] == [2, 1, 2, 1] and found.changes[1][0] in range(200, 205)
    told = capsys.readouterr().err
    assert told.count("times as long as at first") == 1 and "close what you do not need" in told


def test_what_is_done_between_epochs_is_not_a_slow_step(free, takes, clock):
    takes[0].update({1: 0.10, 2: 0.05, 4: 0.06})
    found = Threads(free, CPU, torch.float32)
    with found.begun_at(0):
        for step in range(500):
            if step % 50 == 0:
                clock[0] += 5  # an evaluation
                found.mark()
            clock[0] += 0.05
            found.watch(step)
    assert len(takes[1]) == 3


def test_one_thread_asks_ever_less_often_whether_more_would_pay(free, takes, clock):
    takes[0].update({1: 0.10, 2: 0.2})
    found = Threads(free, CPU, torch.float32)
    with found.begun_at(0):
        for step in range(36_000):  # an hour
            clock[0] += 0.10
            found.watch(step)
    assert 6 <= takes[1].count(2) <= 10


def test_a_resumed_training_goes_on_with_its_threads_and_says_them(free, tiny_data, tmp_path, takes, monkeypatch):
    takes[0].update({1: 0.10, 2: 0.05, 4: 0.06})
    used = []
    monkeypatch.setattr(Threads, "watch", lambda self, step: used.append(torch.get_num_threads()))
    with monkeypatch.context() as patch:
        interrupt_at_step(patch, 7)
        with pytest.raises(Interrupted):
            train(free, tiny_data, Run(tmp_path))
    takes[0].update({2: 5.0})  # would not be chosen now, but the same bits go first
    run = train(free, tiny_data, Run(tmp_path))
    assert set(used) == {2} and takes[1] == [1, 2, 4]
    assert run.provenance["threads"] == "2" and run.provenance["thread_changes"] == [[0, 2]]


def test_begun_with_one_thread_only_and_resumed_with_four_it_goes_on_and_asks_later(free, takes, clock, capsys):
    torch.set_num_threads(1)
    begun = Threads(free, CPU, torch.float32)
    with begun.begun_at(0):
        state = begun.state_dict()
    torch.set_num_threads(4)
    takes[0].update({1: 0.10, 2: 0.05, 4: 0.06})
    found = Threads(free, CPU, torch.float32)
    found.load_state_dict(state)
    with found.begun_at(7):
        for step in range(100):
            clock[0] += 0.10
            found.watch(step)
        assert torch.get_num_threads() == 1 and takes[1] == []
        for step in range(100, 300):
            clock[0] += 0.10
            found.watch(step)
        assert torch.get_num_threads() == 2
    assert "times as long" not in capsys.readouterr().err


def test_another_number_of_threads_is_another_order_of_adding_and_no_other_result(free, tiny_data, tmp_path):
    runs = [
        train(dataclasses.replace(free, threads=n, epochs=1), tiny_data, Run(tmp_path / name))
        for n, name in ((1, "a"), (1, "b"), (2, "c"), (2, "d"))
    ]
    a, b, c, d = (files(run, "model.safetensors") for run in runs)
    assert a == b and c == d, "the same number, the same bits"
    assert runs[2].history()["validation_loss"] == pytest.approx(runs[0].history()["validation_loss"], rel=1e-3)
