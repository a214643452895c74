"""Nets that judge rows: an autoencoder, a variational one, and a sphere that normal rows are drawn into."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats, OnStep, State, Tags, param
from core.detectors.rows import RowDetector, RowParams
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

VALIDATION = 0.2
"""Share of the rows that is held back for early stopping."""
SLOPE = 0.1
"""Of a leaky rectifier below 0."""
STEPS, DRAWS = 256, 8
"""Steps drawn once to go from a mean code: to learn on, and those over which a row's surprise is averaged."""
QUIET = 5.0
"""Largest logarithm, either way, of a variance that a net answers."""
OFF_CENTRE = 0.1
"""Least distance of each coordinate of the sphere's centre from 0, which dead units reach by themselves."""
SHIFT = 1.0
"""Added to every column of the sphere's rows: what is 0 stays 0 in a net without constant terms."""
DECAY = 1e-6
"""Weight of the squared weights in the loss of the sphere."""


@dataclass(frozen=True)
class NetParams(Schedule, RowParams):
    hidden: int = param(32, help="Width of the hidden layers", low=2, high=4_096)
    latent: int = param(
        4, help="Numbers that a row becomes, at most half of its own", low=1, high=1_024
    )
    epochs: int = param(10, help="Most passes over the training rows", low=1, high=1_000)
    patience: int = param(
        5, help="Passes without a better validation loss that end it", low=1, high=100
    )


class NetDetector(RowDetector):
    """Base of the nets that judge rows: three fully connected layers each way.

    A net learns on four fifths of the rows; the others stop it. It is kept small and learns briefly: rows
    that are judged are often among those it learned from, and a larger one learns the anomalies too. It
    answers in chunks of 1,024 rows, one thread each, so that the threads of the machine change no digit.

    A subclass writes its layers, its loss and its errors.
    """

    tags = Tags(stochastic=True, min_times=1, modules=("torch",), tolerance=SINGLE)
    Params = NetParams
    cheap = {"pool": 400, "hidden": 16, "latent": 2, "epochs": 8, "rate": 0.02}
    reach = 8.0

    @abstractmethod
    def _layers(self, n_column: int) -> torch.nn.Module:
        """The net, without values."""

    @abstractmethod
    def _loss(self, net: Any, rows: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
        """Mean loss of a batch."""

    @abstractmethod
    def _errors(self, net: Any, rows: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
        """(n_row,) scores."""

    def _middle(self, net: Any, rows: torch.Tensor) -> torch.Tensor:
        """What the loss is measured from, by the net before it learns; nothing by default."""
        return rows[:0, 0]

    def _learn(self, rows: Floats) -> State:
        return self._taught(rows, None)

    def _taught(self, rows: Floats, on_step: OnStep | None) -> State:
        params = self.params
        net = blank(lambda: self._layers(rows.shape[1]))
        initialise(net, params.hidden**-0.5, params.seed)
        order = np.random.default_rng(params.seed).permutation(len(rows))
        held = max(1, round(VALIDATION * len(rows)))
        training, validation = _tensor(rows[order[held:]]), _tensor(rows[order[:held]])
        with one_thread():
            centre = self._middle(net, training)
            # a buffer goes to the device that the net learns on
            net.register_buffer("middle", centre, persistent=False)

            def loss(net: Any, batch: torch.Tensor) -> torch.Tensor:
                return self._loss(net, batch, net.middle)

            history = train(net, loss, [training], [validation], params, on_step)
        return {
            **to_state(net),
            "middle": centre.numpy(),
            "columns": np.array(rows.shape[1]),
            "history": json.dumps(asdict(history)),
        }

    def _ready(self, state: State) -> Any:
        net = blank(lambda: self._layers(int(np.asarray(state["columns"]))))
        from_state(net, state)
        return net, _tensor(np.asarray(state["middle"]))

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        net, middle = scorer

        def errors(some: slice) -> NDArray[Any]:
            return np.asarray(self._errors(net, _tensor(rows[some]), middle).numpy())

        return side_by_side(errors, (len(rows),))

    def _latent(self, n_column: int) -> int:
        return int(max(1, min(self.params.latent, n_column // 2)))


class DenseAutoencoder(NetDetector):
    """How badly a row is rebuilt from a few numbers that a net squeezes it into.

    An encoder turns the row into `latent` numbers, a decoder turns them back; what normal rows have in
    common passes, what is new is lost.

    Good for: broken relations between metrics, and broken shapes where a row is a window; many columns.
    Bad for: training data with many anomalies, which it learns to rebuild; few rows.
    Score: mean squared error per column, in squared robust standard deviations. Cost: about 2 µs per row
    and core.

    Source: Sakurada & Yairi, Anomaly Detection Using Autoencoders with Nonlinear Dimensionality Reduction
    (MLSDA 2014), section 3.
    """

    name = "dense-autoencoder"
    source = (
        "Sakurada & Yairi, Anomaly Detection Using Autoencoders with Nonlinear Dimensionality "
        "Reduction (MLSDA 2014), section 3"
    )

    def _layers(self, n_column: int) -> torch.nn.Module:
        from torch import nn

        hidden, latent = self.params.hidden, self._latent(n_column)
        return nn.Sequential(
            nn.Linear(n_column, hidden),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, latent),
            nn.Linear(latent, hidden),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, n_column),
        )

    def _errors(self, net: Any, rows: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
        rebuilt: torch.Tensor = net(rows)
        return (rebuilt - rows).square().mean(dim=1)

    def _loss(self, net: Any, rows: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
        return self._errors(net, rows, centre).mean()


class Vae(NetDetector):
    """How improbable a row is under a net that draws rows from a few random numbers.

    An encoder answers the mean and variance of the row's code, a decoder the mean and variance of every
    column given a code. It learns the evidence lower bound with one drawn code per row; the score is the
    mean surprise over eight codes drawn around the row's own, the same eight steps for every row.

    Good for: columns of unlike noise, each judged by the noise it is expected to have; few latent causes.
    Bad for: training data with many anomalies; few rows; sharp shapes, which it smooths.
    Score: mean negative log-likelihood per column (nats), about 1.4 where nothing can be foretold and less,
    also below 0, where much can. Cost: about 15 µs per row and core.

    Source: Kingma & Welling, Auto-Encoding Variational Bayes (ICLR 2014), section 2; reconstruction
    probability as in An & Cho, Variational Autoencoder Based Anomaly Detection (2015), section 3.
    """

    name = "vae"
    source = (
        "Kingma & Welling, Auto-Encoding Variational Bayes (ICLR 2014), section 2; An & Cho, "
        "Variational Autoencoder Based Anomaly Detection (2015), section 3"
    )

    def _layers(self, n_column: int) -> torch.nn.Module:
        from torch import nn

        hidden, latent = self.params.hidden, self._latent(n_column)
        encoder = nn.Sequential(
            nn.Linear(n_column, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, 2 * latent)
        )
        decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, 2 * n_column)
        )
        return nn.ModuleDict({"encoder": encoder, "decoder": decoder})

    def _middle(self, net: Any, rows: torch.Tensor) -> torch.Tensor:
        """The steps from the mean code that are drawn, (STEPS, latent)."""
        import torch

        generator = torch.Generator().manual_seed(self.params.seed)
        return torch.randn(STEPS, self._latent(rows.shape[1]), generator=generator)

    def _loss(self, net: Any, rows: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
        mean, log_variance = _halves(net["encoder"](rows))
        # every row another of the drawn steps, so that the loss of a batch needs no random state
        steps = centre.repeat(len(rows) // STEPS + 1, 1)[: len(rows)]
        surprise = _surprise(net, rows, mean + steps * (log_variance / 2).exp())
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1)
        return (surprise + divergence / rows.shape[1]).mean()

    def _errors(self, net: Any, rows: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
        import torch

        mean, log_variance = _halves(net["encoder"](rows))
        spread = (log_variance / 2).exp()
        drawn = [_surprise(net, rows, mean + step * spread) for step in centre[:DRAWS]]
        return torch.stack(drawn).mean(dim=0)


class DeepSvdd(NetDetector):
    """How far a net puts a row from the centre that it draws normal rows together at.

    The net maps rows to `latent` numbers and learns to keep them near one point, the mean of what it made
    of them before it learned. Its layers have no constant terms and the centre keeps off zero: a net with
    them could map everything to the centre and be done. Such a net maps 0 to 0, where the most ordinary of
    standardised rows lies, so every column is shifted by one first.

    Good for: one compact kind of normal; fast scores. Bad for: several kinds of normal, which it draws into
    one; anomalies between them.
    Score: squared distance from the centre, 0 and up. Cost: about 1 µs per row and core.

    Source: Ruff et al., Deep One-Class Classification (ICML 2018), sections 3.2–3.3, without pretraining.
    """

    name = "deep-svdd"
    source = "Ruff et al., Deep One-Class Classification (ICML 2018), sections 3.2–3.3"

    def _layers(self, n_column: int) -> torch.nn.Module:
        from torch import nn

        hidden = self.params.hidden
        return nn.Sequential(
            nn.Linear(n_column, hidden, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, hidden, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, self.params.latent, bias=False),
        )

    def _middle(self, net: Any, rows: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.inference_mode():
            mean: torch.Tensor = net(rows + SHIFT).mean(dim=0)
        return torch.where(
            mean < 0, mean.clamp(max=-OFF_CENTRE), mean.clamp(min=OFF_CENTRE)
        ).clone()

    def _loss(self, net: Any, rows: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
        decay: torch.Tensor = sum(weight.square().sum() for weight in net.parameters()) * DECAY
        return self._errors(net, rows, centre).mean() + decay

    def _errors(self, net: Any, rows: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
        placed: torch.Tensor = net(rows + SHIFT)
        return (placed - centre).square().sum(dim=1)


def _halves(answer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and logarithm of the variance, side by side in a net's answer."""
    # where the layers run in half precision, the loss does not
    mean, log_variance = answer.float().chunk(2, dim=1)
    return mean, QUIET * (log_variance / QUIET).tanh()


def _surprise(net: Any, rows: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """(n_row,) mean negative log-likelihood per column of rows given their codes."""
    mean, log_variance = _halves(net["decoder"](codes))
    squared = (rows - mean).square() / log_variance.exp()
    surprise: torch.Tensor = 0.5 * (squared + log_variance + float(np.log(2 * np.pi))).mean(dim=1)
    return surprise


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    import torch

    return torch.from_numpy(values.astype(np.float32))
