"""What a label may say in a domain: dispositions, and beneath them causes; versioned, and edited by people.

A name is for ever: it is renamed by giving it another label, retired or merged into another, never reused. So
every label that was ever given keeps its meaning, and `Taxonomy.now` tells what it counts as today.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from core.domain import CauseType, Domain
from core.domains import DOMAINS
from core.errors import InvalidInputError, UnknownNameError
from data import taxonomy_store
from data.records import Alert, AlertHistory, Incident
from data.records import Taxonomy as Version
from workbench.context import Context
from workbench.requests import Change

Told = TypeVar("Told", Alert, AlertHistory, Incident)
REAL = "real"
MOST = 10
"""Causes in use at a time: as many as there are number keys."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class Disposition:
    """The first level: what kind of thing it is that was found."""

    name: str
    label: str


@dataclass(frozen=True)
class Word:
    """The second level: a cause. `key` chooses it, "" where it is retired; `merged_into` names what it became."""

    name: str
    label: str
    key: str = ""
    retired: bool = False
    merged_into: str = ""


@dataclass(frozen=True)
class Taxonomy:
    """One version; number 0 is the one that ships. `several` lets a label name more than one cause."""

    domain: str
    number: int
    dispositions: tuple[Disposition, ...]
    causes: tuple[Word, ...]
    several: bool = False
    by: str = ""
    at: datetime | None = None

    @property
    def active(self) -> tuple[Word, ...]:
        """The causes that can be chosen, in the order of their keys."""
        return tuple(word for word in self.causes if not word.retired)

    def now(self, cause: str) -> str:
        """What a cause named in an older label counts as today, through every merge since."""
        known = {word.name: word.merged_into for word in self.causes}
        while known.get(cause):
            cause = known[cause]
        return cause

    def counted(self, cause: str) -> tuple[str, ...]:
        """Every name that counts today as what this one counts as; none where no version knows it."""
        today = self.now(cause)
        return tuple(word.name for word in self.causes if self.now(word.name) == today)

    def label(self, cause: str) -> str:
        """A cause's display word, the name itself where no version knows it."""
        return next((word.label for word in self.causes if word.name == cause), cause)

    def said(self, cause: str) -> str:
        """The display word of what a cause counts as today, "" for none."""
        return self.label(self.now(cause))


DISPOSITIONS = (
    Disposition(REAL, "Real"),
    Disposition("expected", "Expected"),
    Disposition("data_error", "Data error"),
    Disposition("duplicate", "Duplicate"),
    Disposition("unsure", "Unsure"),
)
EPC = (
    ("epcFake", "Counterfeit"),
    ("epcDup", "Duplicate scan"),
    ("locErr", "Wrong place"),
    ("evtOrderErr", "Wrong order"),
    ("jump", "Impossible jump"),
)
"""The five anomaly types of scanned goods: one scan may be several of them at once."""


def _shipped() -> dict[str, Taxonomy]:
    found = {
        name: [(cause.name, cause.label) for cause in domain.causes]
        for name, domain in DOMAINS.items()
    }
    found["epc"] = list(EPC)
    return {
        name: Taxonomy(
            name,
            0,
            DISPOSITIONS,
            _keyed([Word(*pair) for pair in causes]),
            several=name == "epc",
        )
        for name, causes in found.items()
    }


def _keyed(words: Sequence[Word]) -> tuple[Word, ...]:
    """Number keys 1…9, then 0, to the causes in use, in their order."""
    keys = iter("1234567890")
    return tuple(replace(word, key="" if word.retired else next(keys)) for word in words)


SHIPPED: Mapping[str, Taxonomy] = _shipped()


def of(ctx: Context, tenant: str, domain: str) -> Taxonomy:
    """The version in force."""
    return history(ctx, tenant, domain)[0]


def history(ctx: Context, tenant: str, domain: str) -> list[Taxonomy]:
    """Every version, newest first, down to the one that ships."""
    if domain not in SHIPPED:
        rule = f"one of {', '.join(SHIPPED)}"
        raise UnknownNameError.of("taxonomy", "the domain", rule, domain)
    stored = ctx.records.read(
        tenant,
        lambda session: taxonomy_store.versions(session, tenant=tenant, domain=domain),
    )
    return [*(_read(row) for row in stored), SHIPPED[domain]]


def vocabulary(ctx: Context, tenant: str) -> Callable[[str], Taxonomy]:
    """Domain → its version in force, each read once."""

    @cache
    def words(domain: str) -> Taxonomy:
        return of(ctx, tenant, domain)

    return words


def retold(words: Callable[[str], Taxonomy], row: Told) -> Told:
    """An alert or incident by the names that its causes count as and the words that they have today.

    What is stored stays as it was said. A title that was made of a cause's word is made of today's.
    """
    known = words(row.domain)
    told: dict[str, Any] = {
        field: known.now(getattr(row, field))
        for field in ("cause_type", "root_cause")
        if getattr(row, field, "")
    }
    for field in ("root_causes", "candidates"):
        if causes := getattr(row, field, ()):
            told[field] = [_today(known, cause) for cause in causes]
    if isinstance(row, Incident) and row.candidates:
        made_of = f"{row.candidates[0].get('type_label')} on "
        if row.title.startswith(made_of):
            told["title"] = f"{known.said(row.cause_type)} on {row.title.removeprefix(made_of)}"
    if all(getattr(row, field) == value for field, value in told.items()):
        return row
    return type(row)(**(row.model_dump() | told))


def _today(known: Taxonomy, cause: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(cause.get("type", ""))
    return {**cause, "type": known.now(kind), "type_label": known.said(kind)}


def worded(ctx: Context, tenant: str, domain: Domain) -> Domain:
    """The domain with the tenant's causes beside its own, all by what they are called and count as today."""
    words = of(ctx, tenant, domain.name)
    own = {cause.name: cause for cause in domain.causes}
    added = {
        word.name: CauseType(word.name, word.label, domain.levels)
        for word in words.causes
        if word.name not in own
    }
    causes = (*own.values(), *added.values())
    return replace(
        domain,
        causes=tuple(
            replace(cause, label=words.said(cause.name), counts_as=words.now(cause.name))
            for cause in causes
        ),
    )


def edit(
    ctx: Context,
    tenant: str,
    domain: str,
    *,
    changes: Sequence[Change],
    actor: str,
    seen: int | None = None,
) -> Taxonomy:
    """Make the next version by these changes, in order; nothing of it stands where one of them is refused.

    seen : number of the version that was edited; ConflictError, with both, where it is not the one in force
    """
    present = of(ctx, tenant, domain)
    words = list(present.causes)
    for change in changes:
        words = _CHANGES[change.verb](words, change)
    active = [word for word in words if not word.retired]
    if not 0 < len(active) <= MOST:
        rule = f"1 to {MOST} in use, one for each number key"
        raise InvalidInputError.of("taxonomy", "the causes", rule, len(active), "Retire or merge.")
    body = _body(replace(present, causes=_keyed(words)))
    now = ctx.clock()
    stored = ctx.records.write(
        tenant,
        lambda session: taxonomy_store.add(
            session,
            tenant=tenant,
            domain=domain,
            body=body,
            seen=present.number if seen is None else seen,
            actor=actor,
            now=now,
        ),
    )
    return _read(stored)


# ── the changes, each (causes, change) → causes ──────────────────────────────────────────────────


def _add(words: list[Word], change: Change) -> list[Word]:
    if not NAME.fullmatch(change.name):
        raise InvalidInputError.of("taxonomy", "a name", f"like {NAME.pattern}", change.name)
    if any(word.name == change.name for word in words):
        hint = "A name is for ever: restore it, or choose another."
        raise InvalidInputError.of("taxonomy", "a new name", "one never used", change.name, hint)
    return [*words, Word(change.name, _label(change) or change.name)]


def _rename(words: list[Word], change: Change) -> list[Word]:
    label = _label(change)
    if not label:
        raise InvalidInputError.of("taxonomy", "the label", "something to read", change.label)
    return _with(words, change.name, label=label)


def _retire(words: list[Word], change: Change) -> list[Word]:
    return _with(words, change.name, retired=True)


def _restore(words: list[Word], change: Change) -> list[Word]:
    return _with(words, change.name, retired=False, merged_into="")


def _merge(words: list[Word], change: Change) -> list[Word]:
    target = _named(words, change.into)
    if target.retired or change.into == change.name:
        rule = "another cause that is in use"
        raise InvalidInputError.of("taxonomy", "what to merge into", rule, change.into)
    return _with(words, change.name, retired=True, merged_into=change.into)


_CHANGES = {
    "add": _add,
    "rename": _rename,
    "retire": _retire,
    "restore": _restore,
    "merge": _merge,
}


def _label(change: Change) -> str:
    return " ".join(change.label.split())[:64]


def _named(words: Sequence[Word], name: str) -> Word:
    for word in words:
        if word.name == name:
            return word
    rule = f"one of {', '.join(word.name for word in words)}"
    raise UnknownNameError.of("taxonomy", "the cause", rule, name)


def _with(words: Sequence[Word], name: str, **fields: Any) -> list[Word]:
    chosen = _named(words, name)
    return [replace(word, **fields) if word is chosen else word for word in words]


# ── as the records keep it ───────────────────────────────────────────────────────────────────────


def _body(taxonomy: Taxonomy) -> dict[str, Any]:
    return {
        "dispositions": [vars(one) for one in taxonomy.dispositions],
        "causes": [vars(word) for word in taxonomy.causes],
        "several": taxonomy.several,
    }


def _read(row: Version) -> Taxonomy:
    return Taxonomy(
        row.domain,
        row.number,
        tuple(Disposition(**one) for one in row.body["dispositions"]),
        tuple(Word(**one) for one in row.body["causes"]),
        several=bool(row.body["several"]),
        by=row.created_by,
        at=row.created_at,
    )
