"""LSTM autoencoder: one model over the windows of all entities."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Detector, Floats, OnStep, Panel, State, Tags, param
from core.errors import NotEnoughDataError
from core.features.scaling import Scale
from core.features.windows import windows
from core.steps import CHUNK
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

LENGTH = 14
"""Periods in a window."""
REACH = 8.0
"""Robust standard deviations at which a value is clipped, so that one wild day cannot own the loss."""
HIDDEN = 0.5
"""Share of the cells that a training window hides: one half of the chequerboard that scoring hides."""
FADE = 0.75
"""Weight of a day over that of the next: today leads, yesterday counts, a week ago hardly does."""
VALIDATION = 0.2
"""Latest share of the periods, held back for early stopping."""


@dataclass(frozen=True)
class LstmAutoencoderParams(Schedule):
    hidden: int = param(32, help="Width of the recurrent layers", low=2, high=512)
    latent: int = param(8, help="Numbers that a whole window is squeezed into", low=1, high=512)
    windows: int = param(
        8_000, help="Training windows drawn from all entities", low=8, high=1_000_000
    )
    rate: float = param(0.01, help="Peak learning rate", low=1e-6, high=1.0)


class LstmAutoencoder(Detector):
    """How badly a 14-day window is rebuilt by a net that knows the windows of all entities.

    One net over all entities: an encoder LSTM squeezes what it is shown of the robustly standardised
    window into `latent` numbers, a decoder LSTM rebuilds the whole. It learns on windows of which half
    the cells, drawn at random, are hidden, and only hidden cells count: a cell must follow from its
    neighbours, so the net cannot just pass an anomaly through. Missing cells and the padding of short
    histories are hidden always and never count. Scoring hides the black, then the white cells of a
    chequerboard: two passes, and every cell was rebuilt without being seen.

    The score at t is the mean squared error of the window that ends at t, a day weighing 0.75 of the
    next: an anomaly shows on its day, and gains as it lasts. `cell_errors` gives the same sum by cell.

    Fitting holds back the windows that end in the latest 20 % of the periods, stops after `patience`
    epochs without a better loss there and keeps the best weights.

    Good for: weak shifts of several days, broken relations between metrics or between days.
    Bad for: a handful of short histories (a net needs thousands of windows); patterns beyond 14 periods.
    Score: squared robust standard deviations, about 1 on normal days, 0 where nothing was observed;
    batches of other sizes differ in the last float32 digits. Cost: about 10 µs per window and core.

    Source: Malhotra et al., LSTM-based Encoder-Decoder for Multi-sensor Anomaly Detection (2016),
    section 2; hiding cells after Vincent et al., Extracting and Composing Robust Features with
    Denoising Autoencoders (ICML 2008), section 2; the fading weights are ours.
    """

    name = "lstm-autoencoder"
    source = "Malhotra et al., LSTM-based Encoder-Decoder for Multi-sensor Anomaly Detection (2016), section 2"
    tags = Tags(stochastic=True, min_times=LENGTH, modules=("torch",), tolerance=SINGLE)
    Params = LstmAutoencoderParams
    cheap = {"hidden": 8, "latent": 4, "windows": 200, "epochs": 3, "rate": 0.03}

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        scale = Scale.learn(panel.values)
        values, padded = _windows(scale, panel)
        ends_seen = ~np.isnan(values[:, :, -1]).all(axis=-1) & ~padded[:, :, -1]
        # residuals start weeks after their panel: the latest 20 % are those of the observed periods
        first, n_time = int(ends_seen.any(axis=0).argmax()), len(panel.periods)
        split = n_time - max(1, round(VALIDATION * (n_time - first)))
        rng = np.random.default_rng(self.params.seed)
        parts = []
        for times, most in (
            (range(split), self.params.windows),
            (range(split, n_time), max(1, self.params.windows // 4)),
        ):
            rows, ends = np.nonzero(ends_seen[:, times.start : times.stop])
            if not len(rows):
                rule = f"at least 1 with a value in periods {times.start}–{times.stop - 1}"
                raise NotEnoughDataError.of(self.name, "windows", rule, 0)
            chosen = rng.permutation(len(rows))[:most]
            at = (rows[chosen], ends[chosen] + times.start)
            known = _known(values[at], padded[at])
            parts.append((_tensor(values[at]), _tensor(known), _tensor(rng.random(known.shape))))

        net = _net(len(panel.metrics), self.params.hidden, self.params.latent)
        # torch's own rule for recurrent layers
        initialise(net, self.params.hidden**-0.5, self.params.seed)
        with one_thread():
            history = train(net, _loss, parts[0], parts[1], self.params, on_step)
        return {**scale.state, **to_state(net), "history": json.dumps(asdict(history))}

    def _open(self, state: State) -> tuple[Scale, torch.nn.ModuleDict]:
        scale = Scale.of(state)
        net = _net(len(scale.centre), self.params.hidden, self.params.latent)
        from_state(net, state)
        return scale, net

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        return self._score_last(scorer, panel, len(panel.periods))

    def _score_last(self, scorer: Any, panel: Panel, last: int) -> Floats:
        scale, net = scorer
        values, padded = _windows(scale, panel, last)

        def errors(rows: slice) -> Floats:
            return np.asarray(_errors(net, values[rows], padded[rows]).sum(axis=(-2, -1)))

        return side_by_side(errors, values.shape[:2], max(1, CHUNK // last))

    def cell_errors(self, panel: Panel, rows: Sequence[int], at: Sequence[int]) -> Floats:
        """(k, 14, n_metric): what each day and metric adds to the score of entity rows[i] at time at[i].

        Each block sums to that score; days before the panel's first are 0.
        """
        scale, net = self.scorer
        self._check_metrics(panel)
        values, padded = _windows(scale, panel)
        pairs = (np.asarray(rows, dtype=np.intp), np.asarray(at, dtype=np.intp))
        with one_thread():
            return _errors(net, values[pairs], padded[pairs])


def _windows(scale: Scale, panel: Panel, last: int | None = None) -> tuple[Floats, Bools]:
    """Views of the standardised windows (n_entity, last, 14, n_metric), NaN where missing, and of the padding."""
    within = np.clip((panel.values - scale.centre) / scale.spread, -REACH, REACH)
    return windows(panel.with_values(within), LENGTH, last)


def _known(values: Floats, padded: Bools) -> Bools:
    """The cells that count: observed, and no padding."""
    return ~np.isnan(values) & ~padded[..., None]


def _errors(net: torch.nn.ModuleDict, values: Floats, padded: Bools) -> Floats:
    """Weighted squared errors of windows (…, 14, n_metric), 0 where a cell does not count."""
    import torch

    shape, known = values.shape, _known(values, padded)
    cells = _tensor(values.reshape(-1, *shape[-2:]))
    counted = _tensor(known.reshape(-1, *shape[-2:]))
    board = torch.from_numpy(np.indices(shape[-2:]).sum(axis=0) % 2).float()
    with torch.inference_mode():
        black = _rebuild(net, cells, counted * (1 - board))
        white = _rebuild(net, cells, counted * board)
        squared = torch.where(board > 0, black, white).sub_(cells).square_().numpy()
    weights = FADE ** np.arange(LENGTH - 1, -1, -1.0)[:, None]
    weights /= weights.sum() * shape[-1]
    return np.asarray(squared.reshape(shape) * weights * known)


def _loss(
    net: torch.nn.ModuleDict, values: torch.Tensor, known: torch.Tensor, draw: torch.Tensor
) -> torch.Tensor:
    hidden = known * (draw < HIDDEN)
    squared = (_rebuild(net, values, known - hidden) - values).square() * hidden
    return squared.sum() / hidden.sum().clamp(min=1.0)


def _rebuild(net: torch.nn.ModuleDict, values: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """Windows rebuilt from the cells that `shown` marks with 1."""
    import torch

    _, (final, _) = net["encoder"](torch.cat([values * shown, shown], dim=-1))
    squeezed = net["squeeze"](final[-1]).tanh()
    decoded, _ = net["decoder"](squeezed.unsqueeze(1).expand(-1, values.shape[1], -1))
    rebuilt: torch.Tensor = net["output"](decoded)
    return rebuilt


def _net(n_metric: int, hidden: int, latent: int) -> torch.nn.ModuleDict:
    from torch import nn

    def layers() -> nn.ModuleDict:
        return nn.ModuleDict(
            {
                "encoder": nn.LSTM(2 * n_metric, hidden, batch_first=True),
                "squeeze": nn.Linear(hidden, latent),
                "decoder": nn.LSTM(latent, hidden, batch_first=True),
                "output": nn.Linear(hidden, n_metric),
            }
        )

    return blank(layers)


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.nan_to_num(values.astype(np.float32)))
