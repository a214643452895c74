"""`tree-scan`: the node whose one change explains most of what its ancestors and descendants deviate by.

For every node, onset and channel: if the node's traffic changed by one factor from the onset on, every leaf below it
should deviate by that factor (and a leaf of another view by its share). The factor is a weighted least squares
estimate; the score is the log likelihood ratio against "no change". A parent loses when its children disagree, a
child loses when its siblings moved alike, so the scores of nested nodes compare directly. What normal days do, day
noise of leaves as well as lasting drifts at each level, is learned from the panel's own past. The best node's change
is then taken out and the rest is scanned again, so that concurrent incidents separate (matching pursuit).

Source: the scan statistic of M. Kulldorff (Communications in Statistics, 1997, §3) over the nodes of a hierarchy as in
M. Kulldorff, Z. Fang, S. Walsh (Biometrics, 2003, §2), with normal instead of Poisson likelihoods;
matching pursuit: S. Mallat, Z. Zhang (IEEE Transactions on Signal Processing, 1993, §II).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx
import numpy as np
from scipy import sparse, special

from core.contracts import Case, Cause, Domain, Floats, Localizer, Params, Tags, param
from core.domains import DOMAINS
from core.rootcause.cause_type import Settings, Shift, Verdict, day, judge, told
from core.rootcause.deviation import FUNNEL, Deviations, Rows, deviations

CHANNELS = tuple(channel.name for channel in FUNNEL)
MEMORY = 28  # periods before the window that taught what is expected
LEAN = 5.0  # past windows that a level's drift is worth against a row's own
PLAUSIBLE = 5.0  # most log odds that the vocabulary may give a candidate or take from it


@dataclass(frozen=True)
class TreeScanParams(Params):
    domain: str = param("ads", help="Domain whose funnel and cause words are used", choices=tuple(DOMAINS))
    window: int = param(14, help="How far back an onset is looked for", low=1, high=60, unit="periods")
    threshold: float = param(
        20.0, help="Log likelihood ratio from which a change counts as a cause", low=0.0
    )
    penalty: float = param(3.0, help="Log likelihood that each changed channel must earn", low=0.0)
    drift: float = param(
        0.02, help="Lasting drift of any expectation that is always allowed for, relative", low=0.0, high=1.0
    )
    unlike: float = param(
        0.3, help="How differently one change may hit the parts of a node, relative", low=0.0, high=1.0
    )
    candidates: int = param(5, help="Candidates named per cause", low=1, high=50)
    causes: int = param(20, help="Most separate causes looked for", low=1, high=200)


class TreeScan(Localizer):
    """Needs panel and reference; one scan of the whole hierarchy serves every alarm on the same arrays."""

    name = "tree-scan"
    source = "Kulldorff 1997 §3; Kulldorff, Fang, Walsh 2003 §2; Mallat, Zhang 1993 §II"
    tags = Tags(trained=False)
    Params = TreeScanParams

    def _open(self, state: Any) -> dict[str, tuple[Case, Scan]]:
        return {}

    def _find(self, scorer: dict[str, tuple[Case, Scan]], case: Case) -> list[Cause]:
        before = scorer.get("last")
        if before is None or not _same(before[0], case):
            before = (case, scan(case, self.params))
            scorer["last"] = before
        return before[1].causes(case)


def _same(one: Case, other: Case) -> bool:
    return all(
        getattr(one, part) is getattr(other, part)
        for part in ("graph", "panel", "reference", "settings")
    )


@dataclass(frozen=True, eq=False)
class Candidate:
    """One node as the source of one finding."""

    row: int
    start: int
    shifts: tuple[Shift, ...]
    verdict: Verdict
    terms: Mapping[str, float]
    confidence: float = 0.0

    @property
    def score(self) -> float:
        return sum(self.terms.values())


@dataclass(frozen=True, eq=False)
class Finding:
    """One change: its candidates, best first, and how visible it should be at every node, (n_node,) chi squared."""

    candidates: tuple[Candidate, ...]
    reach: Floats


@dataclass(frozen=True, eq=False)
class Scan:
    """All findings of one hierarchy, strongest first."""

    findings: tuple[Finding, ...]
    domain: Domain

    def causes(self, case: Case) -> list[Cause]:
        """Candidates for one alarm: those of the finding that its node shows most clearly."""
        panel, alarm = case.panel, case.alarm
        if panel is None or alarm.node not in panel.row_of:
            return []
        row, labels = panel.row_of[alarm.node], panel.periods.labels
        shown = [
            finding
            for finding in self.findings
            if finding.reach[row] >= 1.0
            and alarm.at >= labels[finding.candidates[0].start] - panel.periods.step
        ]
        if not shown:
            return []
        finding = max(shown, key=lambda found: found.reach[row])
        return [self._cause(case, candidate) for candidate in finding.candidates]

    def _cause(self, case: Case, candidate: Candidate) -> Cause:
        node = case.panel.entities[candidate.row]  # type: ignore[union-attr]
        onset = case.panel.periods.labels[candidate.start]  # type: ignore[union-attr]
        path = way(case, node)
        said = told(self.domain, candidate.shifts, case.settings.get(node), day(onset))
        return Cause(
            node,
            candidate.verdict.type,
            onset,
            path,
            len(path) - 1,
            candidate.terms,
            candidate.score,
            candidate.confidence,
            tuple(said),
        )


def way(case: Case, node: str) -> tuple[str, ...]:
    """Nodes from a cause to the alarm's node: down where it is an ancestor, else the shortest way."""
    net, alarm = case.graph.net, case.alarm.node
    try:
        return tuple(nx.bidirectional_shortest_path(net, node, alarm))
    except nx.NetworkXNoPath:
        return tuple(nx.bidirectional_shortest_path(net.to_undirected(as_view=True), node, alarm))


# ── The scan ─────────────────────────────────────────────────────────────────────────────────────


def scan(case: Case, params: TreeScanParams) -> Scan:
    """Every separate change of the last `window` periods, strongest first."""
    domain = DOMAINS[params.domain]
    found = deviations(case, domain)
    world = World.of(found, params)
    settings = [case.settings.get(node) for node in found.nodes]
    findings: list[Finding] = []
    while len(findings) < params.causes:
        estimate = world.estimate()
        candidates = _candidates(estimate, world, domain, settings, params)
        if not candidates:
            break
        world, reach = world.without(candidates[0], estimate, params.unlike)
        findings.append(Finding(candidates, reach))
    return Scan(tuple(findings), domain)


@dataclass(frozen=True, eq=False)
class Estimate:
    """Of every node over its last 1…window periods, each (n_node, window, n_channel).

    change, variance : relative change and the variance of its estimate
    gain             : log likelihood ratio of "changed here" against "as expected, or moving with a parent"
    """

    change: Floats
    variance: Floats
    gain: Floats


@dataclass(frozen=True, eq=False)
class World:
    """Leaves with what is expected of them, and how far leaves and nodes drift in normal times.

    expected            : (n_leaf, n_time, n_channel), the changes found so far included
    leaf_drift, node_drift : (n, window, n_channel) variance of lasting drift over the last 1…window periods
    """

    found: Deviations
    square: sparse.csr_array
    touch: sparse.csr_array
    expected: Floats
    leaf_drift: Floats
    node_drift: Floats

    @classmethod
    def of(cls, found: Deviations, params: TreeScanParams) -> World:
        """Learn the drifts from up to six earlier windows of the same panel."""
        time = found.expected.shape[1]
        width = min(params.window, time)
        floor = np.full((1, width, len(FUNNEL)), params.drift**2)
        # an expectation learned from few events is itself uncertain by them
        learned = found.expected[:, -width - MEMORY : -width].sum(axis=1)
        doubt = floor + (found.noise[:, :, 0] / np.maximum(learned, 1.0))[:, None]
        world = cls(found, found.design.power(2), found.design.sign(), found.expected, doubt, floor)
        ends = range(time - width, width - 1, -max(width // 2, 1))[:6]
        level = np.unique(found.levels, return_inverse=True)[1]
        leaves = [world.at_leaves(end) for end in ends]
        world = replace(world, leaf_drift=_drift(leaves, level[found.leaves], doubt))
        nodes = [world.at_nodes(*world.held(*sums)) for sums in leaves]
        return replace(world, node_drift=_drift(nodes, level, floor))

    def at_leaves(self, end: int | None = None) -> tuple[Floats, Floats]:
        """Weighted deviation and information of every leaf over the last 1…window periods before `end`."""
        width = self.leaf_drift.shape[1]
        stop = self.expected.shape[1] if end is None else end
        expected = self.expected[:, stop - width : stop]
        counting, daily = np.moveaxis(self.found.noise[:, None], -1, 0)
        scale = np.where(expected > 0, 1.0 / (counting + daily * expected), 0.0)
        gap = (self.found.seen[:, stop - width : stop] - expected) * scale
        return _newest_first(gap), _newest_first(expected * scale)

    def held(self, gap: Floats, information: Floats) -> tuple[Floats, Floats]:
        """The same, a leaf counting for no more than its drift lets it."""
        held = 1.0 / (1.0 + self.leaf_drift * information)
        return gap * held, information * held

    def at_nodes(self, gap: Floats, information: Floats) -> tuple[Floats, Floats]:
        """Held leaves summed at every node."""
        return _times(self.found.design, gap), _times(self.square, information)

    def estimate(self) -> Estimate:
        """Change, variance and gain at every node at the newest period.

        A child that moves as the rest of its parent does is the parent's doing: what the rest shows is held against
        it, as far as it makes a common movement believable (the downward message of a tree Kalman filter, one step).
        """
        leaves = self.held(*self.at_leaves())
        gap, information = self.at_nodes(*leaves)
        change, variance = _change(gap, information), _variance(information) + self.node_drift
        gain = _gain(change, variance)

        parent, child = self.found.edges.T
        known = np.maximum(information[child], 1e-12)
        touched_gap, touched = (_times(self.touch, side) for side in leaves)
        rest = np.maximum(touched[parent] - touched[child], 0.0)
        outside = _change(touched_gap[parent] - touched_gap[child], rest)
        common, own = self.node_drift[parent], self.node_drift[child]
        local = np.maximum(own - common, own / 2)
        doubt = _variance(rest) + local / np.maximum(rest / known, 0.5)
        # a parent that moved further than it ever drifts did move: empirical Bayes instead of shrinking
        common = np.maximum(common, outside**2 - doubt)
        shared = outside * common / (common + doubt)
        spill = _times(self.found.design, leaves[1])[child] / known
        alone = np.maximum(gap[child] / known - shared * spill, -1.0)
        left = 1.0 / known + local + spill**2 * common * doubt / (common + doubt)
        np.minimum.at(gain, child, _gain(alone, left))
        return Estimate(change, variance, gain)

    def without(self, root: Candidate, estimate: Estimate, unlike: float) -> tuple[World, Floats]:
        """The world in which the root's change is expected, and how visible it was at every node.

        A change never hits all parts alike: where it was expected, drift grows by `unlike` times its size.
        """
        length = self.expected.shape[1] - root.start
        share = self.found.design[[root.row]].toarray().ravel()
        change = np.zeros(len(FUNNEL))
        for shift in root.shifts:
            change[CHANNELS.index(shift.channel)] = shift.change
        hit = share[:, None] * change
        expected = self.expected.copy()
        expected[:, root.start :] *= np.maximum(1.0 + hit, 0.0)[:, None]
        held = self.held(*self.at_leaves())[1]
        seen = _times(self.found.design, hit[:, None] * held) / np.maximum(
            _times(self.square, held), 1e-12
        )
        reach = (seen[:, length - 1] ** 2 / estimate.variance[:, length - 1]).sum(axis=1)
        return (
            replace(
                self,
                expected=expected,
                leaf_drift=self.leaf_drift + (unlike * hit[:, None]) ** 2,
                node_drift=self.node_drift + (unlike * seen) ** 2,
            ),
            reach,
        )


def _newest_first(daily: Floats) -> Floats:
    return np.asarray(np.cumsum(daily[:, ::-1], axis=1))


def _times(matrix: sparse.csr_array, values: Floats) -> Floats:
    flat = values.reshape(len(values), -1)
    return np.asarray(matrix @ flat).reshape(matrix.shape[0], *values.shape[1:])


def _change(gap: Floats, information: Floats) -> Floats:
    return np.maximum(gap / np.maximum(information, 1e-12), -1.0)


def _variance(information: Floats) -> Floats:
    return 1.0 / np.maximum(information, 1e-12)


def _gain(change: Floats, variance: Floats) -> Floats:
    """Log likelihood ratio of a factor 1 + change; Poisson's form, because counts are skewed where they are small."""
    factor = 1.0 + change
    return np.asarray((special.xlogy(factor, factor) - change) / variance)


def _drift(past: Sequence[tuple[Floats, Floats]], level: Any, floor: Floats) -> Floats:
    """Variance of the past windows' changes beyond what counting explains, per level, leaning to each row's own."""
    rows = len(level)
    if not past:
        return np.broadcast_to(floor, (rows, *floor.shape[1:]))
    gap, information = (np.stack(side) for side in zip(*past, strict=True))
    change, variance = _change(gap, information), _variance(information)
    weight = np.where(information > 1e-9, 1.0 / (variance + floor) ** 2, 0.0)
    drift = np.empty(gap.shape[1:])
    for kind in np.unique(level):
        mine = level == kind
        # winsorised: past incidents must not pass for normal drift
        square = change[:, mine] ** 2
        square = np.minimum(square, np.quantile(square, 0.975, axis=(0, 1)))
        part = weight[:, mine]
        beyond = part * (square - variance[:, mine])
        usual = np.maximum(beyond.sum(axis=(0, 1)) / np.maximum(part.sum(axis=(0, 1)), 1e-12), 0.0)
        trust = LEAN * np.maximum(part.mean(axis=(0, 1)), 1e-12)
        leaning = (beyond.sum(axis=0) + trust * usual) / (part.sum(axis=0) + trust)
        drift[mine] = np.maximum(leaning, usual / 4)
    return np.maximum(drift, floor)


def _candidates(
    estimate: Estimate,
    world: World,
    domain: Domain,
    settings: Sequence[Settings | None],
    params: TreeScanParams,
) -> tuple[Candidate, ...]:
    """The strongest change and its rivals for the same deviation, best first; empty below the threshold."""
    gain = np.maximum(estimate.gain - params.penalty, 0.0).sum(axis=2)
    onset, best = gain.argmax(axis=1), gain.max(axis=1)
    heat = _temperature(float(best.max()))

    def rated(rows: Rows) -> list[Candidate]:
        strongest = rows[np.argsort(-best[rows], kind="stable")][: 3 * params.candidates]
        found = [
            _candidate(int(row), int(onset[row]), heat, estimate, world, domain, settings, params)
            for row in strongest
            if best[row] > 0
        ]
        return sorted(found, key=lambda candidate: -candidate.score)

    leading = rated(np.arange(len(best)))
    if not leading or leading[0].score < params.threshold:
        return ()
    design = world.found.design
    touched = design[[leading[0].row]].toarray().ravel() > 0
    rivals = rated(np.flatnonzero(design @ touched.astype(float) > 0))
    belief = _belief([candidate.score for candidate in rivals], params.threshold, heat)
    return tuple(
        replace(candidate, confidence=share)
        for candidate, share in zip(rivals[: params.candidates], belief, strict=False)
    )


def _candidate(
    row: int,
    onset: int,
    heat: float,
    estimate: Estimate,
    world: World,
    domain: Domain,
    settings: Sequence[Settings | None],
    params: TreeScanParams,
) -> Candidate:
    shifts = tuple(
        Shift(channel, float(change), float(variance) ** 0.5)
        for channel, change, variance in zip(
            CHANNELS, estimate.change[row, onset], estimate.variance[row, onset], strict=True
        )
    )
    verdict = judge(domain, world.found.levels[row], shifts, settings[row])
    earned = estimate.gain[row, onset] - params.penalty
    terms = {
        "explained": float(np.maximum(earned, 0.0).sum()),
        "plausible": heat * min(max(verdict.odds, -PLAUSIBLE), PLAUSIBLE),
    }
    return Candidate(
        row,
        world.expected.shape[1] - 1 - onset,
        tuple(shift for shift, more in zip(shifts, earned, strict=True) if more > 0),
        verdict,
        terms,
    )


def _temperature(gain: float) -> float:
    """Likelihoods are never quite right: a lead of a twentieth of the gain is worth one unit of log odds."""
    return 1.0 + 0.05 * gain


def _belief(scores: Sequence[float], threshold: float, heat: float) -> list[float]:
    """Softmax over the candidates and "no cause", at a temperature."""
    against = np.array([*scores, threshold / 2]) / heat
    scaled = np.exp(against - against.max())
    return [float(share) for share in scaled / scaled.sum()][: len(scores)]
