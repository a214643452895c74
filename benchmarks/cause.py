"""Localizers on labelled suites of root causes, beside their peers in the same run and on the same cases.

Peers: the scorer of BARO as its authors publish it (fse-baro), n-sigma (both ways, the largest z of any metric) and
ranked correlation as the authors of PetShop run it. All are handed the case's periods from the one that holds the alarm
on, and the same normal periods. A peer that cannot look at a kind of case says so; one that breaks ends the run.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import pearsonr

from core.cases import Case, Cause, Truth
from core.contracts import Floats, OnStep, Panel
from core.errors import InvalidInputError, MissingExtraError, install
from core.evaluate.localisation import MEANS, Answer, candidates, difference, figures
from core.rootcause.surprise import judged
from data.cause_suites import CauseSuite, suites
from workbench.services.evaluate_cause import DEFAULTS, evaluate_cause

SUITES = Path("../shared/data/services")
"""Where the labelled suites lie beside a checkout."""
TOLD = (*MEANS, "chance_ac@1", "seconds_per_case")
ODD_MAD, LEAST = 5.0, 10
"""PetShop: deviations that are odd, in median absolute deviations, and normal periods that a node must have."""


def run(on_step: OnStep, path: Path = SUITES) -> list[dict[str, Any]]:
    """A row per suite and method, and per suite the product's own less the best peer, with its interval."""
    if not path.is_dir():
        rule = "a folder of labelled suites"
        raise InvalidInputError.of("bench cause", "the data", rule, str(path), "Give --data PATH")
    rows: list[dict[str, Any]] = []
    for suite in suites(path):
        on_step(suite.name, len(rows) / 40, {})
        ours = evaluate_cause(suite.root, methods=["all"], classes=False)["results"]
        theirs = _peers(suite)
        rows += [_row(suite, row["method"], row) for row in ours]
        rows += [_row(suite, f"{name} (peer)", row) for name, row in theirs.items()]
        own = next((row for row in ours if row["method"] in DEFAULTS), None)
        if theirs and own:
            rows.append(_compared(suite, own, theirs))
    return rows


def _first(row: Mapping[str, Any]) -> float:
    return float(row["ac@1"])


def _row(suite: CauseSuite, method: str, found: Mapping[str, Any]) -> dict[str, Any]:
    own = {f"subsystem_{name}": found.get(f"subsystem_{name}") for name in ("ac@1", "map@3")}
    told = {name: round(found[name], 4) for name in TOLD}
    told["answered"] = float(np.mean([bool(case["found"]) for case in found["per_case"]]))
    shown = {name: round(value, 4) for name, value in own.items() if value is not None}
    return {"name": f"{suite.name}: {method}", "cases": found["cases"], **told, **shown}


def _compared(
    suite: CauseSuite, ours: Mapping[str, Any], theirs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    peer = max(theirs, key=lambda name: _first(theirs[name]))
    pairs = [[case["ac@1"] for case in found["per_case"]] for found in (ours, theirs[peer])]
    mean, low, high = difference(*pairs)
    return {
        "name": f"{suite.name}: {ours['method']} less {peer}",
        "ac@1 more": round(mean, 4),
        "from": round(low, 4),
        "to": round(high, 4),
    }


# ── Peers ────────────────────────────────────────────────────────────────────────────────────────


def _peers(suite: CauseSuite) -> dict[str, dict[str, Any]]:
    """Figures of the peers on a suite of metrics; none look at events or attributes."""
    if suite.kind != "metrics":
        return {}
    cases = {name: suite.case(name) for name in suite.cases}
    truths: dict[str, Truth] = {name: suite.truth(name) for name in suite.cases}
    return {
        name: figures({key: _asked(rank, case) for key, case in cases.items()}, truths)
        for name, rank in PEERS.items()
    }


def _asked(rank: Callable[[Case, Panel, Panel], Mapping[str, float]], case: Case) -> Answer:
    panel, normal = case.panel, case.normal
    if panel is None or not isinstance(normal, Panel):
        raise InvalidInputError.of("bench cause", "the case", "one of metrics", case.kind)
    began = time.perf_counter()
    scores = rank(case, panel, normal)
    seconds = time.perf_counter() - began
    ranked = sorted(scores.items(), key=lambda pair: -pair[1])
    causes = [Cause(n, "unknown", case.alarm.at, (n,), 0, {}, score, 0.0) for n, score in ranked]
    return Answer(causes, candidates(case), seconds)


def baro(case: Case, panel: Panel, normal: Panel) -> dict[str, float]:
    """fse-baro's `robust_scorer`; its ranking of series, each node where its first series is."""
    if importlib.util.find_spec("baro") is None:
        rule = "installed with fse-baro"
        hint = install("peers")
        raise MissingExtraError.of("bench cause", "the peer", rule, "no such module", hint)
    import pandas as pd
    from baro.root_cause_analysis import robust_scorer

    seen = panel.values[:, judged(case)]
    both = np.concatenate([normal.values, seen], axis=1)
    # a series that is not whole in either part is one that it cannot scale
    whole = np.isfinite(normal.values).any(axis=1) & np.isfinite(seen).any(axis=1)
    columns = {
        f"s{row}.{column}": both[row, :, column] for row, column in np.argwhere(whole).tolist()
    }
    table = pd.DataFrame({"time": np.arange(both.shape[1], dtype=float), **columns})
    filled = table.ffill().bfill()
    ranks = robust_scorer(filled, inject_time=float(normal.values.shape[1]))["ranks"]
    best: dict[str, float] = {}
    for place, name in enumerate(ranks):
        node = panel.entities[int(name[1:].partition(".")[0])]
        best.setdefault(node, -float(place))
    return best


def n_sigma(case: Case, panel: Panel, normal: Panel) -> dict[str, float]:
    """The largest |x − mean| / sd of any metric of a node."""
    seen, held = panel.values[:, judged(case)], np.ma.masked_invalid(normal.values)
    mean, sd = held.mean(axis=1).filled(np.nan), held.std(axis=1).filled(np.nan)
    # scikit-learn's StandardScaler, which RCAEval's n-sigma uses, takes 1 for a series that never moved
    z = np.abs(seen - mean[:, None]) / np.where(sd == 0, 1.0, sd)[:, None]
    best = np.where(np.isfinite(z), z, -1.0).max(axis=(1, 2))
    return {
        node: score for node, score in zip(panel.entities, best.tolist(), strict=True) if score >= 0
    }


def ranked_correlation(case: Case, panel: Panel, normal: Panel) -> dict[str, float]:
    """Odd nodes by the p-value of their correlation with the alarm's metric in the abnormal periods.

    Nodes are odd where they lie 5 median absolute deviations out in the third period, or the first after it in which the
    alarm's node does. Where the alarm names no metric, its own oddest is taken.
    """
    seed = case.alarm.node
    if seed not in panel.row_of:
        return {}
    named = [case.alarm.metric] if case.alarm.metric in panel.metrics else list(panel.metrics)
    tried = {metric: _odd(panel.metric(metric), normal.metric(metric)) for metric in named}
    row = panel.row_of[seed]
    metric = max(named, key=lambda name: float(tried[name][row, 2:].max(initial=0.0)))
    values, size = panel.metric(metric), tried[metric]
    later = np.flatnonzero(size[row, 2:] > ODD_MAD)
    if not len(later):
        return {}
    at = 2 + int(later[0])
    found = {}
    for node, place in panel.row_of.items():
        both = np.isfinite(values[place]) & np.isfinite(values[row])
        if node == seed or size[place, at] <= ODD_MAD or both.sum() < 3:
            continue
        if np.ptp(values[place, both]) and np.ptp(values[row, both]):
            found[node] = -float(pearsonr(values[place, both], values[row, both]).pvalue)
    return found


def _odd(seen: Floats, normal: Floats) -> Floats:
    """|x − median| / (1.4826 MAD) per node and period; 0 where a node is too seldom seen in normal periods."""
    held = np.ma.masked_invalid(normal)
    centre = np.ma.median(held, axis=1).filled(np.nan)[:, None]
    mad = 1.4826 * np.ma.median(np.abs(held - centre), axis=1).filled(np.nan)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.abs(seen - centre) / mad
    known = np.isfinite(seen) & (held.count(axis=1) >= LEAST)[:, None] & ~np.isnan(size)
    return np.where(known, size, 0.0)


PEERS: Mapping[str, Callable[[Case, Panel, Panel], Mapping[str, float]]] = {
    "fse-baro": baro,
    "n-sigma": n_sigma,
    "ranked correlation": ranked_correlation,
}
