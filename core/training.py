"""The one training loop: every torch model learns here, so all stop, restore, resume and cancel alike.

Where it learns, and where its checkpoints go, is for `running` to say, not for the model.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats, OnStep, Params, State, param, report
from core.devices import AUTO, CPU, Running, current
from core.devices import Checkpoints as Checkpoints
from core.devices import Device as Device
from core.devices import devices as devices
from core.devices import running as running
from core.errors import CancelledError, DivergedError, PersistenceError
from core.steps import CHUNK, RATES, Steps, mean_loss, starved

if TYPE_CHECKING:
    import torch

    Tensors = Sequence[torch.Tensor]
    Loss = Callable[..., torch.Tensor]

log = logging.getLogger(__name__)
Net = TypeVar("Net", bound="torch.nn.Module")

PREFIX = "net."
"""What the roles of weights in a state begin with."""
SINGLE = 1e-5
"""Tolerance of answers in single precision: where a matrix lies in memory decides how its products are added up."""
PULSE = 1.0
"""Seconds between two words from within an epoch, where one takes longer."""
EVERY = 5.0
"""Least seconds between two checkpoints."""


@dataclass(frozen=True)
class Schedule(Params):
    """How long and how fast to learn: what the parameters of every net begin with."""

    epochs: int = param(24, help="Most passes over the training rows", low=1, high=1_000)
    patience: int = param(
        10, help="Passes without a better validation loss that end it", low=1, high=100
    )
    batch: int = param(128, help="Rows per step", low=1, high=65_536)
    rate: float = param(0.005, help="Peak learning rate", low=1e-6, high=1.0)
    rates: str = param(
        "one-cycle", help="How the rate rises and falls over the steps", choices=tuple(RATES)
    )


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


# ── The loop ─────────────────────────────────────────────────────────────────────────────────────


def train(
    model: torch.nn.Module,
    loss: Loss,
    training: Tensors,
    validation: Tensors,
    schedule: Schedule,
    on_step: OnStep | None = None,
) -> History:
    """Fit `model` in place with Adam and leave it on the CPU with its best weights.

    loss       : (model, *batch) → scalar mean loss of the batch; what else it needs are buffers of `model`,
                 which go where the model goes
    training, validation : tensors of equal first length, sliced together into batches
    on_step    : called after each epoch with stage "train" and the numbers "train" and "validation" (losses),
                 "epoch" (from 1), "epochs", "rows_per_second", "device_memory" (bytes, 0 on the CPU) and
                 "resumed" (1 for an epoch told again from a checkpoint); within an epoch at most once a
                 second with stage "steps" and "epoch", "rows"

    Runs as `running` says. Where a GPU has too little memory it is tried once more on the CPU, from the latest
    epoch where checkpoints are kept, and `on_step` hears so as a stage. From a checkpoint it goes on to the
    same numbers, on the CPU to the last bit.

    Raises CancelledError where `on_step` answers False and DivergedError for a loss that is not finite.
    """
    import torch

    run = current()
    saved = _Saved.of(run, model, training, validation, schedule)
    lesson = _Lesson(model, loss, training, validation, schedule, on_step, run.precision, saved)
    before = _weights(model)
    try:
        try:
            return lesson.on(run.device)
        except RuntimeError as error:
            if run.device == CPU or not starved(error):
                raise
            log.warning("Out of memory on %s: %s", run.device, error)
        # beyond the handler nothing holds on to what lies on the GPU
        saved.write()
        lesson.tell(f"out of memory on {run.device}, goes on on cpu", 0.0, {})
        model.to(CPU)
        torch.cuda.empty_cache()
        model.load_state_dict(before)
        return lesson.on(CPU)
    finally:
        model.to(CPU).eval()


@dataclass
class _Lesson:
    """One call of `train`: what is learned from what, and who hears of it."""

    model: torch.nn.Module
    loss: Loss
    training: Tensors
    validation: Tensors
    schedule: Schedule
    on_step: OnStep | None
    precision: str
    saved: _Saved

    def on(self, device: str) -> History:
        """Learn on a device, from the checkpoint where there is one."""
        on_cuda = device.startswith("cuda")
        halved = self.precision == "half" or (self.precision == AUTO and on_cuda)
        with _own_stream(device) if on_cuda else nullcontext():
            self.model.to(device)
            taught, held = (
                [part.to(device) for part in parts] for parts in (self.training, self.validation)
            )
            steps = Steps(
                self.model,
                self.loss,
                taught,
                batch=self.schedule.batch,
                epochs=self.schedule.epochs,
                peak=self.schedule.rate,
                rates=self.schedule.rates,
                halved=halved,
            )
            course = _Course(_weights(self.model), np.random.default_rng(self.schedule.seed))
            self.saved.restore(self.model, steps, course)
            for epoch in range(len(course.epochs)):
                self._tell_epoch(course, epoch, resumed=True)
            while not course.ended(self.schedule):
                numbers = self._epoch(steps, course)
                numbers["validation"] = mean_loss(self.model, self.loss, held, halved=halved)
                numbers["device_memory"] = _peak(device)
                course.add(numbers, self.model)
                self.saved.offer(
                    lambda: _packed(self.model, steps, course), now=course.ended(self.schedule)
                )
                self._tell_epoch(course, len(course.epochs) - 1, resumed=False)
            self.model.load_state_dict(course.weights)
        return course.history

    def tell(self, stage: str, share: float, numbers: dict[str, float]) -> None:
        """Report; what was learned so far is kept where the listener wants a stop."""
        try:
            report("training", self.on_step, stage, share, numbers)
        except CancelledError:
            self.saved.write()
            raise

    def _epoch(self, steps: Steps, course: _Course) -> dict[str, float]:
        began = spoke = time.perf_counter()
        epoch, order = len(course.epochs), course.rng.permutation(len(self.training[0]))
        for rows in steps.epoch(epoch, order):
            if time.perf_counter() - spoke > PULSE:
                spoke = time.perf_counter()
                share = (epoch + rows / len(order)) / self.schedule.epochs
                self.tell("steps", share, {"epoch": epoch + 1, "rows": rows})
        loss = steps.mean()
        return {"train": loss, "rows_per_second": len(order) / (time.perf_counter() - began)}

    def _tell_epoch(self, course: _Course, epoch: int, *, resumed: bool) -> None:
        place = {"epoch": epoch + 1, "epochs": self.schedule.epochs, "resumed": float(resumed)}
        self.tell("train", (epoch + 1) / self.schedule.epochs, {**course.epochs[epoch], **place})


def _peak(device: str) -> int:
    """Most bytes of the device that were in use at once; 0 on the CPU."""
    import torch

    return torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else 0


@contextmanager
def _own_stream(device: str) -> Iterator[None]:
    """A stream of its own: what is recorded as a graph may not run on the default one."""
    import torch

    # at this loop's shapes cuDNN's attention fails in backward
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.cuda.reset_peak_memory_stats(device)
    stream = torch.cuda.Stream(torch.device(device))  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()


@dataclass
class _Course:
    """What learning has come to: the numbers of each epoch, the best weights, what draws the next order."""

    weights: dict[str, Any]
    rng: np.random.Generator
    epochs: list[dict[str, float]] = field(default_factory=list)
    best: int = 0

    @property
    def history(self) -> History:
        told = {name: tuple(row[name] for row in self.epochs) for name in ("train", "validation")}
        return History(**told, best=self.best)

    def ended(self, schedule: Schedule) -> bool:
        """Whether all epochs are done, or too many were since the best."""
        done = len(self.epochs)
        return done >= schedule.epochs or done - 1 - self.best >= schedule.patience

    def add(self, numbers: dict[str, float], model: torch.nn.Module) -> None:
        reached = (numbers["train"], numbers["validation"])
        self.epochs.append(numbers)
        if not np.isfinite(reached).all():
            thing = f"the loss of epoch {len(self.epochs)}"
            raise DivergedError.of("training", thing, "finite", reached)
        if len(self.epochs) == 1 or reached[1] < self.epochs[self.best]["validation"]:
            self.best, self.weights = len(self.epochs) - 1, _weights(model)


# ── Checkpoints ──────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Saved:
    """The checkpoint of one `train`: what was saved last, and what is to be saved next."""

    checkpoints: Checkpoints | None
    key: str
    waiting: bytes = b""
    written: float = 0.0

    @classmethod
    def of(
        cls,
        run: Running,
        model: torch.nn.Module,
        training: Tensors,
        validation: Tensors,
        schedule: Schedule,
    ) -> _Saved:
        if run.checkpoints is None:
            return cls(None, "")
        named = [(name, tuple(value.shape)) for name, value in model.state_dict().items()]
        shapes = [tuple(part.shape) for part in (*training, *validation)]
        facts = json.dumps([named, shapes, asdict(schedule)], sort_keys=True)
        digest = hashlib.sha256(facts.encode()).hexdigest()[:16]
        return cls(run.checkpoints, f"{next(run.calls):03d}-{digest}", written=time.monotonic())

    def restore(self, model: torch.nn.Module, steps: Steps, course: _Course) -> None:
        data = self.checkpoints.load(self.key) if self.checkpoints else None
        if data is not None:
            _unpack(data, model, steps, course)

    def offer(self, pack: Callable[[], bytes], *, now: bool) -> None:
        """Save what `pack` gives where it is time to, else keep it for a cancel."""
        if self.checkpoints is not None:
            self.waiting = pack()
            if now or time.monotonic() - self.written >= EVERY:
                self.write()

    def write(self) -> None:
        if self.checkpoints is not None and self.waiting:
            self.checkpoints.save(self.key, self.waiting)
            self.waiting, self.written = b"", time.monotonic()


def _packed(model: torch.nn.Module, steps: Steps, course: _Course) -> bytes:
    """safetensors: weights now and at best, what the optimiser remembers, and the rest as JSON in bytes."""
    from safetensors.numpy import save

    facts = {"epochs": course.epochs, "best": course.best, "rng": course.rng.bit_generator.state}
    arrays = {
        "facts": np.frombuffer(json.dumps(facts).encode(), np.uint8),
        **{f"now.{name}": value.cpu().numpy() for name, value in model.state_dict().items()},
        **{f"best.{name}": value.cpu().numpy() for name, value in course.weights.items()},
        **{f"optimiser.{name}": value for name, value in steps.memory().items()},
    }
    return save({name: np.asarray(value, order="C") for name, value in arrays.items()})


def _unpack(data: bytes, model: torch.nn.Module, steps: Steps, course: _Course) -> None:
    import torch
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        facts = json.loads(arrays.pop("facts").tobytes())
    except (SafetensorError, KeyError, ValueError) as error:
        hint = "Start the training anew: this checkpoint is damaged."
        raise PersistenceError.of("training", "a checkpoint", "whole", str(error), hint) from error
    parts: dict[str, dict[str, NDArray[Any]]] = {"now": {}, "best": {}, "optimiser": {}}
    for name, value in arrays.items():
        part, _, role = name.partition(".")
        parts[part][role] = np.array(value)
    device = next(iter(course.weights.values())).device
    now, best = (
        {role: torch.tensor(value, device=device) for role, value in parts[part].items()}
        for part in ("now", "best")
    )
    model.load_state_dict(now)
    steps.remember(parts["optimiser"], len(facts["epochs"]))
    course.weights, course.epochs, course.best = best, facts["epochs"], facts["best"]
    course.rng.bit_generator.state = facts["rng"]


# ── Nets and their states ────────────────────────────────────────────────────────────────────────


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
    return {PREFIX + name: value.cpu().numpy() for name, value in net.state_dict().items()}


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


def _weights(model: torch.nn.Module) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
