"""Where nets learn, and where their checkpoints go: said once around a fit, obeyed by every `train` below it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from core.errors import DeviceError

AUTO, CPU = "auto", "cpu"


@dataclass(frozen=True)
class Device:
    """What nets can learn on: "cpu" or "cuda:0" …, its name, and its memory in bytes."""

    id: str
    name: str
    memory_bytes: int


class Checkpoints(Protocol):
    """Where half-learned nets are kept, by a key of letters, digits and `-`."""

    def load(self, key: str) -> bytes | None:
        """What was saved last under the key; None where nothing was."""
        ...

    def save(self, key: str, data: bytes) -> None:
        """Keep the bytes in place of what stood there; a torn write must leave the old ones."""
        ...


@dataclass(frozen=True)
class Running:
    """How every `train` within a block runs; `calls` counts them, so that each finds its checkpoint again.

    precision : "single", "half" (bfloat16 layers), or "auto": half on CUDA, single on the CPU
    """

    device: str = CPU
    checkpoints: Checkpoints | None = None
    precision: str = AUTO
    calls: Iterator[int] = field(default_factory=itertools.count)


_running: ContextVar[Running | None] = ContextVar("running", default=None)


def devices() -> tuple[Device, ...]:
    """The CPU and every GPU that torch can use. Takes no memory of a GPU."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = [Device(CPU, f"CPU, {os.cpu_count()} cores", memory)]
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        found.append(Device(f"cuda:{index}", gpu.name, gpu.total_memory))
    return tuple(found)


@contextmanager
def running(
    device: str = AUTO, checkpoints: Checkpoints | None = None, precision: str = AUTO
) -> Iterator[Running]:
    """Have every `train` within the block learn on a device; without a block they learn on the CPU.

    device : "auto" (the first GPU, else the CPU), "cpu" or the id of a GPU as `devices` gives it

    Raises DeviceError for a device that is not there, naming those that are.
    The block holds for its own thread.
    """
    # the CPU is always there; what needs no net need not wait for torch to say so
    known = [CPU] if device == CPU else [one.id for one in devices()]
    if device not in (AUTO, *known):
        rule = f"one of {', '.join((AUTO, *known))}"
        raise DeviceError.of("training", "the device", rule, device)
    chosen = next((one for one in known if one != CPU), CPU) if device == AUTO else device
    token = _running.set(Running(chosen, checkpoints, precision))
    try:
        yield current()
    finally:
        _running.reset(token)


def current() -> Running:
    """How a `train` called here would run."""
    return _running.get() or Running()
