from __future__ import annotations

import numpy as np
import pytest

from core.detectors.one_class_svm import OneClassSvm
from core.samples import sample


@pytest.mark.parametrize("params", [{}, {"nu": 0.1, "gamma": 0.3}])
def test_scores_are_those_of_pyod(params):
    ocsvm = pytest.importorskip("pyod.models.ocsvm")
    panel, fresh = sample(), sample(seed=1)
    detector = OneClassSvm(OneClassSvm.Params(**params)).fit(panel)
    centre, spread = detector.state["centre"], detector.state["spread"]
    rows, new = (
        2 * np.arcsinh((one.values - centre) / spread / 2).reshape(-1, 5) for one in (panel, fresh)
    )
    reference = ocsvm.OCSVM(nu=params.get("nu", 0.5), gamma=params.get("gamma", "scale")).fit(rows)
    assert np.allclose(detector.score(panel).ravel(), reference.decision_scores_, rtol=1e-6)
    assert np.allclose(detector.score(fresh).ravel(), reference.decision_function(new), rtol=1e-6)


def test_nu_is_the_share_outside_the_border():
    panel = sample()
    detector = OneClassSvm(OneClassSvm.Params(nu=0.1)).fit(panel)
    assert (detector.score(panel) > 0).mean() == pytest.approx(0.1, abs=0.02)
