from __future__ import annotations

import logging
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from core import steps
from core.steps import RATES, WARM, Replay, Steps, cosine, one_cycle


@pytest.mark.parametrize("taken", [1, 2, 3, 10, 250])
def test_one_cycle_gives_the_rates_and_momenta_of_torch(taken):
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=taken + 1)
    expected = []
    for _ in range(taken):
        group = optimizer.param_groups[0]
        expected.append((group["lr"], group["betas"][0]))
        optimizer.step()
        cycle.step()
    assert np.column_stack(one_cycle(0.01, taken)) == pytest.approx(np.array(expected), rel=1e-9)


def test_cosine_falls_from_the_peak_as_torch_does():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    expected = []
    for _ in range(40):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        falling.step()
    rates, momenta = cosine(0.01, 40)
    assert rates == pytest.approx(expected)
    assert set(momenta) == {0.9}


def weigh(model, x, y):
    return (model(x) - y).square().mean()


@pytest.mark.parametrize("rates", RATES)
def test_an_epoch_takes_every_row_once_in_the_order_given(rates):
    seen = []

    def noted(model, x, y):
        seen.append(x[:, 0].tolist())
        return weigh(model, x, y)

    rows = torch.arange(10.0)[:, None]
    order = np.random.default_rng(0).permutation(10)
    learner = Steps(
        torch.nn.Linear(1, 1), noted, [rows, rows],
        batch=4, epochs=1, peak=0.01, rates=rates, halved=False,
    )  # fmt: skip
    assert list(learner.epoch(0, order)) == [4, 8, 10]
    assert [value for batch in seen for value in batch] == order.tolist()
    assert [len(batch) for batch in seen] == [4, 4, 2]


def test_the_mean_loss_weighs_a_short_last_batch_by_its_rows():
    rows = torch.arange(10.0)[:, None]
    losses = []

    def noted(model, x, y):
        value = weigh(model, x, y)
        losses.append((value.item(), len(x)))
        return value

    learner = Steps(
        torch.nn.Linear(1, 1), noted, [rows, rows],
        batch=4, epochs=1, peak=0.01, rates="cosine", halved=False,
    )  # fmt: skip
    list(learner.epoch(0, np.arange(10)))
    assert learner.mean() == pytest.approx(sum(value * n for value, n in losses) / 10)


# ── Replay: the graph of a GPU, played by a stand-in ─────────────────────────────────────────────


class Recorder:
    """Stands in for a CUDA graph: keeps the step instead of running it, and runs it when replayed."""

    def __init__(self):
        self.replayed = 0

    def replay(self):
        self.replayed += 1


@pytest.fixture
def recording(monkeypatch):
    made = []

    @contextmanager
    def graph(recorder, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"
        made.append(recorder)
        yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recorder)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    return made


def test_a_few_steps_run_by_themselves_then_one_is_recorded_and_all_further_replayed(recording):
    ran = []
    replay = Replay(lambda rows: ran.append(rows.tolist()), torch.arange(3))
    for start in range(WARM + 4):
        replay(torch.arange(start, start + 3))
    # the last run is the recording; what a graph does it does to the rows that lie where it was recorded
    assert ran == [[start, start + 1, start + 2] for start in range(WARM + 1)]
    assert [recorder.replayed for recorder in recording] == [4]
    assert replay.rows.tolist() == [WARM + 3, WARM + 4, WARM + 5]


def test_a_step_that_cannot_be_recorded_goes_on_by_itself_and_the_log_says_so(recording, caplog):
    ran, tries = [], iter(range(WARM + 5))

    def reads(rows):
        if next(tries) == WARM:
            raise RuntimeError("operation not permitted when stream is capturing")
        ran.append(rows.tolist())

    replay = Replay(reads, torch.arange(2))
    with caplog.at_level(logging.WARNING, logger=steps.__name__):
        for start in range(WARM + 3):
            replay(torch.arange(start, start + 2))
    assert "not replayed as a graph: operation not permitted" in caplog.text
    assert ran == [[start, start + 1] for start in range(WARM + 3)]
    assert [recorder.replayed for recorder in recording] == [0]


def test_out_of_memory_while_recording_is_not_taken_for_a_step_that_cannot_be(recording):
    def greedy(rows):
        if recording:
            raise torch.OutOfMemoryError("CUDA out of memory")

    replay = Replay(greedy, torch.arange(2))
    with pytest.raises(torch.OutOfMemoryError):
        for _ in range(WARM + 1):
            replay(torch.arange(2))


def test_replayed_steps_learn_each_its_own_rows_at_its_own_rate(monkeypatch):
    """A GPU's way on the CPU: a stand-in graph runs what was recorded, on what then lies where it was recorded."""

    class Played:
        def __init__(self, replay):
            self.replay = lambda: replay.step(replay.rows)

    monkeypatch.setattr(Replay, "_record", lambda self: setattr(self, "graph", Played(self)))
    rng = np.random.default_rng(0)
    rows = [torch.from_numpy(rng.standard_normal((50, 3)).astype(np.float32)) for _ in range(2)]
    orders = [rng.permutation(50) for _ in range(6)]
    nets = [torch.nn.Linear(3, 3) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())

    learner = Steps(
        nets[0], weigh, rows,
        batch=8, epochs=6, peak=0.05, rates="one-cycle", halved=False,
    )  # fmt: skip
    learner.on_cuda = True
    learner.optimizer = torch.optim.Adam(
        nets[0].parameters(), lr=torch.tensor(0.05), fused=True, capturable=True
    )
    for number, order in enumerate(orders):
        assert list(learner.epoch(number, order))[-1] == 50
    # batches of 8 and the 2 rows that are left over are recorded apart
    assert {size: replay.taken for size, replay in learner.replays.items()} == {8: 36, 2: 6}
    assert all(replay.graph is not None for replay in learner.replays.values())

    plain = torch.optim.Adam(nets[1].parameters())
    batches = [part for order in orders for part in torch.from_numpy(order).split(8)]
    for rate, batch in zip(one_cycle(0.05, 42)[0], batches, strict=True):
        plain.param_groups[0]["lr"] = rate
        plain.zero_grad()
        weigh(nets[1], *(part[batch] for part in rows)).backward()
        torch.nn.utils.clip_grad_norm_(nets[1].parameters(), steps.CLIP)
        plain.step()
    torch.testing.assert_close(nets[0].weight, nets[1].weight, rtol=1e-4, atol=1e-6)
