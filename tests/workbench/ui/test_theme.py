"""One set of colours: legible on both grounds, alike in the theme file and in the code, never hue alone."""

from __future__ import annotations

import dataclasses
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from workbench.ui import theme
from workbench.ui.theme import DARK, LIGHT, MARKS, SEVERITIES, Palette

CONFIG = Path(__file__).resolve().parents[3] / ".streamlit" / "config.toml"
TOKENS = {
    "backgroundColor": "background",
    "secondaryBackgroundColor": "raised",
    "textColor": "ink",
    "primaryColor": "primary",
    "linkColor": "primary",
    "borderColor": "border",
    "redTextColor": "critical",
    "orangeTextColor": "high",
    "yellowTextColor": "medium",
    "blueTextColor": "low",
    "greenTextColor": "good",
    "grayTextColor": "muted",
}


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["background", "raised"])
def test_every_text_colour_is_legible(palette: Palette, ground: str) -> None:
    for name, colour in dataclasses.asdict(palette).items():
        if name not in ("background", "raised", "border"):
            assert contrast(colour, getattr(palette, ground)) >= 4.5, name


@pytest.mark.parametrize(("name", "palette"), [("light", LIGHT), ("dark", DARK)])
def test_the_theme_file_holds_the_same_colours(name: str, palette: Palette) -> None:
    settings = tomllib.loads(CONFIG.read_text())["theme"][name]
    assert {key: settings[key] for key in TOKENS} == {
        key: getattr(palette, token) for key, token in TOKENS.items()
    }


def test_the_server_keeps_to_itself() -> None:
    settings = tomllib.loads(CONFIG.read_text())
    assert settings["server"]["address"] == "127.0.0.1"
    assert settings["browser"]["gatherUsageStats"] is False
    assert settings["client"]["showErrorDetails"] == "none"


def test_severity_reads_without_colour() -> None:
    glyphs = [MARKS[severity].glyph for severity in SEVERITIES]
    words = [MARKS[severity].word for severity in SEVERITIES]
    assert len(set(glyphs)) == len(set(words)) == 4
    assert theme.severity_words("critical") == "▲▲ Critical"
    assert theme.severity_markdown("low") == ":blue[**● Low**]"
    assert theme.severity_words("") == "· Normal"


def test_light_severities_are_alike_in_greyscale_so_that_the_glyph_must_carry_them() -> None:
    shades = sorted(luminance(LIGHT.severity(severity)) for severity in SEVERITIES)
    assert all(high / low < 2.0 for low, high in pairwise(shades))


def test_a_tint_is_the_colour_with_an_opacity() -> None:
    assert theme.tint("#0A6A8A", 0.12) == "rgba(10,106,138,0.12)"
