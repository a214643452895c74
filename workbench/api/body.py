"""The raw body of a request, read no further than it may be long."""

from __future__ import annotations

from fastapi import Request

from core.errors import InvalidInputError


async def read(request: Request, most: int) -> bytes:
    """The bytes of the body; InvalidInputError where they are more than `most`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            rule = f"at most {most:,} bytes long"
            raise InvalidInputError.of("API", "the body", rule, f"more than {most:,}")
    return bytes(body)
