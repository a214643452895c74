"""What is known of each node that could be the cause: the same few name-free features, whatever was observed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.cases import Numbers, Wiring
from core.contracts import Floats, Times


@dataclass(frozen=True)
class Term:
    """One feature of a suspect: what it says and the weight it has before anything is learned.

    The sign of the weight is fixed: a feature that speaks for a node can be learned to say nothing, never the contrary.
    """

    name: str
    weight: float
    help: str
    proof: bool = True
    """Whether it shows that something is wrong at all; else it only tells suspects apart."""


@dataclass(frozen=True, eq=False)
class Suspects:
    """The candidates of one case, each row one node for one contest.

    nodes    : (n,) ids; a node that may explain two alarms has a row for each
    features : (n, n_term)
    contests : rows that compete to explain the same alarm
    strength : (n,) largest departure from normal, 1 = the edge of normal
    onsets   : (n,) when that departure began
    paths    : (n,) nodes from the suspect to the alarm
    told     : (n,) sentences with numbers
    kinds    : (n,) word of the taxonomy of causes that the leading departure suggests, "unknown" where it does not
    """

    nodes: tuple[str, ...]
    features: Floats
    contests: tuple[NDArray[np.intp], ...]
    strength: Floats
    onsets: Times
    paths: tuple[tuple[str, ...], ...]
    told: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]


def soft(strength: Floats | float) -> Floats:
    """A strength as a feature: nothing within the edge of normal, then its logarithm."""
    squared: Floats = 0.5 * np.log1p(np.square(np.maximum(strength, 0.0)))
    return squared


def paths(wiring: Wiring, hops: Numbers, departed: Floats, asked: Numbers) -> list[tuple[str, ...]]:
    """The shortest way from each of some nodes to an alarm; of several the one on which more left its normal.

    hops     : (n,) edges to the nearest alarm, as `Wiring.hops` tells it
    departed : (n,) largest departure, 1 = the edge of normal
    """
    down = wiring.edges.where(hops[wiring.edges.start] == hops[wiring.edges.end] + 1)
    down = down.where(hops[down.end] >= 0)
    best = down.back.most(departed)
    # of equals the first, so it is written last
    chosen = down.where(np.flatnonzero(departed[down.end] == best[down.start])[::-1])
    following = np.full(len(hops), -1)
    following[chosen.start] = chosen.end
    known: dict[int, tuple[str, ...]] = {-1: ()}

    def path(number: int) -> tuple[str, ...]:
        if number not in known:
            known[number] = (wiring.nodes[number], *path(int(following[number])))
        return known[number]

    return [path(number) for number in asked.tolist()]


def prior(terms: Sequence[Term]) -> Floats:
    """(n_term,) the weights before anything is learned."""
    return np.array([term.weight for term in terms])
