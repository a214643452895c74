"""`headwater labels queue|agreement|adjudicate|suspects|export` in a home where Ben and Eva judged the same things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data import alert_store, label_store
from data.records import NewLabel
from tests.findings import NOW, new_alert
from tests.workbench.conftest import Headwater
from workbench.context import open_context
from workbench.settings import Settings

TENANT = "local"
SAID = (("ben", "paused"), ("eva", "paused")), (("ben", "paused"), ("eva", "bid_up"))


def home(tmp_path: Path) -> Path:
    """Six alerts: two were judged by both, who differ on the second; Ana looks."""
    place = tmp_path / "made"
    with open_context(Settings(home=place, tenant=TENANT, user="ana")) as context:

        def write(session: Any) -> None:
            found = [new_alert(f"campaign:{number}") for number in range(6)]
            about = {"tenant": TENANT, "actor": "detection", "now": NOW}
            numbers = alert_store.upsert(session, found=found, **about).ids
            for number, said in zip(numbers, SAID, strict=False):
                for by, cause in said:
                    label = NewLabel(
                        alert_id=number,
                        entity="campaign:1",
                        disposition="real",
                        cause=cause,
                        causes=[cause],
                        blind=True,
                    )
                    label_store.add(session, tenant=TENANT, label=label, actor=by, now=NOW)

        context.records.write(TENANT, write)
    return place


def test_the_queue_is_filled_and_listed_with_its_reasons(
    headwater: Headwater, tmp_path: Path
) -> None:
    place = home(tmp_path)
    assert (
        "Fill it: headwater labels queue --fill 100" in headwater("labels", "queue", home=place).out
    )
    made = headwater("labels", "queue", "--fill", 4, "--json", home=place).json
    assert sum(made["filled"]["added"].values()) == 4 == len(made["items"])
    listed = headwater("labels", "queue", home=place).out
    assert "Drawn at random, " in listed and "random" in listed
    refused = headwater("labels", "queue", "--domain", "weather", home=place)
    assert refused.code == 1 and "the domain must be one of ads" in refused.err
    assert headwater("labels", "queue", "--fill", 0, home=place).code == 2


def test_agreement_is_told_with_its_base_rates(headwater: Headwater, tmp_path: Path) -> None:
    place = home(tmp_path)
    told = headwater("labels", "agreement", "--json", home=place).json
    assert (told["items"], told["which"], told["figures"]["percent"]["value"]) == (2, "blind", 0.5)
    shown = headwater("labels", "agreement", home=place).out
    assert "50.0 % agree, of too few to say how sure that is. 75 % of the answers" in shown
    assert "Krippendorff's alpha" in shown and "bid_up" in shown
    other = headwater("labels", "agreement", "--domain", "services", home=place).out
    assert other == "Nothing was judged by two people yet.\n"


def test_a_disagreement_is_shown_and_settled_by_a_third(
    headwater: Headwater, tmp_path: Path
) -> None:
    place = home(tmp_path)
    shown = headwater("labels", "adjudicate", home=place).out
    assert (
        "alert/2" in shown
        and "Real · Paused · high" in shown
        and "Real · Bid raised · high" in shown
    )
    kept = headwater("labels", "adjudicate", "alert/2", "--label", 4, "--json", home=place).json
    assert (kept["cause"], kept["settles"], kept["labelled_by"]) == ("bid_up", [3, 4], "ana")
    assert headwater("labels", "adjudicate", home=place).out == "Nothing waits for adjudication.\n"
    again = headwater("labels", "adjudicate", "alert/2", "--label", 3, home=place)
    assert again.code == 1
    for wrong in (
        ("alert/2",),
        ("alert/x", "--label", 3),
        ("alert/2", "--label", 3, "--disposition", "real"),
    ):
        assert headwater("labels", "adjudicate", *wrong, home=place).code == 2


def test_suspects_say_what_they_lack_and_the_export_is_a_file(
    headwater: Headwater, tmp_path: Path
) -> None:
    place = home(tmp_path)
    assert "It takes 20 judged things" in headwater("labels", "suspects", home=place).out
    file = tmp_path / "labels.csv"
    assert headwater("labels", "export", file, "--json", home=place).json["labels"] == 4
    assert file.read_text().splitlines()[1].startswith("1,alert,1,,ben,")
