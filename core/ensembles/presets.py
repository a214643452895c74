"""Fixed choices of parts, weights and combination, each with a name of its own."""

from __future__ import annotations

from dataclasses import dataclass

from core.contracts import Tags, param
from core.ensembles.calibrated import (
    COMBINATIONS,
    CalibratedEnsemble,
    CalibratedEnsembleParams,
)


def _parts(default: str) -> str:
    chosen: str = param(
        default,
        help="Detectors by catalogue name, with their weights; a forecaster votes by its residual",
    )
    return chosen


def _combination(default: str) -> str:
    chosen: str = param(
        default, help="How the p-values of the parts become one", choices=tuple(COMBINATIONS)
    )
    return chosen


@dataclass(frozen=True)
class Vote503020Params(CalibratedEnsembleParams):
    combination: str = _combination("vote")


class Vote503020(CalibratedEnsemble):
    """The specification's fixed vote: 0.5 LSTM, 0.3 streaming trees, 0.2 isolation forest.

    The weighted mean of the calibrated scores 1 − p of `ensemble`'s parts, calibrated once more.

    Good for: comparison with the specification. Bad for: anomalies that one part alone sees, as no part
    can outvote the others however sure it is.
    Score: −log10 p, 0 and up. Cost: that of the parts.

    Source: the product's specification; calibration as in `ensemble`.
    """

    name = "vote-50-30-20"
    source = "The product's specification: weights 0.5 / 0.3 / 0.2"
    Params = Vote503020Params


@dataclass(frozen=True)
class Majority2Of3Params(CalibratedEnsembleParams):
    parts: str = _parts("isolation-forest=1, elliptic-envelope=1, lstm-autoencoder=1")
    combination: str = _combination("majority")


class Majority2Of3(CalibratedEnsemble):
    """Two of three must agree: isolation forest, elliptic envelope and autoencoder.

    The evidence is the second smallest of the parts' p-values: it is below a level exactly where at least
    two parts are. Calibrated once more, so that the level below which two must lie is the one that keeps the
    alarm rate at alpha; parts that know nothing of each other would otherwise raise 3 · alpha² alarms.
    With a part left out, both others must agree.

    Good for: few false alarms from unlike detectors. Bad for: anomalies that one part alone can see, such as
    an odd order of ordinary days.
    Score: −log10 p, 0 and up. Cost: that of the parts.

    Source: the product's specification; Kuncheva, Combining Pattern Classifiers (2nd ed., 2014), section 4.2,
    for the majority vote; calibration as in `ensemble`.
    """

    name = "majority-2-of-3"
    source = "Kuncheva, Combining Pattern Classifiers (2014), section 4.2"
    tags = Tags(stochastic=True, min_times=10, tolerance=1e-3)
    Params = Majority2Of3Params
    cheap = {
        "settings": "isolation-forest.trees=20, isolation-forest.sample=256, elliptic-envelope.pool=500,"
        " lstm-autoencoder.hidden=8, lstm-autoencoder.latent=4, lstm-autoencoder.windows=200,"
        " lstm-autoencoder.epochs=3, lstm-autoencoder.rate=0.03"
    }


@dataclass(frozen=True)
class Failure404020Params(CalibratedEnsembleParams):
    parts: str = _parts("lstm=0.4, isolation-forest=0.4, prophet=0.2")
    combination: str = _combination("vote")


class Failure404020(CalibratedEnsemble):
    """The specification's failure predictor: 0.4 LSTM, 0.4 forest, 0.2 Prophet.

    The LSTM and Prophet vote by how far a day came out from their forecast, the isolation forest by how odd
    the day is beside all others. The weighted mean of the calibrated scores 1 − p, calibrated once more.
    Without Prophet installed the other two vote, and `left_out` says what to install.

    Good for: comparison with the specification; failures that announce themselves by leaving their course.
    Bad for: anomalies that one part alone sees; many entities, each of which Prophet fits a curve to.
    Score: −log10 p, 0 and up. Cost: that of the parts.

    Source: the product's specification; calibration as in `ensemble`.
    """

    name = "failure-40-40-20"
    source = "The product's specification: weights 0.4 / 0.4 / 0.2"
    tags = Tags(stochastic=True, min_times=10, tolerance=1e-3)
    Params = Failure404020Params
    # as far as the LSTM reads back
    context = 60
    cheap = {
        "settings": "lstm.hidden=8, lstm.windows=300, lstm.epochs=6, lstm.lags=14, lstm.rate=0.03,"
        " isolation-forest.trees=20, isolation-forest.sample=256, prophet.models=1"
    }
