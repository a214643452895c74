"""A load generator of its own process: `python -m benchmarks.serving_load < plan.json` prints what it saw as JSON.

It speaks HTTP/1.1 over a few kept connections, in one thread, and ends after `seconds` or `requests`, whatever
comes first. With a `rate` it sends on time whether or not answers have come (an open loop), and a request's wait
counts from when it was due; without one every connection sends again as soon as it has its answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

PATIENCE = 10.0
"""Seconds until a request counts as failed."""


class Plan(NamedTuple):
    """What to send where: every line of the file `bodies` is one body of `rows` rows, taken in turn."""

    address: str
    path: str
    bodies: str
    rows: int
    seconds: float
    requests: int
    connections: int
    rate: float = 0.0


@dataclass
class Seen:
    """Seconds that answered requests took, and why others were not."""

    waits: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def figures(self, rows: int, seconds: float) -> dict[str, Any]:
        """Rows a second and the quantiles of the waits, in milliseconds."""
        told = {
            "requests": len(self.waits),
            "errors": dict(self.errors),
            "rows_per_second": round(len(self.waits) * rows / seconds),
        }
        if self.waits:
            quantiles = 1000 * np.quantile(self.waits, (0.5, 0.95, 0.99, 1.0))
            names = ("p50_ms", "p95_ms", "p99_ms", "max_ms")
            told |= dict(zip(names, quantiles.round(2).tolist(), strict=True))
        return told


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def load(plan: Plan) -> dict[str, Any]:
    """Send what the plan says and tell how it went."""
    bodies = [_request(plan, line) for line in Path(plan.bodies).read_bytes().splitlines()]
    url, seen = urlsplit(plan.address), Seen()
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(plan.connections):
        free.put_nowait(await asyncio.open_connection(url.hostname, url.port))

    async def send(place: int, due: float) -> None:
        connection = await free.get()
        try:
            async with asyncio.timeout(PATIENCE):
                wrong = await _exchange(connection, bodies[place % len(bodies)], plan.rows)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            connection[1].close()
            connection = await asyncio.open_connection(url.hostname, url.port)
            wrong = type(error).__name__
        free.put_nowait(connection)
        if wrong:
            seen.errors[wrong] += 1
        else:
            seen.waits.append(time.perf_counter() - due)

    began = time.perf_counter()
    if plan.rate:
        sent = set()
        for place in range(min(plan.requests, int(plan.rate * plan.seconds))):
            due = began + place / plan.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent.add(asyncio.create_task(send(place, due)))
        await asyncio.gather(*sent)
    else:
        places = iter(range(plan.requests))

        async def again() -> None:
            for place in places:
                if time.perf_counter() - began > plan.seconds:
                    return
                await send(place, time.perf_counter())

        await asyncio.gather(*(again() for _ in range(plan.connections)))
    seconds = time.perf_counter() - began
    while not free.empty():
        free.get_nowait()[1].close()
    return seen.figures(plan.rows, seconds)


def _request(plan: Plan, body: bytes) -> bytes:
    head = f"POST {plan.path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def _exchange(connection: Connection, request: bytes, rows: int) -> str:
    """Send one request; "" once a whole answer has come with a score for each row, else what was wrong."""
    reader, writer = connection
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    body = await reader.readexactly(length)
    status = head.split(b" ", 2)[1].decode()
    if status != "200":
        return status
    return "" if body.count(b'"score"') == rows else "rows missing"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(load(Plan(**json.load(sys.stdin))))))
