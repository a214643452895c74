"""How alike two incidents are: in their words, in what they hit, and in what the metrics did.

Each term is 0…1 and counts only where both incidents know it; the likeness is their weighted mean. Words are
compared by the cosine of their TF-IDF vectors (Salton and Buckley 1988, "Term-weighting approaches in automatic
text retrieval"), places by Jaccard's index, metrics by the cosine of their signed shifts beyond noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from core.contracts import Floats

WEIGHTS = {"words": 0.35, "places": 0.25, "regions": 0.05, "metrics": 0.35}
NOISE, MOST = 3.0, 10.0
"""Robust standard deviations below which a shift says nothing, and beyond which more says no more."""
STEMS = r"(?u)\b[^\W\d_]{3,}\b"
"""A word has three letters; numbers, hosts and hashes are no reason to be alike."""
TEXTS = 4096
"""Texts whose words are kept: the same past is compared again and again."""


@dataclass(frozen=True)
class Story:
    """What is known of one incident: its text, the components and regions hit, metric → signed shift (robust sd)."""

    text: str
    places: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    shifts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Likeness:
    """How alike a story is: `score` and its `terms` in 0…1; what both share, the most telling first."""

    score: float
    terms: Mapping[str, float]
    words: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


def likeness(story: Story, others: Sequence[Story]) -> list[Likeness]:
    """How alike each of the others is to the story, in their order; O(words) once, then O(others)."""
    cosines, shared = _words(story, others)
    found = []
    for other, cosine, words in zip(others, cosines, shared, strict=True):
        terms: dict[str, float] = {}
        if np.isfinite(cosine):
            terms["words"] = float(cosine)
        if story.places and other.places:
            terms["places"] = _jaccard(story.places, other.places)
        if story.regions and other.regions:
            terms["regions"] = _jaccard(story.regions, other.regions)
        if story.shifts and other.shifts:
            terms["metrics"] = _cosine(story.shifts, other.shifts)
        weight = sum(WEIGHTS[name] for name in terms)
        score = sum(WEIGHTS[name] * value for name, value in terms.items()) / (weight or 1.0)
        found.append(
            Likeness(
                score,
                terms,
                words,
                tuple(sorted(story.places & other.places)),
                _together(story.shifts, other.shifts),
            )
        )
    return found


def _words(story: Story, others: Sequence[Story]) -> tuple[Floats, list[tuple[str, ...]]]:
    """Cosines of the TF-IDF vectors, NaN where one has no words; and the three words that make most of each."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer=_words_of, sublinear_tf=True)
    texts = [story.text, *(other.text for other in others)]
    try:
        vectors = vectorizer.fit_transform(texts)
    except ValueError:  # no text has a word
        return np.full(len(others), np.nan), [()] * len(others)
    own = vectors[0]
    products = vectors[1:].multiply(own).tocsr()
    cosines = np.asarray(products.sum(axis=1), dtype=np.float64).ravel()
    silent = np.diff(vectors.indptr) == 0
    cosines[silent[1:] | silent[0]] = np.nan
    names = vectorizer.get_feature_names_out()
    shared = []
    for row in range(len(others)):
        part = slice(products.indptr[row], products.indptr[row + 1])
        told = zip(-products.data[part], names[products.indices[part]], strict=True)
        shared.append(tuple(str(name) for _, name in sorted(told)[:3]))
    return cosines, shared


@lru_cache(maxsize=TEXTS)
def _words_of(text: str) -> tuple[str, ...]:
    return tuple(_reader()(text))


@lru_cache(maxsize=1)
def _reader() -> Callable[[str], list[str]]:
    from sklearn.feature_extraction.text import CountVectorizer

    reader: Callable[[str], list[str]] = CountVectorizer(
        token_pattern=STEMS, stop_words="english"
    ).build_analyzer()
    return reader


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def _told(shift: float) -> float:
    """A shift without its noise, bounded."""
    return float(np.sign(shift) * np.clip(abs(shift) - NOISE, 0.0, MOST))


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Cosine of the shifts, 0 where they point apart or where nothing moved."""
    names = sorted({*one, *other})
    first = np.array([_told(one.get(name, 0.0)) for name in names])
    second = np.array([_told(other.get(name, 0.0)) for name in names])
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return max(0.0, float(first @ second) / norm) if norm else 0.0


def _together(one: Mapping[str, float], other: Mapping[str, float]) -> tuple[str, ...]:
    """Metrics that moved the same way in both, the strongest first."""
    strength = {name: _told(one[name]) * _told(other[name]) for name in one.keys() & other.keys()}
    moved = [name for name, product in strength.items() if product > 0]
    return tuple(sorted(moved, key=lambda name: (-strength[name], name)))
