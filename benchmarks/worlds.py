"""How well planted incidents are found, over worlds that nobody tuned to, with both root-cause methods side by side.

Seeds 101–110 are held out: parameters were chosen on seeds below 100.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.contracts import OnStep
from core.evaluate.causes import Score, total
from data.simulate.ads import simulate_ads
from workbench.context import Context, open_context
from workbench.services import demo, ingest, scorer
from workbench.services import scene as scenes
from workbench.services.findings import chosen_entities, located, sightings_of, stakes_of
from workbench.settings import Settings

SEEDS = range(101, 111)
METHODS = ("tree-scan", "bfs-temporal")
COUNTS = (
    "incidents",
    "found",
    "root_top1",
    "root_top3",
    "type_right",
    "false_alarms",
    "duplicates",
)


def run(on_step: OnStep, seeds: Sequence[int] = SEEDS, size: str = "S") -> list[dict[str, Any]]:
    """One row per world and method, then the sums: counts, and rates over the planted incidents."""
    rows = []
    scores: dict[str, list[Score]] = {method: [] for method in METHODS}
    for index, seed in enumerate(seeds):
        on_step(f"seed {seed}", index / len(seeds), {})
        for method, score in judge_world(seed, size).items():
            scores[method].append(score)
            rows.append({"seed": seed, "method": method, **_counts(score)})
    return rows + [_summary(method, found) for method, found in scores.items()]


def judge_world(seed: int, size: str = "S", world: str = "A") -> dict[str, Score]:
    """Simulate, import, detect and locate one world from nothing; the score of each method."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "world"
        simulate_ads(files, size=size, seed=seed, world=world)
        with open_context(Settings(home=Path(folder) / "home", tenant="bench")) as context:
            ingest.import_paths(context, "bench", [files])
            return score_world(context, "bench", files)


def score_world(context: Context, tenant: str, files: Path) -> dict[str, Score]:
    """Compare what is found in an imported world with its `truth/`, by method."""
    scene = scenes.look(context, tenant)
    served = scorer.serve(context, tenant, scene, domain="ads", detector="ensemble", actor="bench")
    judged = scenes.judge(scene, served.algorithm)
    sightings = sightings_of(scene, judged, chosen_entities(scene, None, None))
    stakes = stakes_of(scene, judged, sightings)
    return {
        method: demo.against_truth(files, located(scene, judged, sightings, stakes, method)[0])
        for method in METHODS
    }


def _counts(score: Score) -> dict[str, int]:
    return {name: getattr(score, name) for name in COUNTS}


def _summary(method: str, scores: Sequence[Score]) -> dict[str, Any]:
    whole = total(scores)
    return {
        "method": method,
        "worlds": len(scores),
        **_counts(whole),
        "found_rate": whole.found / whole.incidents,
        "root_top1_rate": whole.root_top1 / whole.incidents,
        "root_top3_rate": whole.root_top3 / whole.incidents,
        "most_false_alarms_in_a_world": max(score.false_alarms for score in scores),
        "mean_onset_error_days": sum(map(abs, whole.onset_errors))
        / max(len(whole.onset_errors), 1),
        "by_difficulty": {
            name: dataclasses.asdict(tally) for name, tally in whole.by_difficulty.items()
        },
        "by_type": {name: dataclasses.asdict(tally) for name, tally in whole.by_type.items()},
    }
