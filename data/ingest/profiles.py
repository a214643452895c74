"""profiles.json of the Amazon Ads API: zone, currency and kind of account of each profile."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import available_timezones

import pyarrow as pa

from data.ingest.batch import ENTITIES, Batch, Refusal
from data.ingest.source import Source

MAX_BYTES = 50 << 20


def recognise(source: Source) -> bool:
    """Whether the file is a list of profiles."""
    return (
        source.path.suffix == ".json"
        and b'"profileId"' in source.head
        and b'"timezone"' in source.head
    )


def read(source: Source) -> Batch:
    """The profiles as entities; one without id or with an unknown zone is refused."""
    found = json.loads(source.path.read_bytes()[:MAX_BYTES])
    entities, refused = [], []
    for line, profile in enumerate(found, start=1):
        fault = _fault(profile)
        if fault:
            column, rule = fault
            refused.append(Refusal(source.name, line, column, str(profile.get(column)), rule))
            continue
        entity = f"profile:{profile['profileId']}"
        account = profile.get("accountInfo") or {}
        kept = {
            "country": profile.get("countryCode"),
            "account_type": account.get("type"),
            "account": account.get("id"),
            "marketplace": account.get("marketplaceStringId"),
        }
        entities.append(
            {
                "id": entity,
                "level": "profile",
                "owner": entity,
                "name": account.get("name") or profile.get("countryCode"),
                "zone": profile["timezone"],
                "currency": profile.get("currencyCode"),
                "attributes": json.dumps({key: value for key, value in kept.items() if value}),
            }
        )
    return source.batch(
        "profiles",
        rows=len(found),
        entities=pa.Table.from_pylist(entities, schema=ENTITIES),
        refused=tuple(refused),
        refused_rows=len(refused),
    )


def _fault(profile: dict[str, Any]) -> tuple[str, str] | None:
    if (
        not isinstance(profile.get("profileId"), int | str)
        or not str(profile["profileId"]).isalnum()
    ):
        return "profileId", "an id in letters and digits"
    if profile.get("timezone") not in available_timezones():
        return "timezone", "a time zone of the IANA list"
    return None
