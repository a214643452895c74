"""What a linear model of each series leaves over, forecast by one net of all: the hybrid of Zhang."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Floats, Forecaster, Labels, OnStep, Panel, State, Tags, param
from core.forecasters.arima import Arima, ArimaParams
from core.forecasters.intervals import held_out
from core.forecasters.networks import Lstm, NetworkParams
from core.parts import above, under
from core.training import SINGLE


class ResidualLstm(Lstm):
    """An `lstm` of residuals, which return to 0 and not to their newest value."""

    anchored = False


@dataclass(frozen=True)
class ArimaLstmParams(NetworkParams, ArimaParams):
    # far errors of a linear model are mostly noise, which would drown the near ones
    ahead: int = param(
        1,
        help="Periods whose errors are forecast at once, further ones build on them; 0 takes two seasons",
        low=0,
        high=1_000,
    )


class ArimaLstm(Forecaster):
    """ARIMA for what is linear in each series, one LSTM over all series for what ARIMA leaves over.

    The net learns the errors that ARIMA made one step ahead and forecasts the next ones; its forecast is
    added to ARIMA's by the share, 0 to 1 for each metric, by which it explained the errors of the latest
    fifth of the periods: a net that found nothing changes nothing. Intervals are ARIMA's, moved along.

    Good for: series with a linear core and a rest that other series share. Bad for: short histories, where
    the errors say little; haste, as both are fitted.
    An entity never seen in training is forecast as by `arima`, with its errors read by the same net.
    Units: those of the panel. Cost: that of `arima` and `lstm` together.

    Source: Zhang, Time series forecasting using a hybrid ARIMA and neural network model (Neurocomputing
    2003), section 3, with an LSTM as the net.
    """

    name = "arima-lstm"
    source = (
        "Zhang, Time series forecasting using a hybrid ARIMA and neural network model "
        "(Neurocomputing 2003), section 3"
    )
    tags = Tags(stochastic=True, min_times=15, modules=("numba", "torch"), tolerance=SINGLE)
    Params = ArimaLstmParams
    cheap = {**Arima.cheap, **Lstm.cheap}

    def _fit(self, panel: Panel, labels: Labels | None, on_step: OnStep | None) -> State:
        arima = Arima(self.params).fit(panel, labels, on_step)
        predicted = arima.predict(panel)
        errors = _errors(panel, predicted)
        lstm = ResidualLstm(self.params).fit(errors, labels, on_step)
        late = slice(len(panel.periods) - held_out(len(panel.periods)), None)
        share = _borne_out(
            *(part[:, late] for part in (errors.values, lstm.predict(errors)[..., 1], predicted))
        )
        return {"share": share, **above(arima.state, "arima"), **above(lstm.state, "lstm")}

    def _open(self, state: State) -> tuple[Arima, Lstm, Floats]:
        arima, lstm = under(state, "arima"), under(state, "lstm")
        share = np.asarray(state["share"])
        return Arima(self.params, state=arima), ResidualLstm(self.params, state=lstm), share

    def _forecast(self, scorer: Any, panel: Panel, horizon: int) -> Floats:
        arima, lstm, share = scorer
        errors = _errors(panel, arima.predict(panel))
        return _moved(arima.forecast(panel, horizon), lstm.forecast(errors, horizon), share)

    def _predict(self, scorer: Any, panel: Panel) -> Floats:
        arima, lstm, share = scorer
        predicted = arima.predict(panel)
        return _moved(predicted, lstm.predict(_errors(panel, predicted)), share)


def _errors(panel: Panel, predicted: Floats) -> Panel:
    """What the predictions missed, NaN where there was none."""
    return panel.with_values(panel.values - predicted[..., 1])


def _moved(linear: Floats, rest: Floats, share: Floats) -> Floats:
    """The linear forecast with its interval, moved by a share of the forecast of the rest."""
    # where no error is known yet, the linear forecast stands as it is
    moved: Floats = linear + np.nan_to_num(share * rest[..., 1])[..., None]
    return moved


def _borne_out(errors: Floats, forecasts: Floats, predicted: Floats) -> Floats:
    """(n_metric,) slope of errors on their forecasts (n_entity, n_time, n_metric), within 0 … 1.

    predicted : the linear predictions, whose intervals tell in which unit the entities compare
    """
    width = predicted[..., 2] - predicted[..., 0]
    known = np.isfinite(errors) & np.isfinite(forecasts) & (width > 0)
    told, came = (
        np.divide(part, width, out=np.zeros_like(part), where=known) for part in (forecasts, errors)
    )
    size = (told * told).sum(axis=(0, 1))
    together = (told * came).sum(axis=(0, 1))
    slope = np.divide(together, size, out=np.zeros_like(size), where=size > 0)
    return np.asarray(np.clip(slope, 0.0, 1.0))
