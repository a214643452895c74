from __future__ import annotations

import pytest
import torch

from core.sequences.attention import HEADS, layers, logits, newest_query

SEEN = torch.arange(9) >= torch.tensor([0, 3, 8, 0])[:, None]


@pytest.fixture
def net():
    torch.manual_seed(0)
    made = layers(features=11, labels=5, hidden=16)
    # torch begins with constants of 0, which would hide a wrong one
    torch.nn.init.uniform_(made["attention"].in_proj_bias, -1.0, 1.0)
    torch.nn.init.uniform_(made["attention"].out_proj.bias, -1.0, 1.0)
    return made


def states(n=4, length=9, width=32, seed=1):
    return torch.randn(n, length, width, generator=torch.Generator().manual_seed(seed))


def test_the_newest_query_is_answered_as_torch_answers_it_among_all(net):
    attention = net["attention"]
    assert attention.num_heads == HEADS
    every, _ = attention(states(), states(), states(), key_padding_mask=~SEEN)
    newest = newest_query(attention, states(), SEEN)
    torch.testing.assert_close(newest, every[:, -1], rtol=1e-5, atol=1e-6)


def test_what_it_learns_is_the_same_too(net):
    attention, given = net["attention"], states()
    gradients = []
    for answer in (
        lambda: newest_query(attention, given, SEEN),
        lambda: attention(given, given, given, key_padding_mask=~SEEN)[0][:, -1],
    ):
        attention.zero_grad()
        answer().square().sum().backward()
        gradients.append({name: part.grad for name, part in attention.named_parameters()})
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)


def test_an_event_that_is_not_there_is_never_attended_to(net):
    there = torch.ones(4, 9, dtype=torch.bool)
    there[:, :3] = False
    other = states().index_fill(1, torch.tensor([0, 1, 2]), 7.0)
    attention = net["attention"]
    assert torch.equal(
        newest_query(attention, states(), there), newest_query(attention, other, there)
    )


def test_the_net_is_the_one_of_the_specification():
    made = layers(features=11, labels=5, hidden=64)
    assert made["reader"].bidirectional and made["reader"].num_layers == 2
    events = torch.randn(3, 15, 11, generator=torch.Generator().manual_seed(0))
    assert logits(made, events, torch.ones(3, 15, dtype=torch.bool)).shape == (3, 5)
    # 18.5 MFLOP a sequence for training: twice the products of the two layers, attention and output, three times
    products = 15 * (2 * 4 * 64 * (11 + 64) + 2 * 4 * 64 * (128 + 64) + 4 * 128 * 128)
    assert 6 * products == pytest.approx(18.5e6, rel=0.03)
    weights = sum(part.numel() for part in made.parameters())
    assert weights == 39_424 + 99_328 + 66_048 + 645
