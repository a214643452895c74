"""What a model version says about itself: `manifest.json`, written once, signed, and read strictly."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import core
from core.errors import IncompatibleVersionError, PersistenceError

SCHEMA = 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
LIBRARIES = (
    "lightgbm",
    "numba",
    "numpy",
    "prophet",
    "safetensors",
    "scikit-learn",
    "scipy",
    "statsmodels",
    "torch",
    "xgboost",
)
ALSO_KNOWN_AS = {"xgboost": "xgboost-cpu"}
"""The same library under the name of its smaller package."""
VECTOR_UNITS = ("amx_tile", "avx512f", "avx2", "avx", "sve", "asimd")
BOUND_FORMATS = {"ubj": "xgboost"}
"""Formats that only the library's own (major, minor) is sure to read; arrays and text are read by any."""

_FILE = re.compile(r"(?=.{3,128}$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Artifact:
    """One file of a version: what it holds, how long it is, and its SHA-256."""

    role: str
    file: str
    bytes: int
    sha256: str
    format: str


@dataclass(frozen=True)
class Training:
    """What the model learned from: the window's first and last period, its size, the data's digest."""

    start: str = ""
    end: str = ""
    step_seconds: int = 0
    entities: int = 0
    periods: int = 0
    snapshot_digest: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Manifest:
    """Everything about one version but its bytes.

    features : metric names in the order that the model was fitted on
    probes   : entities of the self-test rows
    members  : an ensemble's parts, name → digest
    """

    tenant: str
    domain: str
    name: str
    version: str
    created: str
    kind: str
    algorithm: str
    params: dict[str, Any]
    artifacts: tuple[Artifact, ...]
    features: tuple[str, ...]
    probes: tuple[str, ...]
    training: Training
    metrics: dict[str, float]
    key_id: str
    parent: str = ""
    members: dict[str, str] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    schema: int = SCHEMA

    def encode(self) -> bytes:
        """The one text of this manifest, as it is signed."""
        text = json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, allow_nan=False)
        return text.encode()

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Read exactly what `encode` writes: an unknown, missing or mistyped field is refused."""
        try:
            raw = json.loads(data, parse_constant=_no_constant, object_pairs_hook=_once_each)
        except (ValueError, RecursionError) as error:
            raise PersistenceError.of("manifest", "its text", "strict JSON", str(error)) from None
        if isinstance(raw, dict) and raw.get("schema") != SCHEMA:
            raise IncompatibleVersionError.of(
                "manifest", "schema", f"{SCHEMA}", raw.get("schema"), "Train the model again."
            )
        top = _strict(cls, raw)
        top["artifacts"] = tuple(Artifact(**_strict(Artifact, item)) for item in top["artifacts"])
        top["training"] = Training(**_strict(Training, top["training"]))
        top |= {"features": tuple(top["features"]), "probes": tuple(top["probes"])}
        manifest = cls(**top)
        for artifact in manifest.artifacts:
            if not _FILE.fullmatch(artifact.file) or not _SHA256.fullmatch(artifact.sha256):
                raise PersistenceError.of("manifest", "an artifact", "a plain file", artifact.file)
        return manifest

    def check_libraries(self) -> None:
        """Refuse a file format whose library changed its major or minor version since."""
        for artifact in self.artifacts:
            library = BOUND_FORMATS.get(artifact.format, "")
            if library and _minor(self.libraries.get(library, "")) != _minor(_version(library)):
                raise IncompatibleVersionError.of(
                    f"{self.name} {self.version}",
                    library,
                    self.libraries.get(library) or "recorded",
                    _version(library) or "not installed",
                    "Train the model again with this version.",
                    dependency=library,
                )


def libraries() -> dict[str, str]:
    """Versions of what scores depend on: Python, the libraries, and Headwater's own code."""
    found = {name: _version(name) for name in LIBRARIES}
    own = {"python": platform.python_version(), "headwater": _code()}
    return own | {name: v for name, v in found.items() if v}


@functools.cache
def _code() -> str:
    """Headwater's version and the first 12 hexadecimal digits of the SHA-256 over the sources of `core`."""
    digest = hashlib.sha256()
    top = Path(core.__file__ or "").parent
    for file in sorted(top.rglob("*.py")):
        digest.update(f"{file.relative_to(top)}\0".encode() + file.read_bytes())
    return f"{_version('headwater')}+{digest.hexdigest()[:12]}"


def machine() -> str:
    """What else the last bits of a score depend on: processor family, vector unit and thread count."""
    threads = os.environ.get("OMP_NUM_THREADS") or os.cpu_count()
    return f"{platform.machine()}/{_vector_unit()}/{threads}"


@functools.cache
def _vector_unit() -> str:
    """The widest of the vector units that matrix products are written for, "" where the system does not tell."""
    try:
        told = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return ""
    return next((unit for unit in VECTOR_UNITS if unit in told), "")


def check_name(thing: str, value: str) -> str:
    """A tenant-safe, path-safe name, or a refusal."""
    if not NAME.fullmatch(value):
        raise PersistenceError.of("registry", thing, f"like {NAME.pattern}", value)
    return value


def _version(library: str) -> str:
    for package in filter(None, (library, ALSO_KNOWN_AS.get(library))):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return ""


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a field is given twice")
    return dict(pairs)


_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "dict[str, Any]": (dict,),
    "dict[str, str]": (dict,),
    "dict[str, float]": (dict,),
    "tuple[Artifact, ...]": (list,),
    "tuple[str, ...]": (list,),
    "Training": (dict,),
}


def _strict(cls: type[Any], raw: Any) -> dict[str, Any]:
    specs = {spec.name: str(spec.type) for spec in dataclasses.fields(cls)}
    if not isinstance(raw, dict) or set(raw) != set(specs):
        shown = sorted(set(raw) ^ set(specs)) if isinstance(raw, dict) else type(raw).__name__
        raise PersistenceError.of("manifest", cls.__name__, f"exactly {', '.join(specs)}", shown)
    for name, value in raw.items():
        if type(value) not in _JSON_TYPES[specs[name]]:
            raise PersistenceError.of("manifest", name, f"of type {specs[name]}", value)
    return dict(raw)
