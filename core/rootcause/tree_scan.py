"""`tree-scan`: the node whose one change explains most of what its ancestors and descendants deviate by.

For every node, onset and channel: if the node's traffic changed by one factor from the onset on, every leaf below it
should deviate by that factor (and a leaf of another view by its share). The factor is a weighted least squares
estimate; the score is the log likelihood ratio against "no change". A parent loses when its children disagree, a
child loses when its siblings moved alike, so the scores of nested nodes compare directly. What normal days do, day
noise of leaves as well as lasting drifts at each level, is learned from the panel's own past. The best node's change
is then taken out and the rest is scanned again, so that concurrent incidents separate (matching pursuit).

Source: the scan statistic of M. Kulldorff (Communications in Statistics, 1997, §3) over the nodes of a hierarchy as in
M. Kulldorff, Z. Fang, S. Walsh (Biometrics, 2003, §2), with overdispersed instead of Poisson counts;
matching pursuit: S. Mallat, Z. Zhang (IEEE Transactions on Signal Processing, 1993, §II).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from core.cases import Case, Cause, Localizer
from core.contracts import Bools, Floats, Panel, Params, Tags, param
from core.domain import Domain
from core.domains import DOMAINS
from core.errors import InvalidInputError
from core.hierarchy.structure import way
from core.rootcause.cause_type import Settings, Shift, Verdict, day, judge, told
from core.rootcause.deviation import FUNNEL, Deviations, Rows, deviations
from core.rootcause.likelihood import LEAST, Estimate, World, log_ratio

CHANNELS = tuple(channel.name for channel in FUNNEL)
Judge = Callable[[int, Sequence[Shift]], Verdict]
DOUBT = 10.0  # score at which half of the belief stays with what no candidate stands for
PARTLY, LOUD = 0.3, 0.15  # least deviation of a single day: part of the change, and at all
OLD = 2  # periods at the start of the window whose changes may be older than it
PLAUSIBLE = 5.0  # most log odds that the vocabulary may give a candidate or take from it


@dataclass(frozen=True)
class TreeScanParams(Params):
    domain: str = param(
        "ads", help="Domain whose funnel and cause words are used", choices=tuple(DOMAINS)
    )
    window: int = param(
        14, help="How far back an onset is looked for", low=1, high=60, unit="periods"
    )
    threshold: float = param(
        11.0, help="Score from which a change counts as a cause", low=0.0, high=1000.0
    )
    penalty: float = param(
        3.0, help="Log likelihood that each changed channel must earn", low=0.0, high=100.0
    )
    drift: float = param(
        0.02, help="Lasting drift that any expectation is allowed, relative", low=0.001, high=1.0
    )
    unlike: float = param(
        0.3,
        help="How differently one change may hit the parts of a node, relative",
        low=0.0,
        high=1.0,
    )
    candidates: int = param(5, help="Candidates named per cause", low=1, high=50)
    causes: int = param(20, help="Most separate causes looked for", low=1, high=200)


class TreeScan(Localizer):
    """Finds the node whose one change explains most of what its relatives deviate by.

    Needs panel and reference of the domain's funnel at every node; the noise is learned from the panel's past. One
    scan of the whole hierarchy serves every alarm on the same arrays, and finds all separate changes in them.

    Good for: telling a root from the ancestors and descendants it moves, concurrent incidents, ASINs that sit in
    several ad groups, saying "no cause". Bad for: changes that ended before the newest period or are older than the
    window, effects that come by another way than shared traffic (a bid rule that answers lost sales), and leaves with
    a few events a week. Score: log likelihood ratio beyond a penalty per channel, plus what the cause vocabulary and
    the settings say, on the same scale. Cost: linear in nodes × window × channels, once per set of arrays.
    """

    name = "tree-scan"
    source = (
        "Kulldorff, A spatial scan statistic (1997), section 3; Kulldorff, Fang, Walsh, A tree-based scan statistic"
        " (Biometrics 2003), section 2; Mallat, Zhang, Matching pursuits (1993), section II"
    )
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
    """One node as the source of one finding; it changed from period `start` on."""

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
    """One change: its candidates, best first.

    reach   : (n_node,) chi squared, how visible the change should be at every node
    touches : (n_node, n_candidate), whether node and candidate share traffic
    """

    candidates: tuple[Candidate, ...]
    reach: Floats
    touches: Bools


@dataclass(frozen=True, eq=False)
class Scan:
    """All findings of one hierarchy, strongest first."""

    findings: tuple[Finding, ...]
    domain: Domain
    panel: Panel
    settings: Callable[[int], Settings | None]

    def causes(self, case: Case) -> list[Cause]:
        """Candidates for one alarm: of the finding that its node shows most clearly, those that touch the node."""
        row = self.panel.row_of.get(case.alarm.node)
        if row is None:
            return []
        labels, step = self.panel.periods.labels, self.panel.periods.step
        shown = [
            finding
            for finding in self.findings
            if finding.reach[row] >= 1.0
            and case.alarm.at >= labels[finding.candidates[0].start] - step
        ]
        if not shown:
            return []
        finding = max(shown, key=lambda found: found.reach[row])
        return [
            self._cause(case, candidate)
            for candidate, touches in zip(finding.candidates, finding.touches[row], strict=True)
            if touches
        ]

    def _cause(self, case: Case, candidate: Candidate) -> Cause:
        node = self.panel.entities[candidate.row]
        onset = self.panel.periods.labels[candidate.start]
        path = way(case.graph, node, case.alarm.node)
        return Cause(
            node,
            candidate.verdict.type,
            onset,
            path,
            len(path) - 1,
            candidate.terms,
            candidate.score,
            candidate.confidence,
            tuple(
                told(
                    self.domain,
                    candidate.verdict.type,
                    candidate.shifts,
                    self.settings(candidate.row),
                    day(onset),
                )
            ),
        )


# ── The scan ─────────────────────────────────────────────────────────────────────────────────────


def scan(case: Case, params: TreeScanParams) -> Scan:
    """Every separate change of the last `window` periods, strongest first."""
    if case.panel is None or case.reference is None:
        rule = "given with a panel and its reference"
        raise InvalidInputError.of(TreeScan.name, "the case", rule, "one without")
    domain = DOMAINS[params.domain]
    found = deviations(case.graph, case.panel, case.reference, domain)
    world = World.of(found, params.window, params.drift)
    settings = _settings(case, found)

    def judged(row: int, shifts: Sequence[Shift]) -> Verdict:
        return judge(domain, found.levels[row], shifts, settings(row))

    findings: list[Finding] = []
    estimate = world.estimate()
    while len(findings) < params.causes:
        candidates = _candidates(estimate, world, judged, params)
        if not candidates:
            break
        root = candidates[0]
        world, shift = world.without(root.row, _changes(root), root.start, params.unlike)
        seen = shift**2 / estimate.variance[:, world.time - root.start - 1]
        shared = found.design @ found.design[[one.row for one in candidates]].sign().T
        findings.append(Finding(candidates, seen.sum(axis=1), shared.toarray() > 0))
        estimate = world.estimate_again(estimate, root.row)
    return Scan(tuple(findings), domain, case.panel, settings)


def _changes(root: Candidate) -> Floats:
    change = {shift.channel: shift.change for shift in root.shifts}
    return np.array([change.get(name, 0.0) for name in CHANNELS])


def _settings(case: Case, found: Deviations) -> Callable[[int], Settings | None]:
    """Row → what was set there; for what a node does not set itself, what half of its leaves agree on."""

    def of(row: int) -> Settings | None:
        share = found.design[[row]]
        below: dict[str, list[tuple[float, float]]] = {}
        for leaf in found.leaves[share.indices[share.data == 1.0]]:
            for name, pair in case.settings.get(found.nodes[leaf], {}).items():
                below.setdefault(name, []).append(pair)
        agreed = {name: _agreed(pairs) for name, pairs in below.items()}
        return {**agreed, **case.settings.get(found.nodes[row], {})} or None

    return cache(of)


def _agreed(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    before, after = np.mean(pairs, axis=0)
    moved = np.mean(np.sign([new - old for old, new in pairs]))
    return float(before), float(after if abs(moved) >= 0.5 else before)


def _candidates(
    estimate: Estimate, world: World, judged: Judge, params: TreeScanParams
) -> tuple[Candidate, ...]:
    """The strongest change and its rivals for the same deviation, best first; empty below the threshold."""
    gain = np.maximum(estimate.gain - params.penalty, 0.0).sum(axis=2)
    length = gain.argmax(axis=1)
    # what is best seen over all of the window, or nearly, is older than it: no news, and often a poor expectation
    news = length < max(gain.shape[1] - OLD, 1)
    best = np.where(news, gain.max(axis=1), 0.0)
    heat = _temperature(float(best.max()))

    def rated(rows: Rows) -> list[Candidate]:
        strongest = rows[np.argsort(-best[rows], kind="stable")][: 3 * params.candidates]
        found = [
            _candidate((int(row), int(length[row])), estimate, world, judged, params.penalty, heat)
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
        replace(candidate, confidence=share, start=_start(candidate, world))
        for candidate, share in zip(rivals[: params.candidates], belief, strict=False)
    )


def _candidate(
    at: tuple[int, int],
    estimate: Estimate,
    world: World,
    judged: Judge,
    penalty: float,
    heat: float,
) -> Candidate:
    """The node and length `at` as a candidate; its change earns what its channels explain beyond the penalty."""
    row, length = at
    shifts = [
        Shift(channel, float(change), float(variance) ** 0.5)
        for channel, change, variance in zip(
            CHANNELS, estimate.change[at], estimate.variance[at], strict=True
        )
    ]
    verdict = judged(row, shifts)
    earned = estimate.gain[at] - penalty
    terms = {
        "explained": float(np.maximum(earned, 0.0).sum()),
        "plausible": heat * min(max(verdict.shifts, -PLAUSIBLE), PLAUSIBLE),
        "settings": heat * verdict.settings,
    }
    changed = tuple(shifts[index] for index in np.argsort(-earned) if earned[index] > 0)
    return Candidate(row, world.time - 1 - length, changed, verdict, terms)


def _start(candidate: Candidate, world: World) -> int:
    """First period of the change: where it splits the window best, and before that as long as days stand out alone.

    A first day is often hit only in part; and a fault may show the other way round where figures were corrected since,
    as clicks do once invalid ones are taken off.
    """
    columns = [CHANNELS.index(shift.channel) for shift in candidate.shifts]
    gap, information = (side[:, columns] for side in world.at_node(candidate.row))
    change = np.maximum(gap / np.maximum(information, LEAST), -1.0)
    length = int((log_ratio(change, 1.0) * information).sum(axis=1).argmax()) + 1
    daily = np.maximum(np.diff(information, axis=0, prepend=0.0), LEAST)
    alone = np.abs(np.diff(gap, axis=0, prepend=0.0)) / daily
    enough = np.maximum(PARTLY * np.abs(change[length - 1]), LOUD)
    stands_out = ((alone > enough) & (alone * np.sqrt(daily) > 3.0)).any(axis=1)
    while length < len(stands_out) and stands_out[length]:
        length += 1
    return world.time - length


def _temperature(gain: float) -> float:
    """Likelihoods are never quite right: a lead of a twentieth of the gain is worth one unit of log odds."""
    return 1.0 + 0.05 * gain


def _belief(scores: Sequence[float], threshold: float, heat: float) -> list[float]:
    """Share of belief of each candidate against the others and "no cause".

    Softmax at a temperature, times score / (score + DOUBT): what no candidate stands for, such as a poor expectation
    or an effect of something upstream, is the less likely the more there is to explain.
    """
    against = np.array([*scores, threshold / 2]) / heat
    scaled = np.exp(against - against.max())
    shares = scaled / scaled.sum()
    return [
        float(share * score / (score + DOUBT)) if score > 0 else 0.0
        for share, score in zip(shares, scores, strict=False)
    ]
