"""Colour tokens, severity marks and the one Plotly template; `.streamlit/config.toml` holds the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st


@dataclass(frozen=True)
class Palette:
    """The tokens of one theme; every text colour has a contrast of at least 4.8:1 on both backgrounds."""

    background: str
    raised: str
    ink: str
    muted: str
    border: str
    primary: str
    critical: str
    high: str
    medium: str
    low: str
    good: str

    def severity(self, severity: str) -> str:
        """Colour of a severity; muted for a word that is none."""
        return {
            "critical": self.critical,
            "high": self.high,
            "medium": self.medium,
            "low": self.low,
        }.get(severity, self.muted)


LIGHT = Palette(
    background="#FFFFFF",
    raised="#F4F7F9",
    ink="#14212B",
    muted="#52636F",
    border="#D5DEE4",
    primary="#0A6A8A",
    critical="#B3261E",
    high="#B4500B",
    medium="#7A5C00",
    low="#3F6486",
    good="#1D6F42",
)
DARK = Palette(
    background="#0E1417",
    raised="#162026",
    ink="#E8EEF1",
    muted="#A3B4BF",
    border="#2A3842",
    primary="#5CC8E6",
    critical="#FF8A80",
    high="#FFB074",
    medium="#E8CB5A",
    low="#9CC1E0",
    good="#7FD6A4",
)


@dataclass(frozen=True)
class Mark:
    """How a severity reads without its colour."""

    glyph: str
    word: str
    hue: str


SEVERITIES = ("critical", "high", "medium", "low")
MARKS = {
    "critical": Mark("▲▲", "Critical", "red"),
    "high": Mark("▲", "High", "orange"),
    "medium": Mark("◆", "Medium", "yellow"),
    "low": Mark("●", "Low", "blue"),
}
CALM = Mark("·", "Normal", "gray")

FONT = '"Source Sans", "Source Sans Pro", system-ui, sans-serif'


def palette() -> Palette:
    """The palette of the theme that the visitor looks at."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def main_button() -> Literal["primary", "secondary"]:
    """The kind of a page's one main button: Streamlit writes white on it, unreadable on the dark accent."""
    return "secondary" if palette() is DARK else "primary"


def mark(severity: str) -> Mark:
    """Glyph, word and hue of a severity; a calm dot for anything else."""
    return MARKS.get(severity, CALM)


def severity_words(severity: str) -> str:
    """`▲ High`, for plain text such as a table cell."""
    return f"{mark(severity).glyph} {mark(severity).word}"


def severity_markdown(severity: str) -> str:
    """The same in its colour, for markdown."""
    return f":{mark(severity).hue}[**{severity_words(severity)}**]"


def tint(colour: str, share: float) -> str:
    """A hex colour at `share` opacity, as Plotly reads it."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share:g})"


def diverging(colours: Palette) -> list[list[Any]]:
    """Blue below, the page's own ground at zero, orange above."""
    return [[0.0, colours.low], [0.5, colours.background], [1.0, colours.high]]


def template(colours: Palette) -> dict[str, Any]:
    """The Plotly layout that every chart starts from."""
    axis = {
        "gridcolor": tint(colours.muted, 0.16),
        "linecolor": colours.border,
        "zerolinecolor": colours.border,
        "tickfont": {"color": colours.muted, "size": 11},
        "title": {"font": {"color": colours.muted, "size": 11}},
        "automargin": True,
    }
    return {
        "layout": {
            "font": {"family": FONT, "color": colours.ink, "size": 12},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
            "colorway": [colours.ink, colours.primary, colours.muted],
            "xaxis": {**axis, "showgrid": False},
            "yaxis": {**axis, "nticks": 5},
            "hoverlabel": {
                "bgcolor": colours.raised,
                "bordercolor": colours.border,
                "font": {"color": colours.ink, "family": FONT, "size": 12},
            },
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "bargap": 0.25,
            "dragmode": "zoom",
        }
    }
