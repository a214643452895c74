from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from core import catalog
from core.checks.subject import learn
from core.detectors import lstm_autoencoder
from core.detectors import networks as detectors
from core.forecasters import networks as forecasters
from core.samples import sample
from core.steps import in_half
from core.training import train

NETS = {name: entry for name, entry in catalog.entries() if "torch" in entry.tags.modules}


@pytest.mark.parametrize("name", NETS)
def test_a_net_and_its_loss_go_wherever_they_are_sent(name, monkeypatch):
    """The meta device knows shapes and places only, and refuses what lies elsewhere, as a GPU would."""
    lessons = []

    def watched(model, loss, training, *rest):
        lessons.append((model, loss, training))
        return train(model, loss, training, *rest)

    for module in (lstm_autoencoder, detectors, forecasters):
        monkeypatch.setattr(module, "train", watched)
    algorithm = catalog.make(name, **NETS[name].cheap)
    learn(algorithm, sample())
    assert lessons
    for model, loss, training in lessons:
        with in_half(torch.device("cpu"), halved=True):
            assert loss(model, *(part[:8] for part in training)).dtype == torch.float32
        model.to("meta").requires_grad_(True)
        value = loss(model, *(part[:8].to("meta") for part in training))
        value.backward()
        assert value.device.type == "meta"
        assert {weights.grad.device.type for weights in model.parameters()} == {"meta"}


def test_the_cpu_is_chosen_without_loading_torch():
    code = (
        "import sys\n"
        "from core.devices import running\n"
        "with running('cpu') as run: print(run.device, 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["cpu", "False"]
