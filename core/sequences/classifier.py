"""Which labels a short sequence of events deserves: learned from labelled ones, by either of two nets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Floats, OnStep, State, param
from core.devices import CPU, current
from core.errors import InvalidInputError, NotEnoughDataError
from core.features.scaling import Scale
from core.sequences import attention, convolution
from core.steps import WIDE
from core.training import Schedule, blank, from_state, side_by_side, to_state, train

if TYPE_CHECKING:
    import torch

    from core.steps import Loss

WHO = "sequence-classifier"
VALIDATION = 0.2
"""Latest share of the sequences, held back for early stopping."""
REACH = 8.0
"""Robust standard deviations at which a number is clipped."""
SCALED = 20_000
"""Sequences, evenly drawn, that the scale is learned from."""
NETS = {"convolution": convolution, "attention": attention}
WIDTHS = ("hidden_size", "embed_dim", "in_features")
"""What torch's layers call the number of inputs that a weight is one of."""


@dataclass(frozen=True)
class SequenceParams(Schedule):
    net: str = param(
        "convolution", help="What reads the events: quick, or event by event", choices=tuple(NETS)
    )
    hidden: int = param(64, help="Units per event (and direction)", low=8, high=512)
    batch: int = param(256, help="Rows per step", low=1, high=65_536)


def learn(
    sequences: Floats, labels: Bools, params: SequenceParams, on_step: OnStep | None = None
) -> State:
    """The state of a classifier of sequences, oldest first in time: the latest fifth stops the learning.

    sequences : (n, length, features), newest event last; NaN = missing; an event of NaN alone is none, as
                before a short sequence
    labels    : (n, labels) bool, each decided by itself

    Runs as `core.training.running` says. Raises InvalidInputError for other shapes or a newest event that is
    missing, NotEnoughDataError for fewer than 2 sequences, and what `core.training.train` raises.
    """
    import torch

    shape = (len(sequences), labels.shape[-1])
    if sequences.ndim != 3 or labels.shape != shape:
        rule = f"of shape {shape}, one row per sequence (n, length, features)"
        raise InvalidInputError.of(WHO, "labels", rule, (sequences.shape, labels.shape))
    if len(sequences) < 2:
        raise NotEnoughDataError.of(WHO, "sequences", "at least 2", len(sequences))
    _check_newest(sequences)
    scale = Scale.learn(sequences[:: max(1, len(sequences) // SCALED)])
    given = (*_ready(scale, sequences), torch.from_numpy(labels.astype(np.float32)))
    split = len(sequences) - max(1, round(VALIDATION * len(sequences)))
    net = _net(params, sequences.shape[2], labels.shape[1])
    _initialise(net, params.seed)
    history = train(
        net,
        _loss(params),
        [part[:split] for part in given],
        [part[split:] for part in given],
        params,
        on_step,
    )
    return {
        **scale.state,
        **to_state(net),
        "labels": np.array(labels.shape[1]),
        "history": json.dumps(asdict(history)),
    }


def probabilities(sequences: Floats, state: State, params: SequenceParams) -> Floats:
    """(n, labels) probability of each label, of sequences as `learn` takes them.

    On the CPU in single precision, a thread for each core; on CUDA, where `running` says so, in half.
    """
    _check_newest(sequences)
    scale = Scale.of(state)
    n_label = int(np.asarray(state["labels"]))
    net = _net(params, len(scale.centre), n_label)
    from_state(net, state)
    device = current().device
    if device != CPU:
        return _on_gpu(params, net, scale, sequences, device)

    def answers(rows: slice) -> NDArray[np.float32]:
        logits = NETS[params.net].logits(net, *_ready(scale, sequences[rows]))
        return np.asarray(logits.sigmoid().numpy())

    return side_by_side(answers, (len(sequences), n_label))


def _on_gpu(
    params: SequenceParams, net: torch.nn.Module, scale: Scale, sequences: Floats, device: str
) -> Floats:
    """As `probabilities`; nothing is read from the device before all of it is done."""
    import torch

    net.to(device, torch.float16)
    answers = []
    with torch.inference_mode():
        for start in range(0, len(sequences), WIDE):
            events, shown = _ready(scale, sequences[start : start + WIDE], device)
            logits = NETS[params.net].logits(net, events.half(), shown)
            answers.append(logits.float().sigmoid())
        return torch.cat(answers).double().cpu().numpy()


def _ready(scale: Scale, sequences: Floats, device: str = CPU) -> tuple[torch.Tensor, torch.Tensor]:
    """Standardised events in single precision, 0 where missing, and which events there are."""
    import torch

    # centred in the precision that it comes in: single holds too few digits of a number far from 0
    # torch warns of memory that may not be written, though it is only read
    values = torch.from_numpy(np.require(sequences, requirements="W")).to(device)
    centre, spread = (
        torch.tensor(part, dtype=values.dtype, device=device)
        for part in (scale.centre, scale.spread)
    )
    missing = values.isnan()
    shown = ~missing.all(dim=2)
    events = ((values - centre) / spread).clamp_(-REACH, REACH).float()
    return events.masked_fill_(missing, 0.0), shown


def _check_newest(sequences: Floats) -> None:
    without = int(np.isnan(sequences[:, -1]).all(axis=1).sum())
    if without:
        raise InvalidInputError.of(WHO, "the newest event", "there", f"{without} sequences without")


def _net(params: SequenceParams, features: int, labels: int) -> torch.nn.Module:
    net: torch.nn.Module = blank(lambda: NETS[params.net].layers(features, labels, params.hidden))
    return net


def _initialise(net: torch.nn.Module, seed: int) -> None:
    """Weights as torch draws them, uniform by the width of their layer, but from `seed` alone."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, torch.nn.LayerNorm):
                layer.reset_parameters()
            for width in (getattr(layer, name) for name in WIDTHS if hasattr(layer, name)):
                for weights in layer.parameters(recurse=False):
                    weights.uniform_(-(width**-0.5), width**-0.5, generator=generator)


def _loss(params: SequenceParams) -> Loss:
    from torch.nn.functional import binary_cross_entropy_with_logits

    def loss(
        net: torch.nn.Module, events: torch.Tensor, shown: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        # a logit near 0 needs all its digits
        logits = NETS[params.net].logits(net, events, shown).float()
        return binary_cross_entropy_with_logits(logits, labels)

    return loss
