"""Mutants of saved versions, and what the registry makes of each: a program, so that its death is seen.

`python -m tests.models.mutants HOME SEED COUNT NAME…` publishes the named algorithms into HOME, loads COUNT
mutants of them, one after the other, and prints one JSON line per mutant: its kind, the file, what became
of it. A mutant that costs more than two seconds of processor time counts as a hang.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from core import catalog
from core.checks import answer, fitted, question
from core.errors import NotFoundError, PersistenceError
from models import registry as registries
from models.manifest import MANIFEST, SIGNATURE, Training
from models.registry import PROBES, Registry
from models.signing import Keys

PATIENCE, MEMORY = 2.0, 4 << 30
"""Seconds of processor time, and bytes of address space above the start, that a mutant may take."""
WHOLE = {MANIFEST, SIGNATURE}
Files = dict[str, bytes]
"""A version's folder: file name → bytes."""


class Rows:
    """The rows of the versions, in memory: `get` is all that loading asks of a store."""

    def __init__(self) -> None:
        self.rows: dict[str, SimpleNamespace] = {}

    def add(self, tenant: str, fields: Any, **_: Any) -> SimpleNamespace:
        row = self.rows[fields["id"]] = SimpleNamespace(tenant=tenant, **fields)
        return row

    def get(self, _tenant: str, version: str) -> SimpleNamespace:
        if version not in self.rows:
            raise NotFoundError.of("rows", "version", "a known one", version)
        return self.rows[version]


@dataclasses.dataclass(frozen=True)
class World:
    """The published versions with their pristine bytes, the keys, and one that nobody here trusts."""

    registry: Registry
    pristine: dict[str, Files]
    expected: dict[str, Any]
    keys: Keys
    foreign: Keys

    def row(self, version: str) -> SimpleNamespace:
        return self.registry.store.rows[version]  # type: ignore[attr-defined]

    def folder(self, version: str) -> Path:
        return self.registry.root / self.row(version).name / version


def publish(home: Path, names: list[str]) -> World:
    """Two versions of each algorithm, of one tenant."""
    keys, foreign = Keys(home / "keys"), Keys(home / "foreign")
    registry = Registry(home / "registry", Rows(), keys)  # type: ignore[arg-type]
    pristine, expected = {}, {}
    for name in names:
        algorithm = fitted(catalog.get(name))
        for _ in range(2):
            row = registry.publish(
                "acme",
                domain="ads",
                algorithm=algorithm,
                probes=question(type(algorithm)),
                training=Training(),
                metrics={},
                actor="ana",
            )
            folder = registry.root / name / row.id
            pristine[row.id] = {path.name: path.read_bytes() for path in folder.iterdir()}
            expected[row.id] = answer(algorithm, question(type(algorithm)))
    return World(registry, pristine, expected, keys, foreign)


# ── Mutations: each changes a version's folder on disk, and says what it touched ──────────────────

Mutation = Callable[[World, str, random.Random], str]


def _write(world: World, version: str, file: str, data: bytes) -> str:
    (world.folder(version) / file).write_bytes(data)
    return file


def _any(world: World, version: str, rng: random.Random) -> tuple[str, bytes]:
    return rng.choice(sorted(world.pristine[version].items()))


def flip(world: World, version: str, rng: random.Random) -> str:
    file, data = _any(world, version, rng)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return _write(world, version, file, bytes(changed))


def truncate(world: World, version: str, rng: random.Random) -> str:
    file, data = _any(world, version, rng)
    return _write(world, version, file, data[: rng.randrange(len(data))])


def extend(world: World, version: str, rng: random.Random) -> str:
    file, data = _any(world, version, rng)
    return _write(world, version, file, data + rng.randbytes(rng.randrange(1, 64)))


def overwrite(world: World, version: str, rng: random.Random) -> str:
    file, data = _any(world, version, rng)
    start = rng.randrange(len(data))
    stop = min(start + rng.randrange(1, 256), len(data))
    other = bytes(byte ^ rng.randrange(1, 256) for byte in data[start:stop])
    return _write(world, version, file, data[:start] + other + data[stop:])


def swap(world: World, version: str, rng: random.Random) -> str:
    first, second = rng.sample(sorted(world.pristine[version]), 2)
    _write(world, version, first, world.pristine[version][second])
    return _write(world, version, second, world.pristine[version][first])


def rename(world: World, version: str, rng: random.Random) -> str:
    file, _ = _any(world, version, rng)
    new = rng.choice(("model.pkl", "..safetensors", "x" * 200 + ".json", "é.json", file.upper()))
    (world.folder(version) / file).rename(world.folder(version) / new)
    return file


def remove(world: World, version: str, rng: random.Random) -> str:
    file, _ = _any(world, version, rng)
    (world.folder(version) / file).unlink()
    return file


def add(world: World, version: str, rng: random.Random) -> str:
    return _write(world, version, f"{rng.randrange(99)}.safetensors", rng.randbytes(20))


def reorder(world: World, version: str, rng: random.Random) -> str:
    """The manifest says the same in another order, its lists shuffled."""
    manifest = json.loads(world.pristine[version][MANIFEST])
    fields = list(manifest.items())
    rng.shuffle(fields)
    for key in ("features", "artifacts", "probes"):
        rng.shuffle(manifest[key])
    shuffled = {key: manifest[key] for key, _ in fields}
    return _write(world, version, MANIFEST, json.dumps(shuffled).encode())


def transplant(world: World, version: str, rng: random.Random) -> str:
    """Another signed version in its place, whole or in part."""
    other = rng.choice([key for key in world.pristine if key != version])
    for file, data in world.pristine[other].items():
        if rng.random() < 0.7 or file in WHOLE:
            _write(world, version, file, data)
    return other


def foreign(world: World, version: str, rng: random.Random) -> str:
    """Changed, and signed by a key that nobody here trusts, under its own name or under ours."""
    text = _damaged(world, version, rng)
    signer = world.foreign.signer()
    claimed = rng.choice((signer.key_id, world.keys.signer().key_id))
    return _sign(world, version, text, claimed, signer.sign)


def insider(world: World, version: str, rng: random.Random) -> str:
    """Changed by who holds our key: only the strict reading and the self-test stand in the way."""
    text = _damaged(world, version, rng)
    world.row(version).digest = hashlib.sha256(text).hexdigest()
    signer = world.keys.signer()
    return _sign(world, version, text, signer.key_id, signer.sign)


def _sign(world: World, version: str, text: bytes, key: str, sign: Callable[[bytes], bytes]) -> str:
    signed = registries._signed("acme", world.row(version).name, version, text)
    line = f"{key} {base64.b64encode(sign(signed)).decode()}\n"
    _write(world, version, SIGNATURE, line.encode())
    return _write(world, version, MANIFEST, text)


def _damaged(world: World, version: str, rng: random.Random) -> bytes:
    """A manifest with one thing wrong; where that is an artifact, its digest is put right."""
    manifest = json.loads(world.pristine[version][MANIFEST])
    artifacts = {entry["file"]: entry for entry in manifest["artifacts"]}
    # bytes that libraries of their own parse are handed over only as they were signed
    own = [file for file in artifacts if file.endswith((".safetensors", ".json"))]
    change = rng.choice(("path", "field", "type", "unknown", "features", "params", "artifact"))
    if change == "path":
        rng.choice(manifest["artifacts"])["file"] = rng.choice(
            ("../../etc/passwd", "/etc/passwd", "a/b.json", "..", "", "x\0.json", f"../{MANIFEST}")
        )
    elif change == "field":
        del manifest[rng.choice(sorted(manifest))]
    elif change == "type":
        manifest[rng.choice(sorted(manifest))] = rng.choice((None, 3, "x", [], {}, [[]], 1e300))
    elif change == "unknown":
        manifest[rng.choice(("trusted", "skip_checks", "schema "))] = True
    elif change == "features":
        manifest["features"] = rng.choice(
            (manifest["features"][::-1], manifest["features"][1:], ["a", *manifest["features"][1:]])
        )
    elif change == "params":
        manifest["params"] = {**manifest["params"], rng.choice(("seed", "no_such")): -7}
    else:
        file = rng.choice([file for file in own if file != PROBES] or own)
        data = _spoiled(world.pristine[version][file], rng)
        _write(world, version, file, data)
        artifacts[file] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return json.dumps(manifest, indent=1, sort_keys=True).encode()


def _spoiled(data: bytes, rng: random.Random) -> bytes:
    """Bytes that do not parse, or claim more than there is."""
    nested = b"[" * 100_000
    claim = (1 << rng.choice((20, 40, 62))).to_bytes(8, "little")
    return rng.choice((data[: len(data) // 2], data[:-1], nested, claim + data[8:], b"{}", b""))


def trick(world: World, version: str, rng: random.Random) -> str:
    """A link, a pipe or a folder where a plain file should be."""
    file, data = _any(world, version, rng)
    path, outside = world.folder(version) / file, world.registry.root.parent / f"outside-{file}"
    outside.write_bytes(data)
    path.unlink()
    kind = rng.choice(("symlink", "hardlink", "pipe", "folder", "device"))
    if kind == "symlink":
        path.symlink_to(outside)
    elif kind == "hardlink":
        path.hardlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    return f"{file} as a {kind}"


def elsewhere(world: World, version: str, _rng: random.Random) -> str:
    """The folder itself is a link to a good copy outside."""
    folder, outside = world.folder(version), world.registry.root.parent / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    folder.rename(outside)
    folder.symlink_to(outside)
    return "the folder"


def bomb(world: World, version: str, rng: random.Random) -> str:
    """A file that is vast on disk or would be when parsed."""
    file, _ = _any(world, version, rng)
    path = world.folder(version) / file
    if rng.random() < 0.5:
        os.truncate(path, 1 << rng.choice((31, 40)))
        return f"{file}, sparse"
    return _write(world, version, file, b"[" * (1 << 20))


MUTATIONS: dict[str, Mutation] = {
    mutation.__name__: mutation
    for mutation in (
        *(flip, truncate, extend, overwrite, swap, rename, remove, add, reorder),
        *(transplant, foreign, insider, trick, elsewhere, bomb),
    )
}


# ── The run ──────────────────────────────────────────────────────────────────────────────────────


class HungError(BaseException):
    """A mutant took too long; no handler of the code under test may swallow it."""


@contextmanager
def watched() -> Iterator[None]:
    """Raise HungError after two seconds of processor time."""

    def stop(*_: Any) -> None:
        raise HungError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def restore(world: World, version: str) -> None:
    folder = world.folder(version)
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    for file, data in world.pristine[version].items():
        (folder / file).write_bytes(data)
    world.row(version).digest = hashlib.sha256(world.pristine[version][MANIFEST]).hexdigest()


def outcome(world: World, version: str) -> dict[str, str]:
    """What became of a mutant: refused with which error, loaded alike, or one of the three that must not be."""
    try:
        with watched():
            algorithm = world.registry.load("acme", version)
    except PersistenceError as error:
        return {"end": "refused", "error": type(error).__name__, "message": error.message[:300]}
    except HungError:
        return {"end": "hung"}
    except Exception as error:
        return {"end": "unnamed", "error": type(error).__name__, "message": str(error)[:300]}
    now = answer(algorithm, question(type(algorithm)))
    same = np.allclose(now, world.expected[version], rtol=1e-5, atol=1e-5, equal_nan=True)
    return {"end": "alike" if same else "wrong"}


def main(home: str, seed: str, count: str, *names: str) -> None:
    world = publish(Path(home), list(names))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    rng = random.Random(int(seed))
    for number in range(int(count)):
        version = rng.choice(sorted(world.pristine))
        kind = rng.choice(sorted(MUTATIONS))
        touched = MUTATIONS[kind](world, version, rng)
        end = outcome(world, version)
        restore(world, version)
        at = datetime.now(UTC).isoformat()
        line = {"number": number, "kind": kind, "touched": touched, "at": at, **end}
        sys.stdout.write(json.dumps({**line, "algorithm": world.row(version).name}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
