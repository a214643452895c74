"""What `POST /api/score` is measured against: `python -m benchmarks.serving_peer HOME PORT`.

`/api/score`: the same route and versions with one request in a batch. `/sklearn`: scikit-learn's isolation forest
as one would put it behind FastAPI, called per request.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sklearn.ensemble import IsolationForest

from models.scoring import RowScorer
from workbench.api import scoring
from workbench.context import Context, open_context
from workbench.operations import Caller
from workbench.server import settled
from workbench.settings import Settings

TREES, SAMPLE, FEATURES, LEARNED = 100, 2_048, 15, 20_000
"""Of scikit-learn's forest: as many trees and features as ours has."""


class Rows(BaseModel):
    """Rows of ready-made features."""

    rows: list[list[float]]


def build(context: Context) -> FastAPI:
    """Both peers in one application."""
    app = FastAPI()
    caller = Caller(context.settings.tenant, context.settings.user)
    app.include_router(scoring.build_router(lambda: context, lambda _: caller))
    forest = IsolationForest(n_estimators=TREES, max_samples=SAMPLE, random_state=0)
    forest.fit(np.random.default_rng(7).standard_normal((LEARNED, FEATURES)))

    @app.post("/sklearn")
    def by_forest(asked: Rows) -> list[dict[str, float]]:
        return [{"score": score} for score in -forest.score_samples(np.array(asked.rows))]

    return app


if __name__ == "__main__":
    home, port = sys.argv[1:]
    with open_context(Settings(home=Path(home))) as opened:
        alone = RowScorer(opened.serve, batch=1)
        app = build(dataclasses.replace(opened, scorer=alone))
        try:
            with settled():
                uvicorn.run(app, port=int(port), log_level="warning", access_log=False)
        finally:
            alone.close()
