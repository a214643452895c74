"""One net over the windows of all series: LSTM, GRU and a temporal convolution differ in what reads the lags."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats, OnStep, State, Tags, param
from core.forecasters.pooled import SEASONS, PooledForecaster, PooledParams, Question, Sample
from core.training import (
    SINGLE,
    Schedule,
    blank,
    from_state,
    initialise,
    one_thread,
    side_by_side,
    to_state,
    train,
)

if TYPE_CHECKING:
    import torch

CYCLES = np.array([1.0, 7.0, 31.0])
"""Length of the cycle of each calendar column: day, week, month."""
ASKED = 2 * SEASONS + 2 + 2 * len(CYCLES)
"""Numbers that tell the net which period ahead is asked for."""
KERNEL = 3
DILATIONS = (1, 2, 4, 8)
"""Of the blocks of two convolutions each: together they look 61 lags back."""


@dataclass(frozen=True)
class NetworkParams(Schedule, PooledParams):
    hidden: int = param(32, help="Width of every layer", low=2, high=512)


@dataclass(frozen=True)
class Reader:
    """What turns lags (n, n_lag, 2) into (n, hidden): its layers, and how they are run."""

    layers: Callable[[int], torch.nn.Module]
    read: Callable[[Any, torch.Tensor], torch.Tensor]


class Network(PooledForecaster):
    """A net that reads the lags of a window once and answers each period ahead that it is asked for."""

    Params = NetworkParams
    cheap = {"hidden": 8, "windows": 300, "epochs": 6, "lags": 14, "rate": 0.03}
    reader: ClassVar[Reader]

    def _learn(self, training: Sample, validation: Sample, on_step: OnStep | None) -> State:
        net = self._net()
        initialise(net, self.params.hidden**-0.5, self.params.seed)
        parts = [
            (*_inputs(sample.question), _tensor(sample.answer), _known(sample.answer))
            for sample in (training, validation)
        ]
        with one_thread():
            history = train(net, self._loss, parts[0], parts[1], self.params, on_step)
        return {**to_state(net), "history": json.dumps(asdict(history))}

    def _load(self, state: State) -> torch.nn.ModuleDict:
        net = self._net()
        from_state(net, state)
        return net

    def _ahead(self, model: Any, question: Question) -> Floats:
        def answers(rows: slice) -> NDArray[Any]:
            return np.asarray(self._run(model, *_inputs(question[rows])).numpy())

        return np.sinh(side_by_side(answers, question.asked.shape[:2]))

    def _net(self) -> torch.nn.ModuleDict:
        from torch import nn

        hidden = self.params.hidden
        return blank(
            lambda: nn.ModuleDict(
                {
                    "reader": self.reader.layers(hidden),
                    "mixer": nn.Linear(hidden + ASKED, hidden),
                    "output": nn.Linear(hidden + ASKED, 1),
                }
            )
        )

    def _run(
        self, net: torch.nn.ModuleDict, lags: torch.Tensor, asked: torch.Tensor
    ) -> torch.Tensor:
        """(n, k) answers, as inverse hyperbolic sines."""
        import torch

        read = self.reader.read(net["reader"], lags)[:, None].expand(-1, asked.shape[1], -1)
        mixed = torch.relu(net["mixer"](torch.cat([read, asked], dim=-1)))
        answer: torch.Tensor = net["output"](torch.cat([mixed, asked], dim=-1))
        return answer.squeeze(-1)

    def _loss(
        self,
        net: Any,
        lags: torch.Tensor,
        asked: torch.Tensor,
        answer: torch.Tensor,
        known: torch.Tensor,
    ) -> torch.Tensor:
        missed = (self._run(net, lags, asked) - answer).abs() * known
        return missed.sum() / known.sum().clamp(min=1.0)


def _inputs(question: Question) -> tuple[torch.Tensor, torch.Tensor]:
    """The lags, oldest first, with a mark where known (n, n_lag, 2); what is asked (n, k, ASKED)."""
    import torch

    recent, seasons = question.recent[:, ::-1], question.seasons
    lags = torch.stack([_tensor(recent), _known(recent)], dim=-1)
    known = ~np.isnan(seasons)
    mean = np.nansum(seasons, axis=-1) / np.maximum(known.sum(axis=-1), 1)
    angle = 2 * np.pi * question.asked[..., 2:] / CYCLES
    asked = torch.cat(
        [
            _tensor(seasons),
            _known(seasons),
            _tensor(mean[..., None]),
            _tensor(question.asked[..., :1]),
            torch.from_numpy(np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)).float(),
        ],
        dim=-1,
    )
    return lags, asked


def _tensor(values: Floats) -> torch.Tensor:
    """The inverse hyperbolic sine, which tames the tails; 0, the level, where missing."""
    import torch

    return torch.from_numpy(np.nan_to_num(np.arcsinh(values)).astype(np.float32))


def _known(values: Floats) -> torch.Tensor:
    import torch

    return torch.from_numpy((~np.isnan(values)).astype(np.float32))


def _last(cell: Any, lags: torch.Tensor) -> torch.Tensor:
    """What a recurrent cell gives for the newest lag."""
    given: torch.Tensor = cell(lags)[0]
    return given[:, -1]


def _recurrent(kind: str) -> Reader:
    def layers(hidden: int) -> torch.nn.Module:
        from torch import nn

        cell: torch.nn.Module = getattr(nn, kind)(2, hidden, batch_first=True)
        return cell

    return Reader(layers, _last)


def _blocks(hidden: int) -> torch.nn.Module:
    """Per dilation two causal convolutions and the way around them."""
    from torch import nn

    def block(given: int, dilation: int) -> torch.nn.Module:
        return nn.ModuleList(
            [
                nn.Conv1d(given, hidden, KERNEL, dilation=dilation),
                nn.Conv1d(hidden, hidden, KERNEL, dilation=dilation),
                nn.Conv1d(given, hidden, 1),
            ]
        )

    widths = (2, *(hidden for _ in DILATIONS))
    return nn.ModuleList(map(block, widths, DILATIONS))


def _convolve(blocks: Any, lags: torch.Tensor) -> torch.Tensor:
    """What the last block gives for the newest lag."""
    import torch
    from torch.nn.functional import pad

    flow = lags.transpose(1, 2)
    for (first, second, around), dilation in zip(blocks, DILATIONS, strict=True):
        # zeros before the first lag only, so that no output has seen a later input
        lead = ((KERNEL - 1) * dilation, 0)
        inner = torch.relu(second(pad(torch.relu(first(pad(flow, lead))), lead)))
        flow = torch.relu(inner + around(flow))
    return flow[:, :, -1]


class Lstm(Network):
    """An LSTM over the windows of all series, each scaled by its own recent past.

    The net reads the latest lags in order. What it remembers, the values of the asked phase in earlier
    seasons, the steps ahead and the calendar pass one hidden layer to the answer. Values enter and
    leave as inverse hyperbolic sines: the tails are tamed, and the least absolute error still finds the
    median. A missing value enters as the level and is marked.

    Fitting holds back the latest 20 % of the periods, stops after `patience` epochs without a better
    loss there, keeps the best weights, and learns the conformal intervals from the errors there.

    Good for: thousands of windows of series that behave alike; order and rhythm of the latest periods.
    Bad for: a handful of short series; patterns longer than the lags and the seasons.
    An entity never seen in training is forecast from its own history. Other batch sizes change the last
    float32 digits. Units: those of the panel. Cost: about 20 µs per window and core.

    Source: Hochreiter & Schmidhuber, Long Short-Term Memory (1997), section 4; one net for all series
    after Salinas et al., DeepAR (2020), section 3.
    """

    name = "lstm"
    source = "Hochreiter & Schmidhuber, Long Short-Term Memory (1997), section 4"
    tags = Tags(stochastic=True, min_times=15, modules=("torch",), tolerance=SINGLE)
    reader = _recurrent("LSTM")


class Gru(Network):
    """A gated recurrent unit over the windows of all series, each scaled by its own recent past.

    As `lstm`, with a cell of two gates instead of three: fewer weights for the same width.

    Good for: as `lstm`, and somewhat shorter training. Bad for: as `lstm`.
    An entity never seen in training is forecast from its own history. Other batch sizes change the last
    float32 digits. Units: those of the panel. Cost: about 15 µs per window and core.

    Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014), section 2.3.
    """

    name = "gru"
    source = (
        "Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014), section 2.3"
    )
    tags = Tags(stochastic=True, min_times=15, modules=("torch",), tolerance=SINGLE)
    reader = _recurrent("GRU")


class Tcn(Network):
    """A temporal convolution over the windows of all series, each scaled by its own recent past.

    As `lstm`, with four residual blocks of two dilated causal convolutions instead of a recurrent cell:
    61 lags are seen at once, without a memory that fades. Chosen over N-HiTS because it shares its
    window and its way of answering with the recurrent nets; N-HiTS is tied to one length of horizon.

    Good for: as `lstm`; sharp patterns at fixed lags. Bad for: as `lstm`; anything beyond 61 lags.
    An entity never seen in training is forecast from its own history. Other batch sizes change the last
    float32 digits. Units: those of the panel. Cost: about 40 µs per window and core.

    Source: Bai, Kolter & Koltun, An Empirical Evaluation of Generic Convolutional and Recurrent Networks
    for Sequence Modeling (2018), section 3; without its dropout and weight normalisation.
    """

    name = "tcn"
    source = "Bai, Kolter & Koltun, An Empirical Evaluation of Generic Convolutional and Recurrent Networks (2018), section 3"
    tags = Tags(stochastic=True, min_times=15, modules=("torch",), tolerance=SINGLE)
    reader = Reader(_blocks, _convolve)
