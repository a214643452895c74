from __future__ import annotations

import numpy as np
import pytest
import torch

from core.errors import CancelledError, TrainingError
from core.training import Schedule, mean_loss, one_thread, side_by_side, train


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
    assert all(set(numbers) == {"train", "validation"} for _, _, numbers in steps)


def test_answering_false_cancels_the_run():
    with pytest.raises(CancelledError, match="a stop at train"):
        train(fresh(), squared, line(), line(seed=1), SCHEDULE, lambda *_: False)


def test_a_loss_that_is_not_finite_is_refused_with_a_cure():
    def broken(model, x, y):
        return squared(model, x, y) * float("nan")

    with pytest.raises(TrainingError, match="Lower the learning rate"):
        train(fresh(), broken, line(), line(seed=1), SCHEDULE)


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
