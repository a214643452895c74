"""One step of learning, wherever the tensors lie: forward, backward, clip, optimise; on CUDA replayed as one graph.

Nothing is read from the device within an epoch: the loss adds up where it is made.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats

if TYPE_CHECKING:
    import torch

    Tensors = Sequence[torch.Tensor]
    Loss = Callable[..., torch.Tensor]

log = logging.getLogger(__name__)

CLIP = 1.0
"""Norm above which a gradient is cut; recurrent nets need it (Pascanu, Mikolov & Bengio 2013)."""
MOMENTUM, SQUARES = 0.9, 0.999
"""How much Adam keeps of the mean gradient and of its square (Kingma & Ba 2015)."""
WARM = 3
"""Steps of one size that run one by one before they are recorded: libraries choose their kernels in them."""
CHUNK, WIDE = 1_024, 32_768
"""Rows at once where no gradient is kept: as many as stay in a core's cache; as many as fill a GPU."""


def one_cycle(peak: float, steps: int) -> tuple[Floats, Floats]:
    """(steps,) learning rates and momenta: up to `peak` for three tenths, then down to almost nothing.

    Source: Smith & Topin, Super-Convergence (2019), with torch's defaults: a cosine each way, from
    peak / 25 and to peak / 250,000, momentum the other way from .95 to .85 and back.
    """
    # one step more than are taken: the last rate of the cycle itself would teach nothing
    last = float(steps)
    top = 0.3 * (steps + 1) - 1
    at = np.arange(steps, dtype=float)
    up, down = at / top, (at - top) / (last - top)

    def between(start: float, middle: float, end: float) -> Floats:
        rising = middle + (start - middle) / 2 * (np.cos(np.pi * up) + 1)
        falling = end + (middle - end) / 2 * (np.cos(np.pi * down) + 1)
        return np.where(at <= top, rising, falling)

    return between(peak / 25, peak, peak / 250_000), between(0.95, 0.85, 0.95)


def cosine(peak: float, steps: int) -> tuple[Floats, Floats]:
    """(steps,) learning rates from `peak` down to 0 along half a cosine, and one momentum.

    Source: Loshchilov & Hutter, SGDR (2017), section 3, without restarts.
    """
    rates = peak / 2 * (1 + np.cos(np.pi * np.arange(steps) / steps))
    return rates, np.full(steps, MOMENTUM)


RATES: dict[str, Callable[[float, int], tuple[Floats, Floats]]] = {
    "one-cycle": one_cycle,
    "cosine": cosine,
}


class Steps:
    """Adam over batches of `tensors`, which lie on the device of `model`.

    loss    : (model, *batch) → scalar mean loss of the batch
    peak    : highest learning rate; `rates` names how it is reached and left
    halved  : run the layers in bfloat16; the loss stays in single precision

    On CUDA the momentum stays at .9: the fused optimiser takes it as a constant, which no graph can change.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        loss: Loss,
        tensors: Tensors,
        *,
        batch: int,
        epochs: int,
        peak: float,
        rates: str,
        halved: bool,
    ) -> None:
        import torch

        device = tensors[0].device
        self.model, self.loss, self.tensors = model, loss, tensors
        self.batch, self.halved, self.on_cuda = batch, halved, device.type == "cuda"
        self.per_epoch = math.ceil(len(tensors[0]) / batch)
        self.rates, self.momenta = RATES[rates](peak, epochs * self.per_epoch)
        self.optimizer = torch.optim.Adam(
            model.parameters(),
            lr=torch.tensor(peak, device=device) if self.on_cuda else peak,
            betas=(MOMENTUM, SQUARES),
            fused=True,
            capturable=self.on_cuda,
        )
        self.table = torch.tensor(self.rates, dtype=torch.float32, device=device)
        self.total = torch.zeros((), dtype=torch.float64, device=device)
        self.replays: dict[int, Replay] = {}

    def epoch(self, number: int, order: NDArray[np.intp]) -> Iterator[int]:
        """Learn from all rows once, in this order; gives the number of rows seen after each batch."""
        import torch

        self.model.train()
        self.total.zero_()
        rows = torch.from_numpy(order).to(self.total.device)
        for step, start in enumerate(range(0, len(rows), self.batch), number * self.per_epoch):
            batch = rows[start : start + self.batch]
            self._pace(step)
            if self.on_cuda and len(batch) not in self.replays:
                self.replays[len(batch)] = Replay(self._step, batch)
            self.replays.get(len(batch), self._step)(batch)
            yield start + len(batch)

    def mean(self) -> float:
        """Mean loss of the rows of the latest epoch: what waits for the device."""
        return float(self.total) / len(self.tensors[0])

    def memory(self) -> dict[str, NDArray[Any]]:
        """What the optimiser remembers, by role, for `remember`."""
        kept = [self.optimizer.state.get(weights, {}) for weights in self._weights()]
        return {
            f"{role}.{place}": values[role].cpu().numpy()
            for place, values in enumerate(kept)
            for role in ("exp_avg", "exp_avg_sq")
            if role in values
        }

    def remember(self, memory: dict[str, NDArray[Any]], epochs: int) -> None:
        """Go on with what `memory` gave after so many epochs."""
        import torch

        for place, weights in enumerate(self._weights()):
            if f"exp_avg.{place}" in memory:
                kept = {
                    role: torch.tensor(memory[f"{role}.{place}"], device=weights.device)
                    for role in ("exp_avg", "exp_avg_sq")
                }
                taken = torch.tensor(float(epochs * self.per_epoch), device=weights.device)
                self.optimizer.state[weights] = {"step": taken, **kept}

    def _weights(self) -> list[torch.nn.Parameter]:
        weights: list[torch.nn.Parameter] = self.optimizer.param_groups[0]["params"]
        return weights

    def _pace(self, step: int) -> None:
        group = self.optimizer.param_groups[0]
        if self.on_cuda:
            group["lr"].copy_(self.table[step])
        else:
            group["lr"], group["betas"] = self.rates[step], (self.momenta[step], SQUARES)

    def _step(self, rows: torch.Tensor) -> None:
        import torch

        batch = [tensor.index_select(0, rows) for tensor in self.tensors]
        self.optimizer.zero_grad()
        with in_half(rows.device, self.halved):
            value = self.loss(self.model, *batch)
        torch.autograd.backward(value)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.total += value.detach() * len(rows)


class Replay:
    """Steps of one size on CUDA: a few as they are, then recorded as one graph and replayed in one launch.

    A net whose step cannot be recorded goes on step by step, and the log says so.

    Source: PyTorch, CUDA semantics, "Whole-network capture".
    """

    def __init__(self, step: Callable[[torch.Tensor], None], rows: torch.Tensor) -> None:
        self.step = step
        self.rows = rows.clone()
        self.taken = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, rows: torch.Tensor) -> None:
        self.rows.copy_(rows)
        if self.taken == WARM:
            self._record()
        self.taken += 1
        if self.graph is None:
            self.step(self.rows)
        else:
            self.graph.replay()

    def _record(self) -> None:
        import torch

        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream()
        try:
            # recording does nothing yet: the replay that follows is the step
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self.step(self.rows)
        except RuntimeError as error:
            if starved(error):
                raise
            log.warning("A step of %d rows is not replayed as a graph: %s", len(self.rows), error)
        else:
            self.graph = graph


def starved(error: RuntimeError) -> bool:
    """Whether a device had too little memory: torch's allocator says so in its type, its libraries in words."""
    import torch

    words = ("out of memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


def mean_loss(
    model: torch.nn.Module, loss: Loss, tensors: Tensors, *, halved: bool = False
) -> float:
    """Mean loss over all rows, without learning."""
    import torch

    device, n_row = tensors[0].device, len(tensors[0])
    model.eval()
    total = torch.zeros((), dtype=torch.float64, device=device)
    size = WIDE if device.type == "cuda" else CHUNK
    with torch.inference_mode(), in_half(device, halved):
        for start in range(0, n_row, size):
            batch = [tensor[start : start + size] for tensor in tensors]
            total += loss(model, *batch) * len(batch[0])
    return float(total) / n_row


def in_half(device: torch.device, halved: bool) -> AbstractContextManager[Any]:
    """Layers within the block run in bfloat16 where `halved`; weights, sums and losses stay as they are."""
    import torch

    return torch.autocast(device.type, torch.bfloat16) if halved else nullcontext()
