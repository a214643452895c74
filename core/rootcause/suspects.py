"""What is known of each node that could be the cause: the same few name-free features, whatever was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from core.contracts import Floats, Times

FURTHEST = 12
"""Edges after which even an unbroken trail of departures is given up."""


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


def near(
    net: nx.DiGraph[str], hops: Mapping[str, int], most: int, departed: Mapping[str, float]
) -> list[str]:
    """Nodes within `most` hops of an alarm, and farther ones along a trail that left its normal.

    hops     : node → distance, nearest first, as `Case.hops` tells it
    departed : node → largest departure, 1 = the edge of normal
    """
    found: dict[str, None] = {}
    for node, distance in hops.items():
        if distance <= most or any(
            effect in found and departed.get(effect, 0.0) > 1.0 for effect in net.succ[node]
        ):
            found[node] = None
    return list(found)


def path(
    net: nx.DiGraph[str], hops: Mapping[str, int], departed: Mapping[str, float], node: str
) -> tuple[str, ...]:
    """The shortest way from a node to an alarm; of several the one on which more left its normal."""
    steps = [node]
    while hops[steps[-1]]:
        nearer = hops[steps[-1]] - 1
        effects = (effect for effect in net.succ[steps[-1]] if hops.get(effect) == nearer)
        steps.append(max(effects, key=lambda effect: departed.get(effect, 0.0)))
    return tuple(steps)


def prior(terms: Sequence[Term]) -> Floats:
    """(n_term,) the weights before anything is learned."""
    return np.array([term.weight for term in terms])
