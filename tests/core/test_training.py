from __future__ import annotations

import numpy as np
import pytest
import torch

from core import training
from core.devices import Running
from core.errors import CancelledError, DeviceError, DivergedError, PersistenceError, TrainingError
from core.steps import CLIP, mean_loss
from core.training import (
    History,
    Schedule,
    initialise,
    one_thread,
    running,
    side_by_side,
    to_state,
    train,
)


def line(slope=2.0, n=64, seed=0):
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 1)).astype(np.float32))
    return x, slope * x + 1.0


def squared(model, x, y):
    return (model(x) - y).square().mean()


def fresh():
    model = torch.nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(0.0)
        model.bias.fill_(0.0)
    return model


SCHEDULE = Schedule(epochs=60, batch=16, rate=0.1, patience=10, seed=0)


@pytest.fixture(autouse=True)
def no_pulse(monkeypatch):
    """On a busy machine a second can pass within any epoch."""
    monkeypatch.setattr(training, "PULSE", float("inf"))


def test_a_line_is_learned():
    model = fresh()
    history = train(model, squared, line(), line(seed=1), SCHEDULE)
    assert mean_loss(model, squared, line(seed=2)) < 1e-3
    assert model.weight.item() == pytest.approx(2.0, abs=0.05)
    assert history.validation[history.best] == min(history.validation)


def test_learning_stops_after_patience_epochs_without_gain_and_keeps_the_best_weights():
    # what helps in training hurts in validation, so the first epochs are the best
    model = fresh()
    history = train(model, squared, line(slope=2.0), line(slope=-2.0, seed=1), SCHEDULE)
    assert len(history.train) == history.best + 1 + SCHEDULE.patience
    kept = mean_loss(model, squared, line(slope=-2.0, seed=1))
    assert kept == pytest.approx(history.validation[history.best], rel=1e-6)
    assert kept == min(history.validation)


def test_every_epoch_is_told_with_both_losses():
    steps = []
    schedule = Schedule(epochs=3, batch=16, rate=0.1, patience=10, seed=0)
    train(fresh(), squared, line(), line(seed=1), schedule, lambda *step: steps.append(step))
    assert [(stage, share) for stage, share, _ in steps] == [
        ("train", pytest.approx(1 / 3)),
        ("train", pytest.approx(2 / 3)),
        ("train", 1.0),
    ]
    assert [numbers["epoch"] for *_, numbers in steps] == [1, 2, 3]
    assert {frozenset(numbers) for *_, numbers in steps} == {
        frozenset(
            {
                "train", "validation", "epoch", "epochs", "rows_per_second", "device_memory",
                "resumed",
            }
        )
    }  # fmt: skip
    assert all(numbers["rows_per_second"] > 0 for *_, numbers in steps)
    assert {(numbers["epochs"], numbers["resumed"]) for *_, numbers in steps} == {(3, 0)}


def test_a_long_epoch_is_told_of_while_it_lasts(monkeypatch):
    monkeypatch.setattr(training, "PULSE", 0.0)
    steps = []
    schedule = Schedule(epochs=2, batch=16, rate=0.1, seed=0)
    train(fresh(), squared, line(), line(seed=1), schedule, lambda *step: steps.append(step))
    within = [(share, numbers) for stage, share, numbers in steps if stage == "steps"]
    assert [share for share, _ in within[:4]] == [0.125, 0.25, 0.375, 0.5]
    assert within[5][1] == {"epoch": 2, "rows": 32}


def test_answering_false_cancels_the_run():
    with pytest.raises(CancelledError, match="a stop at train"):
        train(fresh(), squared, line(), line(seed=1), SCHEDULE, lambda *_: False)


def test_a_loss_that_is_not_finite_is_refused_with_a_cure():
    def broken(model, x, y):
        return squared(model, x, y) * float("nan")

    with pytest.raises(
        DivergedError, match=r"loss of epoch 1 must be finite[\s\S]*Lower the learning"
    ):
        train(fresh(), broken, line(), line(seed=1), SCHEDULE)


def test_an_infinite_loss_is_told_with_its_own_epoch():
    epochs = []

    def explodes(model, x, y):
        return squared(model, x, y) * (float("inf") if len(epochs) == 2 else 1.0)

    with pytest.raises(DivergedError, match="epoch 3"):
        train(fresh(), explodes, line(), line(seed=1), SCHEDULE, lambda *step: epochs.append(step))


def test_the_same_seed_learns_the_same_weights():
    models = [fresh(), fresh()]
    for model in models:
        train(model, squared, line(), line(seed=1), SCHEDULE)
    assert models[0].weight.item() == models[1].weight.item()


def test_torch_keeps_to_one_thread_and_gets_its_threads_back_even_after_an_error():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(TrainingError), one_thread():
            assert torch.get_num_threads() == 1
            raise TrainingError.of("test", "this", "raised", None)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_every_thread_of_a_pool_keeps_torch_to_itself():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        counts = side_by_side(lambda _: np.array([torch.get_num_threads()]), (8,), 1)
        assert counts.tolist() == [1] * 8
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


# ── The same numbers ─────────────────────────────────────────────────────────────────────────────


class Recurrent(torch.nn.Module):
    """A small net with a cell, so that rounding would show."""

    def __init__(self, seed=0):
        super().__init__()
        self.cell = torch.nn.LSTM(3, 8, batch_first=True)
        self.out = torch.nn.Linear(8, 1)
        initialise(self, 0.3, seed)

    def forward(self, x):
        return self.out(self.cell(x)[0][:, -1])


def walks(n=90, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, 6, 3)).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(np.tanh(x.sum(axis=1)[:, :1]))


LONG = Schedule(epochs=7, batch=16, rate=0.02, patience=7, seed=3)


def by_the_book(model, parts, schedule):
    """The loop as torch's own documentation writes it: an Adam, a scheduler, a number read each step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=schedule.rate)
    per_epoch = -(-len(parts[0][0]) // schedule.batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.rate, total_steps=schedule.epochs * per_epoch + 1
    )
    rng, losses = np.random.default_rng(schedule.seed), ([], [])
    for _ in range(schedule.epochs):
        total, order = 0.0, torch.from_numpy(rng.permutation(len(parts[0][0])))
        for rows in order.split(schedule.batch):
            optimizer.zero_grad()
            loss = squared(model, *(part[rows] for part in parts[0]))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            cycle.step()
            total += loss.item() * len(rows)
        losses[0].append(total / len(order))
        losses[1].append(squared(model, *parts[1]).item())
    return losses


def test_the_losses_are_those_of_plain_torch():
    parts = walks(), walks(seed=1)
    history = train(Recurrent(), squared, *parts, LONG)
    expected = by_the_book(Recurrent(), parts, LONG)
    assert history.train == pytest.approx(expected[0], rel=1e-5)
    assert history.validation == pytest.approx(expected[1], rel=1e-5)


class Kept(dict):
    """Checkpoints in memory."""

    def load(self, key):
        return self.get(key)

    def save(self, key, data):
        self[key] = data


def lessons(checkpoints, on_step=None):
    """Two nets learned in one fit, and their histories."""
    nets, histories = [Recurrent(), Recurrent(seed=1)], []
    with running("cpu", checkpoints):
        histories = [train(net, squared, walks(), walks(seed=1), LONG, on_step) for net in nets]
    return [to_state(net) for net in nets], histories


@pytest.mark.parametrize("stop", range(1, 14))
def test_resumed_after_any_epoch_it_learns_the_same_weights_to_the_last_bit(stop):
    expected, histories = lessons(None)
    told, kept = [], Kept()

    def until(stage, share, numbers):
        told.append(numbers)
        return len(told) < stop

    with pytest.raises(CancelledError):
        lessons(kept, until)
    before = told.copy()
    stop = 10_000
    told.clear()
    weights, again = lessons(kept, until)
    assert again == histories
    for ours, theirs in zip(weights, expected, strict=True):
        assert all(np.array_equal(ours[role], theirs[role]) for role in theirs)
    # the curve is whole, and what was known before is marked
    assert [numbers["epoch"] for numbers in told] == [1, 2, 3, 4, 5, 6, 7] * 2
    assert [numbers["resumed"] for numbers in told] == [1] * len(before) + [0] * (14 - len(before))
    assert [numbers["train"] for numbers in told[: len(before)]] == [
        numbers["train"] for numbers in before
    ]


def test_a_run_killed_between_checkpoints_goes_on_from_the_latest(monkeypatch):
    expected, histories = lessons(None)
    clock, kept, epochs = [0.0], Kept(), []
    monkeypatch.setattr(training.time, "monotonic", lambda: clock[0])

    def killed(stage, share, numbers):
        epochs.append(numbers["epoch"])
        clock[0] += 2.0
        if len(epochs) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lessons(kept, killed)
    assert len(kept) == 1
    told = []
    weights, again = lessons(kept, lambda stage, share, numbers: told.append(numbers["resumed"]))
    # 5 s had passed after the fourth epoch only
    assert told[:7] == [1, 1, 1, 1, 0, 0, 0]
    assert again == histories
    assert all(np.array_equal(weights[0][role], expected[0][role]) for role in expected[0])


def test_another_schedule_does_not_go_on_from_a_checkpoint():
    kept = Kept()
    with running("cpu", kept):
        train(fresh(), squared, line(), line(seed=1), Schedule(epochs=2, batch=16))
    told = []
    with running("cpu", kept):
        schedule = Schedule(epochs=3, batch=16)
        train(fresh(), squared, line(), line(seed=1), schedule, lambda *step: told.append(step[2]))
    assert [numbers["resumed"] for numbers in told] == [0, 0, 0]
    assert len(kept) == 2


def test_a_damaged_checkpoint_is_refused_with_a_cure():
    kept = Kept()
    lessons(kept)
    for key in kept:
        kept[key] = kept[key][:-1]
    with pytest.raises(PersistenceError, match="Start the training anew"):
        lessons(kept)


# ── Devices ──────────────────────────────────────────────────────────────────────────────────────


class Gpu:
    name, total_memory = "Some GPU", 24 << 30


def test_the_devices_are_the_cpu_and_each_gpu_by_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Gpu)
    cpu, *gpus = training.devices()
    assert cpu.id == "cpu" and cpu.memory_bytes > 1 << 28
    assert gpus == [training.Device(f"cuda:{index}", "Some GPU", 24 << 30) for index in range(2)]
    with running("auto") as run:
        assert run.device == "cuda:0"
    with running("cuda:1") as run:
        assert run.device == "cuda:1"


def test_without_a_gpu_auto_is_the_cpu_and_a_gpu_by_name_is_refused_with_those_there_are(
    monkeypatch,
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with running("auto") as run:
        assert run.device == "cpu"
    with (
        pytest.raises(DeviceError, match=r"one of auto, cpu\. Got 'cuda:0'"),
        running("cuda:0"),
    ):
        pass


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_out_of_memory_is_said_and_tried_once_more_on_the_cpu(monkeypatch, error):
    # "cpu:0" is the CPU under a second name, so it can stand in for the device that gives up
    monkeypatch.setattr(training, "current", lambda: Running(device="cpu:0"))
    asked, told = [], []

    def greedy(model, x, y):
        asked.append(model.weight.detach().clone())
        if len(asked) == 6:
            raise error
        return squared(model, x, y)

    model = fresh()
    history = train(model, greedy, line(), line(seed=1), SCHEDULE, lambda *step: told.append(step))
    stages = [stage for stage, *_ in told]
    assert stages[:3] == ["train", "out of memory on cpu:0, goes on on cpu", "train"]
    # it begins anew, from the weights it was given
    assert asked[6].item() == 0.0
    assert told[2][2]["epoch"] == 1
    monkeypatch.undo()
    assert history == train(fresh(), squared, line(), line(seed=1), SCHEDULE)


def test_out_of_memory_late_goes_on_from_the_latest_epoch_where_checkpoints_are_kept(monkeypatch):
    run = Running(device="cpu:0", checkpoints=Kept())
    monkeypatch.setattr(training, "current", lambda: run)
    told = []

    def greedy(model, x, y):
        if len(told) == 3:
            told.append("out of memory")
            raise torch.OutOfMemoryError("CUDA out of memory")
        return squared(model, x, y)

    def on_step(stage, share, numbers):
        told.append((numbers["epoch"], numbers["resumed"]) if numbers else stage)

    history = train(fresh(), greedy, line(), line(seed=1), SCHEDULE, on_step)
    assert told[4:9] == ["out of memory on cpu:0, goes on on cpu", (1, 1), (2, 1), (3, 1), (4, 0)]
    monkeypatch.undo()
    assert history == train(fresh(), squared, line(), line(seed=1), SCHEDULE)


def test_out_of_memory_on_the_cpu_too_is_not_hidden(monkeypatch):
    monkeypatch.setattr(training, "current", lambda: Running(device="cpu:0"))

    def greedy(model, x, y):
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        train(fresh(), greedy, line(), line(seed=1), SCHEDULE)


def test_any_other_error_of_a_gpu_is_not_taken_for_a_lack_of_memory(monkeypatch):
    monkeypatch.setattr(training, "current", lambda: Running(device="cpu:0"))

    def broken(model, x, y):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        train(fresh(), broken, line(), line(seed=1), SCHEDULE)


def test_in_half_precision_it_learns_much_the_same_with_weights_and_losses_in_single():
    seen = set()

    def watched(model, x, y):
        answer = model(x)
        loss = (answer - y).square().mean()
        seen.add((answer.dtype, loss.dtype))
        return loss

    model = Recurrent()
    with running("cpu", precision="half"):
        history = train(model, watched, walks(), walks(seed=1), LONG)
    assert seen == {(torch.bfloat16, torch.float32)}
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    exact: History = train(Recurrent(), squared, walks(), walks(seed=1), LONG)
    assert history.validation == pytest.approx(exact.validation, rel=0.05)


def test_blocks_nest_and_end():
    with running("cpu", precision="half"):
        with running("cpu", precision="single"):
            assert training.current().precision == "single"
        assert training.current().precision == "half"
    assert training.current().precision == "auto"
