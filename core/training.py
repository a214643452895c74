"""The one training loop: every torch model learns here, so all stop, restore and cancel alike."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats, OnStep, Params, State, param, report
from core.errors import TrainingError

if TYPE_CHECKING:
    import torch

    Tensors = Sequence[torch.Tensor]
    Loss = Callable[..., torch.Tensor]

CHUNK = 1_024
"""Rows at once where no gradient is kept: enough to fill a core, few enough to stay in its cache."""
Net = TypeVar("Net", bound="torch.nn.Module")

PREFIX = "net."
"""What the roles of weights in a state begin with."""
SINGLE = 1e-5
"""Tolerance of answers in single precision: where a matrix lies in memory decides how its products are added up."""
CLIP = 1.0
"""Norm above which a gradient is cut; recurrent nets need it (Pascanu, Mikolov & Bengio 2013)."""


@dataclass(frozen=True)
class Schedule(Params):
    """How long and how fast to learn: what the parameters of every net begin with."""

    epochs: int = param(24, help="Most passes over the training rows", low=1, high=1_000)
    patience: int = param(
        10, help="Passes without a better validation loss that end it", low=1, high=100
    )
    batch: int = param(128, help="Rows per step", low=1, high=65_536)
    rate: float = param(0.005, help="Peak learning rate", low=1e-6, high=1.0)


@dataclass(frozen=True)
class History:
    """Mean loss per epoch, and the epoch (from 0) whose weights were kept."""

    train: tuple[float, ...]
    validation: tuple[float, ...]
    best: int


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch on the calling thread for the block: its pool spins while it waits, and small nets only wait.

    On a busy machine of two cores a fit took 310 s with a pool of two and 6 s without.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(
    answer: Callable[[slice], NDArray[Any]], shape: tuple[int, ...], step: int = CHUNK
) -> Floats:
    """What `answer` gives for the rows of `shape`, `step` rows at a time, a thread for each core.

    In every one of them torch keeps to that thread: none waits for another, and no digit depends on how many
    there are.
    """
    import torch

    answers = np.empty(shape)

    def fill(start: int) -> None:
        rows = slice(start, start + step)
        with torch.inference_mode():
            answers[rows] = answer(rows)

    # a new thread begins with the pool of its own that `one_thread` denies the calling one
    workers = ThreadPoolExecutor(os.cpu_count(), "torch", torch.set_num_threads, (1,))
    with one_thread(), workers as pool:
        list(pool.map(fill, range(0, shape[0], step)))
    return answers


def train(
    model: torch.nn.Module,
    loss: Loss,
    training: Tensors,
    validation: Tensors,
    schedule: Schedule,
    on_step: OnStep | None = None,
) -> History:
    """Fit `model` in place with Adam on a one-cycle rate and leave it with its best weights.

    loss       : (model, *batch) → scalar mean loss of the batch
    training, validation : tensors of equal first length, sliced together into batches
    on_step    : called after each epoch with stage "train" and {"train", "validation"} losses

    Raises CancelledError where `on_step` answers False and TrainingError for a loss that is not finite.
    Source: Smith & Topin, Super-Convergence (2019), for the one-cycle rate.
    """
    import torch

    optimizer = torch.optim.Adam(model.parameters(), lr=schedule.rate)
    per_epoch = math.ceil(len(training[0]) / schedule.batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=schedule.rate, total_steps=schedule.epochs * per_epoch + 1
    )
    rng = np.random.default_rng(schedule.seed)
    train_losses: list[float] = []
    validation_losses: list[float] = []
    best, best_weights = 0, _weights(model)
    for epoch in range(schedule.epochs):
        model.train()
        total = 0.0
        for batch in _batches(training, schedule.batch, rng):
            optimizer.zero_grad()
            value = loss(model, *batch)
            torch.autograd.backward(value)
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            cycle.step()
            total += value.item() * len(batch[0])
        train_losses.append(total / len(training[0]))
        validation_losses.append(mean_loss(model, loss, validation))
        if not (math.isfinite(train_losses[-1]) and math.isfinite(validation_losses[-1])):
            reached = (train_losses[-1], validation_losses[-1])
            raise TrainingError.of(
                "training", "the loss", "finite", reached, "Lower the learning rate."
            )
        if epoch == 0 or validation_losses[-1] < validation_losses[best]:
            best, best_weights = epoch, _weights(model)
        numbers = {"train": train_losses[-1], "validation": validation_losses[-1]}
        report("training", on_step, "train", (epoch + 1) / schedule.epochs, numbers)
        if epoch - best >= schedule.patience:
            break
    model.load_state_dict(best_weights)
    model.eval()
    return History(tuple(train_losses), tuple(validation_losses), best)


def mean_loss(model: torch.nn.Module, loss: Loss, tensors: Tensors) -> float:
    """Mean loss over all rows, without learning."""
    import torch

    model.eval()
    with torch.inference_mode():
        total = sum(
            loss(model, *batch).item() * len(batch[0]) for batch in _batches(tensors, CHUNK)
        )
    return total / len(tensors[0])


def blank(layers: Callable[[], Net]) -> Net:
    """What `layers` makes, without values: nothing is drawn from torch's global random state."""
    import torch

    with torch.device("meta"):
        net = layers()
    return net.to_empty(device="cpu")


def initialise(net: torch.nn.Module, bound: float, seed: int) -> None:
    """Weights uniform in ±`bound`, from `seed` alone."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in net.parameters():
            weights.uniform_(-bound, bound, generator=generator)


def to_state(net: torch.nn.Module) -> dict[str, NDArray[Any]]:
    """The weights as arrays, by role."""
    return {PREFIX + name: value.numpy() for name, value in net.state_dict().items()}


def from_state(net: torch.nn.Module, state: State) -> None:
    """Fill `net` with the weights that `to_state` gave and make it ready to answer."""
    import torch

    # copies: a loaded array is read-only, and torch would write through it
    net.load_state_dict(
        {
            role.removeprefix(PREFIX): torch.tensor(np.array(value))
            for role, value in state.items()
            if role.startswith(PREFIX)
        }
    )
    net.eval().requires_grad_(False)


def _batches(
    tensors: Tensors, size: int, rng: np.random.Generator | None = None
) -> Iterator[list[torch.Tensor]]:
    import torch

    n = len(tensors[0])
    if rng is None:
        for start in range(0, n, size):
            yield [tensor[start : start + size] for tensor in tensors]
        return
    order = torch.from_numpy(rng.permutation(n))
    for start in range(0, n, size):
        rows = order[start : start + size]
        yield [tensor[rows] for tensor in tensors]


def _weights(model: torch.nn.Module) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
