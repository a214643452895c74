"""Add golden model versions: what this version of Headwater saves, every later one must load or refuse by name.

`python -m tests.golden.make [NAME…]` publishes the named algorithms (all that have none yet) into this folder;
what is there is never written again. The key that signed them is thrown away.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from core import catalog
from core.checks import fitted, question
from models.manifest import Training
from models.registry import Registry
from models.signing import Keys
from tests.models.mutants import Rows

HERE = Path(__file__).parent
MODELS, KEYS, ROWS = HERE / "models", HERE / "keys", HERE / "rows.json"
LARGEST = 400_000
"""Bytes of a version that is kept; what is larger differs from a smaller one in length, not in kind."""


def main(names: list[str]) -> None:
    rows = json.loads(ROWS.read_text()) if ROWS.exists() else {}
    have = {row["name"] for row in rows.values()}
    wanted = names or [name for name, kind in catalog.entries() if kind.tags.trained]
    with tempfile.TemporaryDirectory() as folder:
        keys = Keys(Path(folder) / "keys")
        registry = Registry(Path(folder) / "models", Rows(), keys)  # type: ignore[arg-type]
        for name in wanted:
            if name in have or not catalog.installed(catalog.get(name)):
                continue
            algorithm = fitted(catalog.get(name))
            probes, training = question(type(algorithm)), Training()
            row = registry.publish(
                "acme",
                domain="ads",
                algorithm=algorithm,
                probes=probes,
                training=training,
                metrics={},
                actor="ana",
            )
            made = registry.root / name / row.id
            size = sum(file.stat().st_size for file in made.iterdir())
            sys.stdout.write(f"{name}: {size:,} bytes{' too many' * (size > LARGEST)}\n")
            if size <= LARGEST:
                shutil.copytree(made, MODELS / name / row.id)
                rows[row.id] = {"name": name, "digest": row.digest}
        KEYS.mkdir(exist_ok=True)
        for public in (Path(folder) / "keys").glob("*.pub"):
            shutil.copy(public, KEYS)
    ROWS.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
