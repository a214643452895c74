from __future__ import annotations

import pytest
import torch

from core.sequences.convolution import layers, logits


@pytest.fixture
def net():
    torch.manual_seed(0)
    return layers(features=4, labels=3, hidden=8)


def events(length, n=5, seed=0):
    return torch.randn(n, length, 4, generator=torch.Generator().manual_seed(seed))


def test_a_short_sequence_is_judged_as_if_nothing_had_been_put_before_it(net):
    short = events(9)
    longer = torch.cat([torch.zeros(5, 6, 4), short], dim=1)
    shown = torch.arange(15).expand(5, 15) >= 6
    alone = logits(net, short, torch.ones(5, 9, dtype=torch.bool))
    torch.testing.assert_close(logits(net, longer, shown), alone)


def reached(net):
    """The events of fifteen that a change of the answer can come from."""
    given = events(15).requires_grad_()
    logits(net, given, torch.ones(5, 15, dtype=torch.bool)).square().sum().backward()
    return (given.grad.abs().sum(dim=(0, 2)) > 0).tolist()


def test_every_event_of_fifteen_is_heard_and_the_newest_is_seen_beside_the_eight_before_it(net):
    assert all(reached(net))
    # the mixer hears neither the largest nor the mean, only the newest event's own
    with torch.no_grad():
        net["mixer"].weight[:, :16] = 0.0
    assert reached(net) == [False] * 6 + [True] * 9


def test_what_is_gathered_so_far_does_not_hang_on_what_comes_later(net):
    # the units of an event, before they are gathered, are those of its past: cut off the future and they stay
    whole, cut = events(15), events(15)[:, :10]
    seen = {}
    net["norms"][1].register_forward_hook(
        lambda _, given, __: seen.setdefault(given[0].shape[1], given[0].detach())
    )
    for part in (whole, cut):
        logits(net, part, torch.ones(part.shape[:2], dtype=torch.bool))
    torch.testing.assert_close(seen[15][:, :10], seen[10])
