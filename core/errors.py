"""Every error Headwater raises on purpose, in one hierarchy and one sentence shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self


class HeadwaterError(Exception):
    """An error a person can act on: who refused, which thing, the rule, the value, the cure.

    `context` holds the same facts as fields, for the API, the log and the page: who, thing, needed (the
    rule), got (the value); from inside an algorithm also model_id, operation, entities, times, samples, and the
    dependency, the library in which it broke or that is missing.
    """

    cure: ClassVar[str] = ""
    """The hint where none is given."""

    def __init__(self, message: str, *, hint: str = "", **context: Any) -> None:
        hint = hint or self.cure
        super().__init__(f"{message}\nHint: {hint}" if hint else message)
        self.message = message
        self.hint = hint
        self.context = context

    @classmethod
    def of(
        cls, who: str, thing: str, rule: str, value: Any, hint: str = "", **context: Any
    ) -> Self:
        """Build `{who}: {thing} must be {rule}. Got {value!r}.` with an optional hint."""
        message = f"{who}: {thing} must be {rule}. Got {_shown(value)}."
        return cls(message, hint=hint, who=who, thing=thing, needed=rule, got=value, **context)


class InvalidInputError(HeadwaterError):
    """What the caller handed over breaks a stated rule."""


class NotEnoughDataError(InvalidInputError):
    """Fewer rows, days or entities than the algorithm needs; the message gives both numbers."""


class DeviceError(InvalidInputError):
    """A device to learn on that is not there; the message names those that are."""

    cure = "Take one of these, or make the GPU visible to this process."


class UnknownNameError(InvalidInputError):
    """A metric, entity, level, algorithm or version that nobody registered."""


class NotFoundError(HeadwaterError):
    """A record that does not exist for this tenant."""


class ConflictError(HeadwaterError):
    """Somebody else changed the record first; the message shows both values."""


class BusyError(HeadwaterError):
    """More is asked at once than can be answered in time; nothing of it was done."""

    cure = "Ask again in a moment, or ask for less at once."


class PermissionDeniedError(HeadwaterError):
    """The actor may not do this."""


class MissingExtraError(HeadwaterError):
    """An optional library is absent; the hint is the command that installs it."""


class NotFittedError(HeadwaterError):
    """A score was asked of an algorithm that has learned nothing yet."""


class TrainingError(HeadwaterError):
    """Fitting failed: too few samples, a loss that is not finite, a cancelled run."""

    cure = "Look for infinite or constant values in the data, or take other parameters."


class DivergedError(TrainingError):
    """The loss is no longer a number; the message names the epoch."""

    cure = (
        "Lower the learning rate; where it is the first epoch, look for infinite or very large "
        "values in the data."
    )


class CancelledError(TrainingError):
    """Whoever listened to the steps asked to stop; at most a checkpoint was kept."""

    cure = "Fit it again; nothing of this run was kept."


class PredictionError(HeadwaterError):
    """Scoring failed or gave something that is not a score."""

    cure = "Look for infinite or very large values in the data, or fit the model again."


class StoreError(HeadwaterError):
    """A database or file store could not do what was asked."""


class PersistenceError(HeadwaterError):
    """A saved model cannot be trusted or read."""

    cure = "Take another version, or train the model again."


class SignatureError(PersistenceError):
    """The manifest's signature is missing, foreign or wrong."""

    cure = "Restore the version and the signing keys from a backup, or train the model again."


class ChecksumMismatchError(PersistenceError):
    """An artifact's bytes are not the ones that were signed."""

    cure = "Restore the version's folder from a backup, or train the model again."


class MissingArtifactError(PersistenceError):
    """A file that the manifest lists is absent, or one that it does not list is present."""

    cure = "Restore the version's folder from a backup, or train the model again."


class IncompatibleVersionError(PersistenceError):
    """The manifest's schema or a library it depends on does not match this installation."""

    cure = "Install what the model was saved with, or train it again."


class SelfTestError(PersistenceError):
    """A loaded model does not reproduce the scores of its own probe rows."""

    cure = "Train the model again."


def install(extra: str) -> str:
    """The command that installs an extra of pyproject, or the base where it is ""."""
    return f'pip install -e ".[{extra}]"' if extra else "pip install -e ."


def differences(known: Sequence[str], got: Sequence[str]) -> list[str]:
    """What sets the names given apart from those known: each that is missing, extra, renamed or out of order."""
    missing = [name for name in known if name not in got]
    extra = [name for at, name in enumerate(got) if name not in known or name in got[:at]]
    if missing and len(known) == len(got):
        swaps = zip(known, got, strict=True)
        renamed = {old: new for old, new in swaps if old in missing and new in extra}
        if len(renamed) == len(missing):
            return [f"{old} renamed to {new}" for old, new in renamed.items()]
    if missing or extra:
        return [*(f"{name} missing" for name in missing), *(f"{name} extra" for name in extra)]
    moved = [name for name, there in zip(known, got, strict=True) if name != there]
    return [f"{', '.join(moved)} reordered"] if moved else []


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}…"
