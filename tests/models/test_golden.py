"""What an earlier Headwater saved still loads and scores alike; where it cannot, it says which library moved."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from core import catalog
from core.errors import IncompatibleVersionError
from models import manifest as manifests
from models.registry import Registry
from models.signing import Keys
from tests.models.mutants import Rows

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
VERSIONS = json.loads((GOLDEN / "rows.json").read_text())


@pytest.mark.parametrize(
    "version", [pytest.param(key, id=VERSIONS[key]["name"]) for key in VERSIONS]
)
def test_a_saved_version_loads_for_ever(version: str) -> None:
    kept = VERSIONS[version]
    if not catalog.installed(catalog.get(kept["name"])):
        pytest.skip(f"{kept['name']} needs an extra")
    rows = Rows()
    rows.rows[version] = SimpleNamespace(tenant="acme", id=version, domain="ads", **kept)
    registry = Registry(GOLDEN / "models", rows, Keys(GOLDEN / "keys"))  # type: ignore[arg-type]
    try:
        # the self-test of loading compares the scores of the probe rows with those of then
        assert registry.load("acme", version).fitted
    except IncompatibleVersionError as refused:
        text = (GOLDEN / "models" / kept["name"] / version / manifests.MANIFEST).read_bytes()
        then, now = manifests.Manifest.decode(text).libraries, manifests.libraries()
        library = refused.context["thing"]
        assert then[library].split(".")[:2] != now[library].split(".")[:2]


def test_every_format_has_a_golden_version() -> None:
    files = {path.suffix for path in (GOLDEN / "models").rglob("*.*") if path.is_file()}
    assert {".safetensors", ".json", ".ubj"} <= files
