from __future__ import annotations

import pytest

from data.simulate.ads import END, Advertiser, build_advertiser
from data.simulate.ads.account import SIZES, WORLDS
from data.simulate.ads.traffic import Traffic


@pytest.fixture(scope="session")
def advertiser() -> Advertiser:
    """The small demo world."""
    return build_advertiser(SIZES["S"], 7, WORLDS["A"], END)


@pytest.fixture(scope="session")
def traffics(advertiser: Advertiser) -> list[Traffic]:
    return [advertiser.traffic(i) for i in range(len(advertiser.accounts))]
