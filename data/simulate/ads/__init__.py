"""A simulated Amazon Ads advertiser: files as downloaded, with the truth beside them.

Hourly demand, auctions, budgets and orders in each profile's own local time; reported late and
restated; with known faults, and decoys that only look like faults. The folder holds

    profiles.json, calendar.csv, change_log.json
    history/<download day>/<report>_<profile id>_<from>_<to>.json.gz    settled, at most 31 days each
    <download day>/<report>_<profile id>.json.gz                        14 mornings, 14 days each
    console/sp_search_term_{seller,vendor}.{csv,xlsx}
    truth/incidents.json, truth/effects.csv, truth/decoys.json

A download day is the local morning after the newest report day in the file. Search terms, the
biggest report, are asked for on the last morning and a week before it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from core.errors import InvalidInputError
from data.simulate.ads import console, truth
from data.simulate.ads.account import SIZES, WORLDS, Account, Size, World, build_account
from data.simulate.ads.faults import (
    AS_OF_DAYS,
    Decoys,
    Incident,
    choose_decoys,
    choose_incidents,
)
from data.simulate.ads.reports import REPORTS, Reporter, encode
from data.simulate.ads.traffic import Traffic, simulate
from data.simulate.draws import root_key

__all__ = ["Advertiser", "build_advertiser", "simulate_ads"]

END = date(2026, 3, 15)
Row = dict[str, object]
_FILE_DAYS = 31  # Amazon's longest report


@dataclass(frozen=True)
class Advertiser:
    """All profiles of a simulated advertiser, and what was planted in them."""

    accounts: list[Account]
    incidents: list[Incident]
    decoys: Decoys
    end: date

    def traffic(self, number: int, *, with_incidents: bool = True) -> Traffic:
        """What happens in account `number`; without its incidents only where they can be felt."""
        account = self.accounts[number]
        own = [i for i in self.incidents if i.account == number]
        shifts = [p.shift for p in self.decoys.promotions if p.account == number]
        late = self.decoys.late
        late_day = (late.day, late.age) if late.account == number else None
        if with_incidents:
            shifts += [shift for incident in own for shift in incident.shifts]
            return simulate(account, shifts, late_day=late_day)
        felt = np.any([i.campaigns for i in own], axis=0)
        return simulate(account, shifts, campaigns=felt, late_day=late_day)


def build_advertiser(size: Size, seed: int, world: World, end: date) -> Advertiser:
    """The advertiser whose last download is on the morning of `end`."""
    root = root_key("ads", seed)
    first = end - timedelta(days=size.days)
    accounts = [build_account(root, i, size, world, first) for i in range(size.profiles)]
    incidents = choose_incidents(accounts, root)
    return Advertiser(accounts, incidents, choose_decoys(accounts, incidents, root), end)


def simulate_ads(
    out: Path,
    *,
    size: str | Size = "S",
    seed: int = 7,
    world: str = "A",
    end: date | None = None,
    on_step: Callable[[str, float], None] | None = None,
) -> dict[str, int]:
    """Write a simulated advertiser into the new or empty folder `out`; return what was written.

    `size` is a name of `SIZES` or a size of one's own. The same arguments give the same bytes. `end` is the day of the last download (2026-03-15
    unless given), so the newest report day is the one before. `on_step` hears what was done and
    the share of the whole, 0 to 1. Raises InvalidInputError for an unknown size or world and for a
    folder that holds anything.
    """
    known = {"size": SIZES, "world": WORLDS}
    for thing, value in (("size", size), ("world", world)):
        if isinstance(value, str) and value not in known[thing]:
            rule = f"one of {', '.join(known[thing])}"
            raise InvalidInputError.of("simulate ads", thing, rule, value)
    shape = SIZES[size] if isinstance(size, str) else size
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        hint = "choose another folder, or empty this one"
        raise InvalidInputError.of("simulate ads", "output folder", "new or empty", str(out), hint)
    advertiser = build_advertiser(shape, seed, WORLDS[world], end or END)
    told = on_step or (lambda _step, _share: None)
    summary = {"files": 0, "rows": 0}

    def write(name: str, content: bytes, rows: int) -> None:
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        summary["files"] += 1
        summary["rows"] += rows

    for name, items in _settings_files(advertiser).items():
        write(name, _json(items), len(items))
    calendar = _calendar(advertiser)
    write("calendar.csv", _csv(calendar), len(calendar))
    incidents: list[Row] = []
    effects: list[Row] = []
    for number, account in enumerate(advertiser.accounts):
        done = number / len(advertiser.accounts)
        told(f"profile {account.profile_id}: traffic", done)
        traffic = advertiser.traffic(number)
        own = [i for i in advertiser.incidents if i.account == number]
        reporter = Reporter(account, traffic, own)
        told(f"profile {account.profile_id}: reports", done + 0.3 / len(advertiser.accounts))
        for path, lines in _downloads(advertiser, number, reporter):
            write(path, encode(lines), len(lines))
        if number < 2:  # one seller and one vendor
            for path, content, n_row in _console_files(account, reporter):
                write(path, content, n_row)
        if own:
            told(f"profile {account.profile_id}: truth", done + 0.9 / len(advertiser.accounts))
            rows, felt = _truth_of(advertiser, number, own, traffic)
            incidents += rows
            effects += felt
    incidents.sort(key=lambda row: str(row["incident_id"]))
    effects.sort(key=lambda row: str(row["incident_id"]))
    write("truth/incidents.json", _json(incidents), len(incidents))
    write("truth/effects.csv", _csv(effects), len(effects))
    decoys = truth.decoy_rows(advertiser.accounts, advertiser.decoys)
    write("truth/decoys.json", _json(decoys), len(decoys))
    told("done", 1.0)
    return {
        "profiles": len(advertiser.accounts),
        "keywords": sum(len(a.keywords) for a in advertiser.accounts),
        "days": shape.days,
        **summary,
        "incidents": len(incidents),
    }


def _downloads(
    advertiser: Advertiser, number: int, reporter: Reporter
) -> Iterator[tuple[str, list[str]]]:
    """Path and rows of each report file of one account, oldest download first.

    The history is one download, fourteen mornings before the last, in files of at most 31 days;
    each later morning repeats the report's trailing days.
    """
    account = advertiser.accounts[number]
    days = account.clock.days
    last_download = len(days)
    history = last_download - AS_OF_DAYS
    for report in REPORTS:
        for first in range(0, history, _FILE_DAYS):
            last = min(first + _FILE_DAYS, history) - 1
            name = f"{report.name}_{account.profile_id}_{days[first]}_{days[last]}.json.gz"
            yield f"history/{days[history]}/{name}", reporter.lines(report, first, last, history)
    bad = advertiser.decoys.delivery
    for as_of in range(history + 1, last_download + 1):
        for report in REPORTS:
            if (last_download - as_of) % report.every:
                continue
            lines = reporter.lines(report, as_of - report.look_back, as_of - 1, as_of)
            if (bad.account, bad.as_of, bad.report) == (number, as_of, report.name):
                if bad.kind == "missing":
                    continue
                half = len(lines) // 2
                lines = lines[:half] if bad.kind == "partial" else lines + lines[half:]
            day = advertiser.end - timedelta(days=last_download - as_of)
            yield f"{day}/{report.name}_{account.profile_id}.json.gz", lines


def _console_files(account: Account, reporter: Reporter) -> Iterator[tuple[str, bytes, int]]:
    """Small console exports of one campaign: as CSV, and for a seller as XLSX too."""
    market = account.market
    head = console.headers(market.kind, market.symbol)
    rows = console.search_term_rows(account, reporter, campaign=0)
    stem = f"console/sp_search_term_{market.kind}"
    yield f"{stem}.csv", console.to_csv(rows, head, market.symbol), len(rows)
    if market.kind == "seller":
        yield f"{stem}.xlsx", console.to_xlsx(rows, head), len(rows)


def _truth_of(
    advertiser: Advertiser, number: int, own: list[Incident], traffic: Traffic
) -> tuple[list[Row], list[Row]]:
    """Rows of incidents.json and effects.csv for one account."""
    account = advertiser.accounts[number]
    actual = truth.settled(account, traffic)
    without = truth.settled(account, advertiser.traffic(number, with_incidents=False))
    rows: list[Row] = []
    felt_rows: list[Row] = []
    for incident in own:
        place = advertiser.incidents.index(incident) + 1
        felt = truth.effects(account, incident, actual, without)
        row = truth.incident_row(place, account, incident, felt, actual, without)
        rows.append(row)
        felt_rows += [
            {"incident_id": row["incident_id"], **asdict(f), "ratio": f"{f.ratio:.4f}"}
            for f in felt
        ]
    return rows, felt_rows


def _settings_files(advertiser: Advertiser) -> dict[str, list[Row]]:
    """profiles.json as Amazon's profile list gives it, and the account's change history."""
    profiles: list[Row] = [
        {
            "profileId": account.profile_id,
            "countryCode": account.market.country,
            "currencyCode": account.market.currency,
            "timezone": account.market.zone,
            "accountInfo": {
                "marketplaceStringId": account.market.marketplace,
                "id": f"ENTITY{account.profile_id % 10**9:09d}",
                "type": account.market.kind,
                "name": f"Headwater Demo {account.market.country}",
            },
        }
        for account in advertiser.accounts
    ]
    changes = [c for i in advertiser.incidents for c in _changes(advertiser, i)]
    changes.sort(key=lambda change: str(change["changedAt"]))
    return {"profiles.json": profiles, "change_log.json": changes}


def _changes(advertiser: Advertiser, incident: Incident) -> Iterator[Row]:
    """The settings somebody changed: budgets, bids and states, with their old and new values."""
    account = advertiser.accounts[incident.account]

    def change(hour: int, kind: str, entity: int, field: str, old: object, new: object) -> Row:
        return {
            "profileId": account.profile_id,
            "changedAt": account.clock.utc(hour).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "entityType": kind,
            "entityId": entity,
            "field": field,
            "oldValue": old,
            "newValue": new,
        }

    if incident.fault.status != "ENABLED":
        entity = int(account.campaigns.ids[incident.root])
        yield change(
            incident.onset_hour, "CAMPAIGN", entity, "STATUS", "ENABLED", incident.fault.status
        )
    for shift in incident.shifts:
        hour = int(shift.start[0])
        if hour >= shift.stop:
            continue
        if shift.budget is not None:
            for c in np.flatnonzero(~np.isnan(shift.budget)).tolist():
                old, new = float(account.campaign_budget[c]), float(shift.budget[c])
                entity = int(account.campaigns.ids[c])
                yield change(hour, "CAMPAIGN", entity, "BUDGET_AMOUNT", old, new)
        if shift.stage.bid != 1.0:
            for k in sorted(set(account.leaf_of["keyword"][shift.leaves].tolist())):
                old = float(account.keyword_bid[k])
                new = round(old * shift.stage.bid, 2)
                entity = int(account.keywords.ids[k])
                yield change(hour, "KEYWORD", entity, "BID_AMOUNT", old, new)


def _calendar(advertiser: Advertiser) -> list[Row]:
    rows: list[Row] = []
    for p in advertiser.decoys.promotions:
        account = advertiser.accounts[p.account]
        rows.append(
            {
                "scope_level": "portfolio",
                "scope_id": account.native_ids("portfolio")[p.portfolio],
                "from": account.clock.days[p.first_day],
                "to": account.clock.days[p.last_day],
                "kind": "promotion",
                "name": p.name,
            }
        )
    return rows


def _json(items: list[Row]) -> bytes:
    return (json.dumps(items, indent=1, ensure_ascii=False) + "\n").encode()


def _csv(rows: list[Row]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
