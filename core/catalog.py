"""Every algorithm, one line each; nothing is imported before it is asked for."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from core.contracts import Algorithm
from core.errors import MissingExtraError, UnknownNameError, install

if TYPE_CHECKING:
    from core.cases import Localizer


@dataclass(frozen=True)
class Entry:
    """A registered algorithm: its name, and `module:Class` where it lives."""

    name: str
    target: str


ENTRIES = (
    Entry("robust-z", "core.detectors.robust_z:RobustZ"),
    Entry("isolation-forest", "core.detectors.isolation_forest:IsolationForest"),
    Entry("half-space-trees", "core.detectors.half_space_trees:HalfSpaceTrees"),
    Entry("lstm-autoencoder", "core.detectors.lstm_autoencoder:LstmAutoencoder"),
    Entry(
        "extended-isolation-forest",
        "core.detectors.extended_isolation_forest:ExtendedIsolationForest",
    ),
    Entry("dbscan", "core.detectors.neighbours:Dbscan"),
    Entry("one-class-svm", "core.detectors.one_class_svm:OneClassSvm"),
    Entry("elliptic-envelope", "core.detectors.elliptic_envelope:EllipticEnvelope"),
    Entry("lof", "core.detectors.neighbours:LocalOutlierFactor"),
    Entry("knn", "core.detectors.neighbours:NearestNeighbours"),
    Entry("ecod", "core.detectors.tails:Ecod"),
    Entry("copod", "core.detectors.tails:Copod"),
    Entry("hbos", "core.detectors.tails:Histograms"),
    Entry("pca", "core.detectors.components:PrincipalComponents"),
    Entry("lesinn", "core.detectors.lesinn:Lesinn"),
    Entry("vector-autoregression", "core.detectors.vector_autoregression:VectorAutoregression"),
    Entry("kmeans-windows", "core.detectors.kmeans:KMeansWindows"),
    Entry("dense-autoencoder", "core.detectors.networks:DenseAutoencoder"),
    Entry("vae", "core.detectors.networks:Vae"),
    Entry("deep-svdd", "core.detectors.networks:DeepSvdd"),
    Entry("matrix-profile", "core.detectors.matrix_profile:MatrixProfile"),
    Entry("spectral-residual", "core.detectors.spectral_residual:SpectralResidual"),
    Entry("seasonal-esd", "core.detectors.decomposition:SeasonalEsd"),
    Entry("stl-residual", "core.detectors.decomposition:StlResidual"),
    Entry("ewma", "core.detectors.ewma:Ewma"),
    Entry("seasonal-naive-residual", "core.detectors.forecast_residual:SeasonalNaiveResidual"),
    Entry("adaptive-conformal", "core.detectors.adaptive_conformal:AdaptiveConformal"),
    Entry("seasonal-naive", "core.forecasters.seasonal_naive:SeasonalNaive"),
    Entry("arima", "core.forecasters.arima:Arima"),
    Entry("ets", "core.forecasters.ets:Ets"),
    Entry("theta", "core.forecasters.theta:Theta"),
    Entry("prophet", "core.forecasters.prophet:Prophet"),
    Entry("prophet-xgboost", "core.forecasters.prophet:ProphetXgBoost"),
    Entry("lightgbm", "core.forecasters.boosted:LightGbm"),
    Entry("xgboost", "core.forecasters.boosted:XgBoost"),
    Entry("lstm", "core.forecasters.networks:Lstm"),
    Entry("gru", "core.forecasters.networks:Gru"),
    Entry("tcn", "core.forecasters.networks:Tcn"),
    Entry("arima-lstm", "core.forecasters.arima_lstm:ArimaLstm"),
    Entry("median-ensemble", "core.ensembles.median:MedianEnsemble"),
    Entry("logistic", "core.classifiers.logistic:Logistic"),
    Entry("random-forest", "core.classifiers.trees:RandomForest"),
    Entry("gradient-boosting", "core.classifiers.trees:GradientBoosting"),
    Entry("extra-trees", "core.classifiers.trees:ExtraTrees"),
    Entry("calibrated-trees", "core.classifiers.calibrated:CalibratedTrees"),
    Entry("causes", "core.rootcause.diagnosis:Causes"),
    Entry("ensemble", "core.ensembles.calibrated:CalibratedEnsemble"),
    Entry("headwater", "core.ensembles.headwater:Headwater"),
    Entry("vote-50-30-20", "core.ensembles.presets:Vote503020"),
    Entry("majority-2-of-3", "core.ensembles.presets:Majority2Of3"),
    Entry("failure-40-40-20", "core.ensembles.presets:Failure404020"),
    Entry("bfs-temporal", "core.rootcause.bfs_temporal:BfsTemporal"),
    Entry("robust-deviation", "core.rootcause.robust_deviation:RobustDeviation"),
    Entry("graph-residual", "core.rootcause.graph_residual:GraphResidual"),
    Entry("ranked-correlation", "core.rootcause.ranked_correlation:RankedCorrelation"),
    Entry("tree-scan", "core.rootcause.tree_scan:TreeScan"),
    Entry("headwater-cause", "core.rootcause.reranker:Reranker"),
    Entry("dimension-drilldown", "core.rootcause.drilldown:DimensionDrilldown"),
)


def get(name: str) -> type[Algorithm]:
    """The class of a registered algorithm, whether or not what it needs is installed."""
    for entry in ENTRIES:
        if entry.name == name:
            module, _, attribute = entry.target.partition(":")
            found: type[Algorithm] = getattr(importlib.import_module(module), attribute)
            return found
    names = [entry.name for entry in ENTRIES]
    # enough of them to find a slip of the fingers and a name cut short
    close = difflib.get_close_matches(name, names, cutoff=0.5) or names
    rule = f"one of the catalogue's, such as {', '.join(close[:3])}"
    raise UnknownNameError.of("catalog", "the algorithm", rule, name, "All: headwater algorithms")


def make(name: str, **params: Any) -> Any:
    """An unfitted algorithm with these parameters; MissingExtraError says what to install."""
    algorithm = get(name)
    if not installed(algorithm):
        missing = ", ".join(absent(algorithm))
        raise MissingExtraError.of(
            "catalog",
            name,
            f"installed with {missing}",
            "no such module",
            install(algorithm.tags.extra),
            dependency=missing,
        )
    return algorithm(algorithm.Params.of(params))


def entries(kind: str | None = None) -> Iterator[tuple[str, type[Algorithm]]]:
    """Name and class of every algorithm, of one kind or of all."""
    for entry in ENTRIES:
        algorithm = get(entry.name)
        if kind in (None, algorithm.kind):
            yield entry.name, algorithm


def localizers() -> Iterator[tuple[str, type[Localizer]]]:
    """Name and class of every localizer, as commands call them.

    One that shares its name with another algorithm ends in "-cause" in the catalogue and has its plain name here.
    """
    for name, algorithm in entries("localizer"):
        yield name.removesuffix("-cause"), cast("type[Localizer]", algorithm)


def localizer(name: str, **params: Any) -> Localizer:
    """A localizer by the name that commands call it; raises as `make` does."""
    apart = f"{name}-cause"
    known = any(entry.name == apart for entry in ENTRIES)
    found: Localizer = make(apart if known else name, **params)
    return found


def installed(algorithm: type[Algorithm]) -> bool:
    """Whether every module that the algorithm needs can be found."""
    return not absent(algorithm)


def absent(algorithm: type[Algorithm]) -> list[str]:
    """The modules that the algorithm needs and that cannot be found."""
    return [name for name in algorithm.tags.modules if importlib.util.find_spec(name) is None]


def describe() -> list[dict[str, Any]]:
    """One row per algorithm, for `headwater algorithms`, the API, the forms and the docs page."""
    return [
        {
            "name": name,
            "kind": algorithm.kind,
            "installed": installed(algorithm),
            "extra": algorithm.tags.extra,
            "install": install(algorithm.tags.extra),
            "source": algorithm.source,
            "summary": (inspect.getdoc(algorithm) or "").partition("\n")[0],
            "params": [
                {"name": spec.name, "default": spec.default, **spec.metadata}
                for spec in dataclasses.fields(algorithm.Params)
            ],
            "tags": dataclasses.asdict(algorithm.tags),
        }
        for name, algorithm in entries()
    ]
