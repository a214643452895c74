"""Processes: known by number and start, ended as a group, never mistaken for another."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from models.processes import ProcessGroup, boot, started

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; held = bytearray(50 << 20); time.sleep(300)"])
print(child.pid, flush=True)
time.sleep(300)
"""


@contextmanager
def process(code: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def test_a_process_is_told_by_its_number_and_its_start_together() -> None:
    mine = started(os.getpid())
    assert mine == started(os.getpid())
    assert mine is not None
    with process("input()") as other:
        assert started(other.pid) is not None
        assert started(other.pid) >= mine
        assert ProcessGroup(other.pid, started(other.pid) or 0.0).alive()
        assert not ProcessGroup(other.pid, mine - 1).alive()
        other.kill()
        other.wait()
        assert started(other.pid) is None
    assert boot() == boot() != ""


def test_a_process_that_ended_and_was_not_waited_for_is_gone() -> None:
    with process("") as over:
        while started(over.pid) is not None:
            time.sleep(0.01)
        assert over.wait() == 0, "it was still there to be waited for"


def test_a_group_ends_whole_even_where_nobody_listens() -> None:
    with process(STUBBORN) as leader:
        assert leader.stdout is not None
        child = int(leader.stdout.readline())
        group = ProcessGroup(leader.pid, started(leader.pid) or 0.0)
        while group.memory() < 50 << 20:
            time.sleep(0.02)
        group.stop(0.2)
        assert started(child) is None
        assert not group.alive()


def test_what_a_dead_leader_left_is_ended_too() -> None:
    with process(STUBBORN) as leader:
        assert leader.stdout is not None
        child = int(leader.stdout.readline())
        group = ProcessGroup(leader.pid, started(leader.pid) or 0.0)
        leader.kill()
        leader.wait()
        assert started(child) is not None
        group.stop(0.0)
        assert started(child) is None


def test_a_group_of_another_process_under_the_same_number_is_spared() -> None:
    with process("input()") as other:
        ProcessGroup(other.pid, (started(other.pid) or 0.0) - 5).stop(0.0)
        assert started(other.pid) is not None
