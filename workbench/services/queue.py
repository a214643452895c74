"""What people are asked to label next, each with its reason, and what the random few tell of all."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np

from core import active
from core.active import Draw, Pick, Share
from core.contracts import Floats
from core.evaluate.suspects import self_confidence, worth_asking
from data import label_pool
from data.records import Label, LabelItem
from workbench.context import Context
from workbench.requests import QUEUE_SIZE
from workbench.services import subjects, suspects, verdicts
from workbench.services.subjects import Subject

TWICE = 0.20
"""Share of the items asked for the first time that two people judge, neither seeing the model's guess."""
OPINIONS = 3
"""People who judge one subject at most before it is left to adjudication."""
OPEN = "open"


@dataclass(frozen=True)
class Filled:
    """What a filling did: items added by slice, items open now by slice, and how many subjects were left to choose from."""

    added: dict[str, int]
    open: dict[str, int]
    pool: int


@dataclass(frozen=True)
class Line:
    """An open item of the queue as it is listed; its title names what is judged, its slice does not tell a known answer."""

    id: int
    subject_kind: str
    subject_id: int
    title: str
    slice: str
    reason: str
    wanted: int
    given: int
    blind: bool
    leased_by: str
    leased_until: datetime | None


@dataclass(frozen=True)
class Precision(Share):
    """The share of what was raised that people find real, with its interval, and both in words; "" of no answers."""

    statement: str


@dataclass(frozen=True, eq=False)
class Thought:
    """What is thought of every subject before anybody is asked.

    beliefs : (n_member, n, n_class) of the committee      classes : their names
    learned : the committee learned from labels; without enough of them it is the detectors
    quality : how sure the answer of a judged subject is, 0 … 1; NaN where nobody judged
    """

    beliefs: Floats
    classes: tuple[str, ...]
    learned: bool
    quality: Floats


def fill(ctx: Context, tenant: str, *, domain: str, size: int = QUEUE_SIZE, actor: str) -> Filled:
    """Fill the queue of a domain up to `size` items that wait for a first answer.

    Half of them hard, a fifth diverse, 15 % drawn at random, a tenth to be judged again and a twentieth with a known
    answer; where there is nothing to judge again, more are hard. A fifth of the new ones go to two people, blind.
    """
    found = subjects.subjects(ctx, tenant, domain)
    waiting = ctx.records.read(
        tenant, lambda session: label_pool.items(session, tenant=tenant, domain=domain)
    )
    open_now = Counter(item.slice for item in waiting if item.state == OPEN)
    pool, thought, names = _pool(found, waiting, size)
    left = int(pool.fresh.sum())
    # the mix is of what there is to ask, be it ever so little
    there = left + int((np.isfinite(pool.doubt) | pool.gold).sum())
    lacking = min(size - sum(item.state == OPEN and not item.given for item in waiting), there)
    if lacking < 1:
        return Filled({}, dict(open_now), left)
    rng = np.random.default_rng(_seed(tenant, domain, len(waiting)))
    picks = active.choose(lacking, pool, rng)
    now = ctx.clock()
    rounds = Counter((item.subject_kind, item.subject_id) for item in waiting)
    ranks = active.ranked(pool.features)
    twice = _twice(picks, rng)
    new = [
        LabelItem(
            tenant=tenant,
            domain=domain,
            subject_kind=found[pick.row].kind,
            subject_id=found[pick.row].id,
            round=rounds[found[pick.row].key] + 1,
            slice=pick.slice,
            reason=_reason(pick, found[pick.row], thought, names, ranks),
            priority=1.0 - place / len(picks),
            chance=pick.chance,
            wanted=2 if place in twice else 1,
            blind=place in twice,
            expected=_known(found[pick.row]) if pick.slice == "gold" else {},
            guess=dict(found[pick.row].guess),
            created_at=now,
        )
        for place, pick in enumerate(picks)
    ]
    added = ctx.records.write(
        tenant,
        lambda session: [
            item.slice
            for item in label_pool.enqueue(
                session, tenant=tenant, domain=domain, new=new, actor=actor, now=now
            )
        ],
    )
    return Filled(dict(Counter(added)), dict(open_now + Counter(added)), left)


def listing(ctx: Context, tenant: str, *, domain: str) -> list[Line]:
    """The open items, in the order in which they are asked."""
    subjects.checked(domain)

    def read(session: Any) -> list[Line]:
        waiting = label_pool.items(session, tenant=tenant, domain=domain, states=(OPEN,))
        return [_line(session, item) for item in waiting]

    return ctx.records.read(tenant, read)


def _line(session: Any, item: LabelItem) -> Line:
    subject = verdicts.subject_of(session, item.tenant, item.subject_kind, item.subject_id)
    shared = {name: getattr(item, name) for name in Line.__dataclass_fields__ if name != "title"}
    shared["slice"] = verdicts.UNTOLD.get(item.slice, item.slice)
    return Line(**shared, title=subjects.title(subject))


def anything(ctx: Context, tenant: str, *, domain: str) -> bool:
    """Whether there is an alert or incident that could be judged."""
    about = {"tenant": tenant, "domain": subjects.checked(domain), "most": 1}
    return ctx.records.read(
        tenant,
        lambda session: bool(
            label_pool.incidents(session, **about) or label_pool.lone_alerts(session, **about)
        ),
    )


def precision(ctx: Context, tenant: str, *, domain: str) -> Precision:
    """The share of what was raised that people find real, without bias: what is known counts, the random few tell the rest."""
    about = {"tenant": tenant, "domain": subjects.checked(domain)}
    said, asked = ctx.records.read(
        tenant,
        lambda session: (
            label_pool.verdicts(session, **about),
            label_pool.items(session, **about),
        ),
    )
    found = active.share(_draws(said, asked))
    return Precision(**vars(found), statement=_told(found))


def _told(share: Share) -> str:
    if not share.answers:
        return ""
    told = f"{100 * share.value:.0f} % of what was raised is real"
    if share.low == share.high:
        return f"{told}: all of it was judged, so that is a count and not an estimate."
    return (
        f"{told} ({100 * share.low:.0f} to {100 * share.high:.0f} %), estimated from {share.answers} drawn at random: "
        "the hard ones, which are asked first, do not bend it."
    )


def think(found: Sequence[Subject], seed: int = 0) -> Thought:
    """The committee's beliefs: learned from labels where there are enough, else the detectors'."""
    said = [subjects.verdict(subject.labels) if subject.labels else None for subject in found]
    quality = np.array([label.confidence if label else math.nan for label in said])
    held = suspects.held_out(found, seed)
    if held is None:
        return Thought(_detectors(found), ("normal", "anomalous"), False, quality)
    features, _ = subjects.table(found)
    beliefs = active.committee(features, held.rows, held.codes, len(held.classes), seed)
    quality[held.rows] = self_confidence(held.codes, held.chances)
    return Thought(beliefs, held.classes, True, quality)


# ── Choosing ─────────────────────────────────────────────────────────────────────────────────────


def _pool(
    found: Sequence[Subject], waiting: Sequence[LabelItem], size: int
) -> tuple[active.Pool, Thought, tuple[str, ...]]:
    asked = {(item.subject_kind, item.subject_id) for item in waiting if item.state == OPEN}
    again = Counter(item.slice for item in waiting if item.state == OPEN)
    quotas = active.quotas(size)
    free = np.array([subject.key not in asked for subject in found], dtype=bool)
    judged = np.array([bool(subject.labels) for subject in found], dtype=bool)
    certain = np.array([bool(_known(subject)) for subject in found], dtype=bool)
    people = np.array([len(subjects.own(subject.labels)) for subject in found])
    thought = think(found)
    # what people differ on waits for adjudication, not for one more opinion
    at_one = np.array(
        [len(set(map(subject.says, subjects.own(subject.labels)))) < 2 for subject in found],
        dtype=bool,
    )
    # a second opinion that nobody else is there to give must not fill the queue
    room = again["relabel"] < quotas["relabel"]
    may_repeat = free & judged & at_one & (people < OPINIONS) & room
    doubt = 1.0 - worth_asking(thought.quality, people, len(thought.classes))
    features, names = subjects.table(found)
    pool = active.Pool(
        fresh=free & ~judged,
        hard=np.nan_to_num(active.hardness(thought.beliefs)),
        features=features,
        doubt=np.where(may_repeat & ~certain, doubt, np.nan),
        gold=free & certain & (again["gold"] < quotas["gold"]),
    )
    return pool, thought, names


def _detectors(found: Sequence[Subject]) -> Floats:
    """(n_detector, n, 2) beliefs of the detectors; on the fence and of one voice where none has judged."""
    names = sorted({name for subject in found for name in subject.votes}) or [""]
    p_values = np.array(
        [[subject.votes.get(name, math.nan) for subject in found] for name in names]
    )
    p_values[:, np.isnan(p_values).all(axis=0)] = 1.0
    return active.votes(p_values, np.array([subject.alpha for subject in found]))


def _twice(picks: Sequence[Pick], rng: np.random.Generator) -> set[int]:
    """Places of the picks that two people judge: a random fifth of those asked for the first time."""
    first = [place for place, pick in enumerate(picks) if pick.slice not in ("relabel", "gold")]
    return set(rng.choice(first, round(TWICE * len(first)), replace=False).tolist())


def _known(subject: Subject) -> dict[str, Any]:
    """The answer of a subject that was adjudicated, or on which all of several people agree; {} where it is open."""
    several = subjects.own(subject.labels)
    settled = any(label.settles for label in subject.labels)
    if not settled and (len(several) < 2 or len({subject.says(label) for label in several}) > 1):
        return {}
    label = subjects.verdict(subject.labels)
    if subjects.normal(label.disposition) == "unsure":
        return {}
    return {
        "disposition": label.disposition,
        "causes": list(subjects.causes(label)),
        "component": label.component,
    }


def _seed(*words: object) -> int:
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


# ── Reasons in words ─────────────────────────────────────────────────────────────────────────────


def _reason(
    pick: Pick, subject: Subject, thought: Thought, names: Sequence[str], ranks: Floats
) -> str:
    if pick.slice == "hard":
        return (
            _torn(pick.row, subject, thought) if pick.value > 0 else "Nothing is known of it yet."
        )
    if pick.slice == "diverse":
        return _unlike(subject, names, ranks[pick.row])
    if pick.slice == "random":
        share = 100.0 * (pick.chance or 1.0)
        return (
            f"Drawn at random, {share:.0f} % of what was left: what is said of these tells how often what is raised "
            "is right."
        )
    # of a known answer the same as of a doubtful one: who can tell them apart judges otherwise
    return "Somebody judged it before: a second opinion tells how well judgements hold."


def _torn(row: int, subject: Subject, thought: Thought) -> str:
    """Who in the committee says what."""
    if thought.learned:
        joint = thought.beliefs[:, row].mean(axis=0)
        first, second = np.argsort(-joint)[:2]
        told = " and ".join(
            f"{_answer(thought.classes[place], subject)} ({100 * joint[place]:.0f} %)"
            for place in (first, second)
        )
        return f"Models that learned from labels are torn between {told}."
    belief = thought.beliefs[:, row, 1]
    return f"The detectors are torn: from {np.nanmin(belief):.2f} to {np.nanmax(belief):.2f}, where 0.50 is the threshold."


def _answer(said: str, subject: Subject) -> str:
    """An answer in the words of the taxonomy; a disposition as it is."""
    return " + ".join(subject.words.label(part) for part in said.split(" + "))


def _unlike(subject: Subject, names: Sequence[str], ranks: Floats) -> str:
    """What sets it apart most: the facts whose ranks lie farthest out, of those that say something to people."""
    far = (
        subject.tells(names[place])
        for place in np.argsort(-np.abs(ranks - 0.5), kind="stable")
        if abs(ranks[place] - 0.5) > 0.25
    )
    told = list(islice(filter(None, far), 2))
    if not told:
        return "Unlike anything that was judged so far."
    return f"Unlike anything that was judged so far: {' and '.join(told)}."


# ── What the random slice tells ──────────────────────────────────────────────────────────────────


def _draws(
    said: Mapping[tuple[str, int], Sequence[Label]], asked: Sequence[LabelItem]
) -> list[Draw]:
    """The drawings of the random slice, each with what was known or asked by then."""
    answer = {key: subjects.real(labels) for key, labels in said.items()}
    since = {key: min(label.labelled_at for label in labels) for key, labels in said.items()}
    for item in asked:
        key = (item.subject_kind, item.subject_id)
        since[key] = min(since.get(key, item.created_at), item.created_at)
    drawn: dict[datetime, list[LabelItem]] = {}
    for item in asked:
        if item.slice == "random" and item.chance:
            drawn.setdefault(item.created_at, []).append(item)
    return [
        Draw(
            answers=_answers(answer, ((item.subject_kind, item.subject_id) for item in items)),
            pool=round(len(items) / items[0].chance),  # type: ignore[operator]
            known=_answers(answer, (key for key, when in since.items() if when < moment)),
        )
        for moment, items in sorted(drawn.items())
    ]


def _answers(answer: Mapping[tuple[str, int], float], keys: Any) -> Floats:
    return np.array([answer.get(key, math.nan) for key in keys], dtype=np.float64)
