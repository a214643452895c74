"""How quickly sequences are learned and judged, beside the specification's own loop in the same run.

Sequences of 15 events with 11 numbers, as the specification has them. Both learn the same rows as often and are
asked about the same later ones. On the CPU each keeps to one core and is timed in that core's seconds, so that
what else runs on the machine counts for neither; on a GPU the clock on the wall counts, the device waited for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from core.contracts import Bools, Floats, OnStep
from core.sequences.attention import HEADS, LAYERS
from core.sequences.classifier import NETS, SequenceParams, learn, probabilities
from core.steps import WIDE
from core.training import devices, one_thread, running

Row = dict[str, Any]
LENGTH, FEATURES, LABELS, HIDDEN = 15, 11, 5, 64
EPOCHS, REPEATS, HELD = 8, 3, 10_000
ROWS = {"cpu": 25_000, "cuda": 327_680}
"""Sequences to learn from; ours holds the latest fifth of them back, the specification's loop learns only the rest."""
SPECIFIED = 256
"""Rows per step of the specification's loop."""
SOME = 200
"""Steps of an epoch that the specification's loop is timed on where it would take minutes."""


@dataclass(frozen=True)
class World:
    """Sequences with labels: to learn from, oldest first, and later ones to be asked about."""

    past: Floats
    known: Bools
    later: Floats
    truth: Bools


@dataclass(frozen=True)
class Outcome:
    """Sequences a second, learning and judging, and the mean area under the ROC curve of the labels."""

    training: float
    inference: float
    auc: float


Contestant = Callable[[World, int, str], Outcome]


def run(
    on_step: OnStep, rows: Mapping[str, int] = ROWS, epochs: int = EPOCHS, repeats: int = REPEATS
) -> list[Row]:
    """Two rows per contestant and device, training and inference, beside the specification's loop."""
    results = []
    places = [device.id for device in devices()]
    for place, device in enumerate(places):
        outcomes: dict[str, list[Outcome]] = {name: [] for name in _contestants(device, epochs)}
        for seed in range(repeats):
            world = made(rows[device.partition(":")[0]], seed)
            # in turn, so that what slows the machine for a while slows all of them
            for turn, (name, contestant) in enumerate(_contestants(device, epochs).items()):
                done = (place + (seed + turn / len(outcomes)) / repeats) / len(places)
                on_step(f"{device}: {name}", done, {})
                with one_thread():
                    outcomes[name].append(contestant(world, seed, device))
        results += _rows(device, epochs, outcomes)
    return results


def made(n: int, seed: int) -> World:
    """`n` sequences to learn from and `HELD` later ones, of one kind."""
    events, labels = journeys(n + HELD, seed)
    return World(events[:n], labels[:n], events[n:], labels[n:])


def journeys(n: int, seed: int) -> tuple[Floats, Bools]:
    """(n, 15, 11) float32 scans of goods on their way down a chain, and five faults (n, 5) planted in some.

    forgery     : from some event on it is another product
    duplicate   : seen elsewhere at almost the same time
    order       : two stages of the chain the wrong way round
    jump        : the longest way in far too short a time
    misplaced   : at a place that its stage does not have
    """
    rng = np.random.default_rng((seed, n))
    chain = np.array([[-1.5, 0.5], [-0.5, -1.0], [0.5, 1.0], [1.5, -0.5], [0.5, -2.0]])
    stages = np.sort(rng.integers(0, len(chain), (n, LENGTH)), axis=1)
    own = chain + 0.4 * rng.standard_normal((n, *chain.shape))
    places = np.take_along_axis(own, stages[:, :, None], axis=1)
    ways = np.linalg.norm(np.diff(places, axis=1, prepend=places[:, :1]), axis=2)
    gaps = np.log(0.2 + ways) + 0.3 * rng.standard_normal((n, LENGTH))
    products = np.repeat(rng.standard_normal((n, 1, 2)), LENGTH, axis=1)
    labels = rng.random((n, LABELS)) < 0.15
    at = rng.integers(2, LENGTH - 1, (n, LABELS))
    forged, twice, swapped, jumped, misplaced = (np.flatnonzero(column) for column in labels.T)

    since = np.arange(LENGTH) >= at[forged, :1]
    products[forged] += since[:, :, None] * rng.normal(0, 1.2, (len(forged), 1, 2))
    places[twice, at[twice, 1]] += rng.standard_normal((len(twice), 2))
    gaps[twice, at[twice, 1]] -= 2.5
    told = stages.astype(float)
    first = at[swapped, 2]
    told[swapped, first] = stages[swapped, first + 1] - 1.5
    told[swapped, first + 1] = stages[swapped, first]
    gaps[jumped, 1 + ways[jumped, 1:].argmax(axis=1)] -= 2.0
    places[misplaced, at[misplaced, 4]] += rng.normal(0, 1.5, (len(misplaced), 2))

    hours = 2 * np.pi * rng.random((n, 1)) + np.cumsum(np.exp(gaps), axis=1)
    seen = np.stack([gaps, *np.moveaxis(places, 2, 0), told / 2, *np.moveaxis(products, 2, 0)])
    seen += 0.15 * rng.standard_normal(seen.shape)
    idle = rng.standard_normal((3, n, LENGTH))
    events = np.concatenate([seen, [np.sin(hours), np.cos(hours)], idle])
    return np.moveaxis(events, 0, 2).astype(np.float32), labels


# ── The specification's way ──────────────────────────────────────────────────────────────────────


class Specified(nn.Module):
    """Two bidirectional LSTM layers of 64, attention from every event, the last one's answer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, LAYERS, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(2 * HIDDEN, HEADS, batch_first=True)
        self.output = nn.Linear(2 * HIDDEN, LABELS)

    def forward(self, events: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(events)
        attended, _ = self.attention(states, states, states)
        return self.output(attended[:, -1]).sigmoid()


def specified(world: World, seed: int, device: str, epochs: int) -> Outcome:
    """A DataLoader of 256 rows, Adam at .001, binary cross-entropy, and the loss read at each step."""
    learned = len(world.past) * 4 // 5
    rows = torch.from_numpy(world.past[:learned]), torch.from_numpy(world.known[:learned]).float()
    torch.manual_seed(seed)
    model = Specified().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    criterion = nn.BCELoss()
    loader = DataLoader(TensorDataset(*rows), batch_size=SPECIFIED, shuffle=True)
    speeds = []
    for _ in range(epochs):
        model.train()
        total, seen, began = 0.0, 0, _clock(device)
        for step, (events, labels) in enumerate(loader):
            optimizer.zero_grad()
            loss = criterion(model(events.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item()
            seen += len(events)
            if step == SOME and device != "cpu":
                # the rest of the epoch is learned, but not waited for by the clock
                speeds.append(seen / (_clock(device) - began))
        if device == "cpu" or len(loader) <= SOME:
            speeds.append(seen / (_clock(device) - began))
    model.eval()
    answers, began = [], _clock(device)
    with torch.no_grad():
        for (events,) in DataLoader(
            TensorDataset(torch.from_numpy(world.later)), batch_size=SPECIFIED
        ):
            answers.append(model(events.to(device)).cpu().numpy())
    inference = len(world.later) / (_clock(device) - began)
    return Outcome(median(speeds), inference, auc(np.concatenate(answers), world.truth))


# ── Ours ─────────────────────────────────────────────────────────────────────────────────────────


def ours(
    world: World, seed: int, device: str, params: SequenceParams, precision: str = "auto"
) -> Outcome:
    """Our loop: an epoch counts with its validation, though only the rows that were learned count as done."""
    params = replace(params, seed=seed)
    learned = len(world.past) - round(0.2 * len(world.past))
    ends, speeds = [], []

    def on_step(stage: str, _: float, numbers: Mapping[str, float]) -> None:
        if stage == "train":
            ends.append(_clock(device))
            speeds.append(numbers["rows_per_second"])

    with running(device, precision=precision):
        state = learn(world.past, world.known, params, on_step)
        began = _clock(device)
        answers = probabilities(world.later, state, params)
        inference = len(world.later) / (_clock(device) - began)
        if device != "cpu":
            inference = resident(params, device)
    training = learned / median(np.diff(ends).tolist()) if device == "cpu" else median(speeds)
    return Outcome(training, inference, auc(answers, world.truth))


def resident(params: SequenceParams, device: str, batches: int = 50) -> float:
    """Sequences a second in half precision that already lie on the device, as the anchors were measured."""
    net = NETS[params.net].layers(FEATURES, LABELS, params.hidden).to(device, torch.float16).eval()
    events = torch.randn(WIDE, LENGTH, FEATURES, device=device, dtype=torch.float16)
    shown = torch.ones(WIDE, LENGTH, device=device, dtype=torch.bool)
    with torch.inference_mode():
        for _ in range(3):
            NETS[params.net].logits(net, events, shown)
        began = _clock(device)
        for _ in range(batches):
            NETS[params.net].logits(net, events, shown)
        return batches * WIDE / (_clock(device) - began)


def _contestants(device: str, epochs: int) -> dict[str, Contestant]:
    """The specification's loop first: it is the peer of the others."""

    def loop(net: str, batch: int = SPECIFIED, rate: float = 0.005, **options: Any) -> Contestant:
        params = SequenceParams(
            net=net, hidden=HIDDEN, epochs=epochs, patience=epochs, batch=batch, rate=rate
        )
        return lambda world, seed, device: ours(world, seed, device, params, **options)

    peer: dict[str, Contestant] = {
        "specification's loop": lambda world, seed, device: specified(world, seed, device, epochs)
    }
    if device == "cpu":
        return {
            **peer,
            "convolution": loop("convolution", rate=0.01),
            "its net in our loop": loop("attention"),
            "its net in our loop, bfloat16": loop("attention", precision="half"),
        }
    return {
        **peer,
        **{
            f"{name}, batch {batch:,}": loop(net, batch, rate)
            for name, net, rate in (
                ("convolution", "convolution", 0.01),
                ("its net in our loop", "attention", 0.005),
            )
            for batch in (2_048, 4_096)
        },
    }


# ── Figures ──────────────────────────────────────────────────────────────────────────────────────


def auc(answers: Floats, truth: Bools) -> float:
    """Mean over the labels of the probability that a sequence with it is rated above one without."""
    areas = []
    for scores, label in zip(answers.T, truth.T, strict=True):
        order = np.sort(scores[~label])
        below = np.searchsorted(order, scores[label]) + np.searchsorted(
            order, scores[label], side="right"
        )
        areas.append(below.mean() / (2 * len(order)))
    return float(np.mean(areas))


def _rows(device: str, epochs: int, outcomes: Mapping[str, list[Outcome]]) -> list[Row]:
    peer, *others = outcomes
    unit = "sequences/s and core" if device == "cpu" else "sequences/s"
    rows = []
    for name in others:
        for what in ("training", "inference"):
            pairs = [
                (getattr(our, what), getattr(their, what))
                for our, their in zip(outcomes[name], outcomes[peer], strict=True)
            ]
            rows.append(
                {
                    "name": f"{what} on {device}: {name}",
                    "value": round(median(our for our, _ in pairs)),
                    "unit": unit,
                    "peer": peer,
                    "peer_value": round(median(their for _, their in pairs)),
                    "ratio": round(median(our / their for our, their in pairs), 2),
                    "epochs": epochs,
                    "auc": round(median(one.auc for one in outcomes[name]), 4),
                    "peer_auc": round(median(one.auc for one in outcomes[peer]), 4),
                }
            )
    return rows


def _clock(device: str) -> float:
    """Seconds of this process's cores on the CPU; on a GPU those on the wall, what was asked of it done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def main(arguments: list[str]) -> None:
    """`python -m benchmarks.training [--json]`: the rows, one JSON object or one line each."""
    with one_thread():
        rows = run(
            lambda what, share, _: print(f"{share:4.0%} {what}", file=sys.stderr) is not None
        )
    if "--json" in arguments:
        print(json.dumps({"results": rows}))
        return
    for row in rows:
        print(
            f"{row['name']}: {row['value']:,} {row['unit']}, AUC {row['auc']}; "
            f"{row['peer']}: {row['peer_value']:,}, AUC {row['peer_auc']}; ratio {row['ratio']}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
