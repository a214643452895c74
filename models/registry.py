"""Fitted algorithms as signed, immutable versions on disk; the only place where bytes become models.

`<root>/<name>/<version>/` holds data-only artifacts, `manifest.json` and `manifest.sig`. A version is written
into a private temporary folder, synced, renamed into place, and exists once its database row does: whatever a
crash leaves before that row is swept at the next start. `staged` holds a version between the two, for whoever
commits the row together with rows of its own. Loading trusts nothing it has not checked: signature,
names, lengths and digests are checked on the very bytes that are then parsed, and the model must reproduce
the scores of its own probe rows.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core import artifact, catalog
from core.contracts import (
    Algorithm,
    OnStep,
    Panel,
)
from core.errors import (
    ChecksumMismatchError,
    IncompatibleVersionError,
    InvalidInputError,
    MissingArtifactError,
    MissingExtraError,
    NotFoundError,
    PersistenceError,
    SignatureError,
    StoreError,
)
from core.lifecycle import library
from models import folders
from models import manifest as manifests
from models import probes as probing
from models.manifest import MANIFEST, SIGNATURE, Artifact, Manifest, Training, check_name
from models.ports import ALIASES, CHAMPION, AliasRow, VersionRow, VersionStore
from models.probes import PROBES
from models.signing import Keys

PREDICTIONS = "predictions.parquet"
ROW = (
    *("id", "domain", "name", "kind", "digest"),
    *("params", "metrics", "parent", "snapshot_digest"),
)
"""What a publication tells the records of a version."""
Load = Callable[[VersionRow], Algorithm]
"""The fitted algorithm of a version, or the PersistenceError that says why not."""

_SIGNATURE = re.compile(rb"([0-9a-f]{16}) ([A-Za-z0-9+/]{86}==)\n")
_DOMAIN = b"headwater/model-version/1"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a check of one version found: `error` names the kind of fault and `message` says it, "" when sound."""

    name: str
    version: str
    bytes: int
    error: str = ""
    message: str = ""

    @property
    def ok(self) -> bool:
        return not self.error


class Registry:
    """Publishes, verifies, loads and promotes versions of one installation."""

    def __init__(
        self,
        root: Path,
        store: VersionStore,
        keys: Keys,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.root = root
        self.store = store
        self.keys = keys
        self.clock = clock
        self._staged: set[Path] = set()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    # ── publish ──────────────────────────────────────────────────────────────────────────────────

    def publish(
        self,
        tenant: str,
        *,
        domain: str,
        algorithm: Algorithm,
        probes: Panel,
        training: Training,
        metrics: Mapping[str, float],
        parent: str = "",
        members: Mapping[str, str] | None = None,
        predictions: bytes | None = None,
        actor: str,
    ) -> VersionRow:
        """Write, sign and record one version of a fitted algorithm, as `staged` does; its row is added here."""
        staged = self.staged(
            tenant,
            domain=domain,
            algorithm=algorithm,
            probes=probes,
            training=training,
            metrics=metrics,
            parent=parent,
            members=members,
            predictions=predictions,
        )
        with staged as row:
            return self.store.add(tenant, row, actor=actor, at=self.clock())

    @contextmanager
    def staged(
        self,
        tenant: str,
        *,
        domain: str,
        algorithm: Algorithm,
        probes: Panel,
        training: Training,
        metrics: Mapping[str, float],
        parent: str = "",
        members: Mapping[str, str] | None = None,
        predictions: bytes | None = None,
        version: str = "",
    ) -> Iterator[dict[str, Any]]:
        """Write and sign a version's files; give the fields of its row, which the block is to commit.

        `probes` is a panel it can score, e.g. the training panel: 16 of its rows become the self-test. The
        model that goes to disk is read back and must score them as the one in memory does. `predictions` is what
        it said of its held-out rows: kept and signed with it, never read when serving. `version` is the id to
        publish under (`version_id`), a new one when absent: one id has one version, so files that an earlier try
        left without a row are replaced, and a version that has its row is given as it is. No sweep takes the
        files while the block runs; a block that fails without the row takes them away.
        """
        check_name("name", algorithm.name)
        created = self.clock()
        version = check_name("version", version or version_id(created))
        folder = self.root / algorithm.name / version
        with self._held(folder):
            known = self._row(tenant, version)
            if known is not None:
                yield {field: getattr(known, field) for field in ROW}
                return
            files, probe = self._tested(algorithm, probes)
            if predictions is not None:
                files[PREDICTIONS] = predictions
            signer = self.keys.signer()
            text = Manifest(
                tenant=tenant,
                domain=domain,
                name=algorithm.name,
                version=version,
                created=created.isoformat(),
                kind=algorithm.kind,
                algorithm=algorithm.name,
                params=dataclasses.asdict(algorithm.params),
                artifacts=tuple(_described(name, data) for name, data in sorted(files.items())),
                features=probe.metrics,
                probes=probe.entities,
                training=training,
                metrics={name: float(value) for name, value in metrics.items()},
                key_id=signer.key_id,
                parent=parent,
                members=dict(members or {}),
                libraries=manifests.libraries(),
                machine=manifests.machine(),
            ).encode()
            signed = base64.b64encode(signer.sign(_signed(tenant, algorithm.name, version, text)))
            files[MANIFEST] = text
            files[SIGNATURE] = f"{signer.key_id} {signed.decode()}\n".encode()
            folders.write(self.root, folder, files)
            try:
                yield {
                    "id": version,
                    "domain": domain,
                    "name": algorithm.name,
                    "kind": algorithm.kind,
                    "digest": hashlib.sha256(text).hexdigest(),
                    "params": dataclasses.asdict(algorithm.params),
                    "metrics": dict(metrics),
                    "parent": parent or None,
                    "snapshot_digest": training.snapshot_digest,
                }
            except Exception:
                with suppress(StoreError):  # the records are out of reach: the next sweep decides
                    if self._row(tenant, version) is None:
                        folders.remove(self.root, folder)
                raise

    @contextmanager
    def _held(self, folder: Path) -> Iterator[None]:
        """Keep the sweep away from a version whose row may still come."""
        self._staged.add(folder)
        try:
            yield
        finally:
            self._staged.discard(folder)

    def _row(self, tenant: str, version: str) -> VersionRow | None:
        try:
            return self.store.get(tenant, version)
        except NotFoundError:
            return None

    @staticmethod
    def _tested(algorithm: Algorithm, probes: Panel) -> tuple[dict[str, bytes], Panel]:
        """The artifacts of an algorithm, its probe rows among them, once they score as it does; and those rows."""
        files = dict(artifact.pack(algorithm.state))
        if {PROBES, PREDICTIONS} & set(files):
            rule = f"named other than {PROBES} and {PREDICTIONS}"
            raise InvalidInputError.of("registry", "an artifact", rule, sorted(files))
        probe = probing.rows(probes)
        expected = probing.outcome(algorithm, probe)
        again = revived(algorithm.name, algorithm.params, files)
        probing.check(again, probe, expected, probing.SAME)
        return files | {PROBES: probing.pack(probe, expected)}, probe

    # ── load ─────────────────────────────────────────────────────────────────────────────────────

    def load(self, tenant: str, version_id: str) -> Algorithm:
        """The fitted algorithm of a version, after every check.

        Raises NotFoundError, MissingArtifactError, SignatureError, ChecksumMismatchError,
        IncompatibleVersionError, SelfTestError, or PersistenceError for anything else that is not as written.
        """
        manifest, files = self._verified(tenant, version_id, leave={PREDICTIONS})
        probes = files.pop(PROBES, None)
        if probes is None:
            raise MissingArtifactError.of("registry", PROBES, "among the artifacts", sorted(files))
        who = f"{manifest.name} {manifest.version}"
        try:
            kind = catalog.get(manifest.algorithm)
            algorithm = revived(manifest.algorithm, kind.Params.of(manifest.params), files)
            probe, expected = probing.unpack(probes, manifest)
            here = (manifests.libraries(), manifests.machine())
            same = here == (manifest.libraries, manifest.machine)
            tolerance = probing.SAME if same else probing.ELSEWHERE
            probing.check(algorithm, probe, expected, tolerance)
        except PersistenceError:
            raise
        except MissingExtraError as error:
            missing = error.context["dependency"]
            raise IncompatibleVersionError.of(
                who, missing, "installed", "no such module", error.hint, dependency=missing
            ) from error
        except Exception as error:
            raise PersistenceError.of(
                who,
                "the model",
                "readable by this installation",
                type(error).__name__,
                str(error),
                dependency=getattr(error, "context", {}).get("dependency") or library(error),
            ) from error
        algorithm.model_id = manifest.version
        return algorithm

    def manifest(self, tenant: str, version_id: str) -> Manifest:
        """The manifest of a version, once its signature and all its bytes are verified."""
        return self._verified(tenant, version_id)[0]

    def probes(self, tenant: str, version_id: str) -> Panel:
        """The rows that a version tests itself with."""
        manifest, files = self._verified(tenant, version_id, leave={PREDICTIONS})
        if PROBES not in files:
            raise MissingArtifactError.of("registry", PROBES, "among the artifacts", sorted(files))
        return probing.unpack(files[PROBES], manifest)[0]

    def predictions(self, tenant: str, version_id: str) -> bytes | None:
        """What the model said of its held-out rows, as it was published; None for a version without."""
        return self._verified(tenant, version_id)[1].get(PREDICTIONS)

    def _verified(
        self, tenant: str, version_id: str, leave: Collection[str] = ()
    ) -> tuple[Manifest, dict[str, bytes]]:
        """The manifest and the verified bytes of every artifact but those to leave unread."""
        row = self.store.get(tenant, check_name("version", version_id))
        found, files = folders.read(self.root, check_name("name", row.name), row.id, leave)
        text, signature = files.pop(MANIFEST), files.pop(SIGNATURE)
        matched = _SIGNATURE.fullmatch(signature)
        if matched is None:
            raise SignatureError.of(row.id, SIGNATURE, "a key id and a signature", signature[:40])
        key = matched[1].decode()
        self.keys.verify(key, _signed(tenant, row.name, row.id, text), base64.b64decode(matched[2]))
        _check_digest(row.id, MANIFEST, text, row.digest)
        manifest = Manifest.decode(text)
        named = (manifest.tenant, manifest.domain, manifest.name, manifest.version, manifest.key_id)
        if named != (tenant, row.domain, row.name, row.id, key):
            rule = f"of {tenant}/{row.domain}/{row.name}"
            raise PersistenceError.of(row.id, "the manifest", rule, named)
        listed = {entry.file: entry for entry in manifest.artifacts}
        if {*listed, MANIFEST, SIGNATURE} != found:
            raise MissingArtifactError.of(
                row.id, "the artifacts", f"exactly {', '.join(sorted(listed))}", sorted(found)
            )
        for name, data in files.items():
            if len(data) != listed[name].bytes:
                raise ChecksumMismatchError.of(
                    row.id, name, f"{listed[name].bytes} bytes long", len(data)
                )
            _check_digest(row.id, name, data, listed[name].sha256)
        manifest.check_libraries()
        return manifest, files

    # ── aliases ──────────────────────────────────────────────────────────────────────────────────

    def promote(
        self,
        tenant: str,
        domain: str,
        version_id: str,
        *,
        alias: str = CHAMPION,
        actor: str,
        reason: str,
        seen: int | None = None,
    ) -> AliasRow:
        """Point an alias at a version whose files load; refused (ConflictError) if it moved since `seen`."""
        if alias not in ALIASES:
            raise InvalidInputError.of("registry", "alias", f"one of {', '.join(ALIASES)}", alias)
        check_reason(reason)
        current = self.store.alias(tenant, domain, alias)
        if seen is None:
            seen = current.version if current else 0
        if current is not None and (current.version_id, current.version) == (version_id, seen):
            rule = f"another than the {alias} of {domain}"
            raise InvalidInputError.of("promote", "the version", rule, version_id)
        self._check_domain(tenant, domain, version_id)
        self.load(tenant, version_id)
        return self.store.move_alias(
            tenant,
            domain,
            alias,
            version_id,
            seen=seen,
            actor=actor,
            reason=reason,
            at=self.clock(),
        )

    def rollback(
        self,
        tenant: str,
        domain: str,
        *,
        actor: str,
        reason: str,
        seen: int | None = None,
        load: Load | None = None,
    ) -> AliasRow:
        """Undo the last promotion: the champion before it serves again; the next call goes one further back.

        load : what is asked whether that one loads, e.g. a cache that still holds it; the files when absent

        Raises NotFoundError where none served before, ConflictError if the champion moved since `seen`, and
        the PersistenceError of a version that no longer loads: then the champion stays.
        """
        check_reason(reason)
        current = self.store.alias(tenant, domain, CHAMPION)
        last = self.store.last_promotion(tenant, domain, CHAMPION)
        if current is None or last is None or not last.previous:
            raise NotFoundError.of(
                "rollback",
                f"the champion of {domain}",
                "one that took over from another",
                current.version_id if current else None,
                "Promote another version: headwater models list",
            )
        row = self._check_domain(tenant, domain, last.previous)
        if load is None:
            self.load(tenant, row.id)
        else:
            load(row)
        return self.store.move_alias(
            tenant,
            domain,
            CHAMPION,
            last.previous,
            seen=current.version if seen is None else seen,
            actor=actor,
            reason=reason,
            at=self.clock(),
            undoes=last.id,
        )

    def _check_domain(self, tenant: str, domain: str, version_id: str) -> VersionRow:
        row = self.store.get(tenant, version_id)
        if row.domain != domain:
            rule = f"of domain {domain}"
            raise InvalidInputError.of("registry", "the version", rule, row.domain)
        return row

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────

    def verify(self, tenant: str, on_step: OnStep | None = None) -> list[Verdict]:
        """Load every version of a tenant as serving would, and say of each whether it is sound.

        A folder of the registry that no row speaks of is a fault of its own: a crash left it, or somebody
        put it there; it is never loaded.
        """
        rows = self.store.versions(tenant)
        verdicts = []
        for done, row in enumerate(rows):
            if on_step is not None:
                on_step(f"{row.name} {row.id}", done / len(rows), {})
            verdicts.append(self._verdict(tenant, row.name, row.id))
        for folder in sorted(self.root.glob("[a-z0-9]*/*")):
            if folder not in self._staged and not self._recorded(folder):
                error = MissingArtifactError.of(
                    folder.name, "its row", "in the records", None, "The next start sweeps it away."
                )
                verdicts.append(_fault(folder.parent.name, folder.name, error))
        return verdicts

    def _verdict(self, tenant: str, name: str, version: str) -> Verdict:
        try:
            self.load(tenant, version)
            manifest = self.manifest(tenant, version)
        except PersistenceError as error:
            return _fault(name, version, error)
        return Verdict(name, version, sum(artifact.bytes for artifact in manifest.artifacts))

    def sweep(self, older_than: timedelta = timedelta(hours=1)) -> list[str]:
        """Remove what a crash left: temporary folders, and version folders that never got their row.

        What is being published now is spared; a job that was cut off stages its version anew. Version folders go to `.orphans/` instead of being deleted: beside a database restored from an older
        backup they are versions that somebody may want back. Returns the names of what was moved away.
        """
        before = self.clock().timestamp() - older_than.total_seconds()
        moved = []
        for folder in sorted(self.root.glob(".tmp-*")):
            if folder.lstat().st_mtime <= before:
                shutil.rmtree(folder)
                moved.append(folder.name)
        for folder in sorted(self.root.glob("[a-z0-9]*/*")):
            young = folder in self._staged or folder.lstat().st_mtime > before
            if not young and not self._recorded(folder):
                orphans = self.root / ".orphans"
                orphans.mkdir(exist_ok=True, mode=0o700)
                folder.rename(orphans / f"{folder.name}-{secrets.token_hex(4)}")
                moved.append(f"{folder.parent.name}/{folder.name}")
        return moved

    def _recorded(self, folder: Path) -> bool:
        """Whether the version has its row; one whose manifest cannot be read is left where it is."""
        try:
            text = folders.read_one(self.root, folder.parent.name, folder.name, MANIFEST)
            tenant = Manifest.decode(text).tenant
            self.store.get(tenant, folder.name)
        except NotFoundError:
            return False
        except PersistenceError:
            return True
        return True


def check_reason(reason: str) -> None:
    """Refuse a move without a reason."""
    if not reason.strip():
        raise InvalidInputError.of("registry", "reason", "given", reason)


def _fault(name: str, version: str, error: PersistenceError) -> Verdict:
    told = f"{error.message} {error.hint}".strip()
    return Verdict(name, version, 0, type(error).__name__, told)


def version_id(at: datetime, work: str = "") -> str:
    """An id that sorts by time and is unique everywhere: 48 bits of milliseconds, 80 random bits, base 32.

    With `work` (a job and its fence), the 80 bits are from its SHA-256, so the same work has one id.
    """
    drawn = hashlib.sha256(work.encode()).digest()[:10] if work else secrets.token_bytes(10)
    number = int(at.timestamp() * 1000) << 80 | int.from_bytes(drawn)
    return "".join(
        "0123456789abcdefghjkmnpqrstvwxyz"[number >> shift & 31] for shift in range(125, -1, -5)
    )


def digest_of(algorithm: Algorithm) -> str:
    """SHA-256 of an algorithm's name, parameters and learned state: how an ensemble names its parts."""
    digest = hashlib.sha256(f"{algorithm.name}\0{algorithm.params!r}".encode())
    for name, data in sorted(artifact.pack(algorithm.state).items()):
        digest.update(f"\0{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def revived(name: str, params: Any, files: Mapping[str, bytes]) -> Algorithm:
    """A fitted algorithm from its packed state, nothing checked: for bytes that this installation just made."""
    return catalog.get(name)(params, state=artifact.unpack(files))


# ── bytes ────────────────────────────────────────────────────────────────────────────────────────


def _signed(tenant: str, name: str, version: str, text: bytes) -> bytes:
    """What is signed: the purpose, whose and which version it is, then the manifest's exact bytes."""
    parts = (_DOMAIN, tenant.encode(), name.encode(), version.encode(), text)
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def _described(name: str, data: bytes) -> Artifact:
    role, _, kind = name.rpartition(".")
    return Artifact(role, name, len(data), hashlib.sha256(data).hexdigest(), kind)


def _check_digest(who: str, name: str, data: bytes, expected: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise ChecksumMismatchError.of(who, f"{name}'s SHA-256", expected, found)
