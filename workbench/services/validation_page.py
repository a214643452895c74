"""The report on the data as one HTML file: no script, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from core.evaluate.data_quality import STATES, Check, State
from workbench.services.validation import Picture, Report

MARKS = {
    "pass": ("✓", "Passes", "good"),
    "warn": ("◆", "Warns", "medium"),
    "fail": ("▲", "Fails", "critical"),
    "untested": ("·", "Not asked", "muted"),
}
"""How a state reads: glyph, word, colour."""
THERE = {"whole": ("", "there"), "part": ("◆", "partly"), "none": ("▲", "missing")}
WHOLE = 0.95
"""Share of a column's samples from which on it counts as there."""
VERDICTS = {
    "pass": "Good enough to learn from.",
    "warn": "Good enough to learn from; look at the warnings.",
    "fail": "Not good enough to learn from yet.",
    "untested": "Nothing could be asked of these data.",
}
STYLE = """
:root { color-scheme: light dark; --ink: #14212b; --muted: #52636f; --border: #d5dee4; --back: #fff;
  --good: #1d6f42; --medium: #7a5c00; --critical: #b3261e; --there: #a9cdb9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eef1; --muted: #a3b4bf; --border: #2a3842; --back: #0e1417;
  --good: #7fd6a4; --medium: #e8cb5a; --critical: #ff8a80; --there: #2f5d47; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { margin: .2rem 0; } .muted { color: var(--muted); }
section { border-top: 1px solid var(--border); padding: .8rem 0; }
section h3 { font-size: 1rem; margin: 0; display: flex; gap: 1rem; justify-content: space-between; }
.good { color: var(--good); } .medium { color: var(--medium); } .critical { color: var(--critical); }
ul { margin: .4rem 0; padding-left: 1.2rem; } svg { width: 100%; height: auto; } text { fill: var(--ink); font-size: 11px; }
.whole { fill: var(--there); } .part { fill: var(--medium); } .none { fill: var(--critical); }
.due { fill: none; stroke: var(--border); }
"""
NAMES, ROW, WIDTH, TICK = 190, 18, 900, 80
"""Pixels of the picture: its names, a row, all of it, a time beneath it."""


def page(report: Report) -> str:
    """The whole report."""
    glyph, word, colour = MARKS[report.state]
    looked = f" (one series in {report.every} sample by sample)" if report.every > 1 else ""
    return "\n".join(
        (
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>Data of {escape(report.domain)}</title>',
            f"<style>{STYLE}</style></head><body>",
            "<h1>Is the data good enough to learn from?</h1>",
            f'<p class="{colour}"><strong>{glyph} {word}.</strong> {VERDICTS[report.state]}</p>',
            f'<p class="muted">{escape(report.domain)}, {report.start:%-d %b %Y %H:%M} to '
            f"{report.end:%-d %b %Y %H:%M} UTC, {report.samples:,} samples{looked}. "
            f"Looked at {report.at:%-d %b %Y %H:%M} UTC by {escape(report.actor)}.</p>",
            *_sections("What to mend", report, ("fail", "warn")),
            "<h2>What is there when</h2>",
            _drawn(report.picture),
            *_sections("What else was asked", report, ("pass", "untested")),
            "</body></html>",
            "",
        )
    )


def ordered(report: Report) -> list[Check]:
    """The checks, the worst first."""
    return sorted(report.checks, key=lambda check: STATES.index(check.state))


def presence(share: float | None) -> str:
    """`whole`, `part` or `none` of a column, "" where nothing was due."""
    if share is None:
        return ""
    return "whole" if share >= WHOLE else "part" if share > 0 else "none"


def _sections(title: str, report: Report, states: Sequence[State]) -> list[str]:
    """The checks of these states beneath their title; nothing where there are none."""
    told = [_section(check) for check in ordered(report) if check.state in states]
    return [f"<h2>{title}</h2>", *told] if told else []


def _section(check: Check) -> str:
    glyph, word, colour = MARKS[check.state]
    found = "".join(
        f"<li><strong>{escape(one.where)}</strong> {escape(one.message)}</li>"
        for one in check.findings
    )
    cure = f"<p><strong>What to do:</strong> {escape(check.cure)}</p>" if check.cure else ""
    return (
        f'<section><h3>{escape(check.title)}<span class="{colour}">{glyph} {word}</span></h3>'
        f'<p>{escape(check.message)}</p><p class="muted">Rule: {escape(check.rule)}.</p>'
        f"{f'<ul>{found}</ul>' if found else ''}{cure}</section>"
    )


def _drawn(picture: Picture) -> str:
    """Rows of what is expected, columns of time."""
    many = max(len(picture.starts), 1)
    width = (WIDTH - NAMES) / many
    height = ROW * len(picture.labels) + 20
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="What is there when">']
    for row, (label, shares) in enumerate(zip(picture.labels, picture.shares, strict=True)):
        top = row * ROW
        parts.append(
            f'<text x="{NAMES - 6}" y="{top + 12}" text-anchor="end">{escape(label)}</text>'
        )
        for column, share in enumerate(shares):
            kind = presence(share)
            left = NAMES + column * width
            said = f"{label}, {picture.starts[column]:%-d %b %H:%M}: "
            said += "nothing was due" if share is None else f"{share:.0%}"
            parts.append(
                f'<rect x="{left:.1f}" y="{top + 1}" width="{max(width - 0.5, 0.5):.1f}" height="{ROW - 3}" '
                f'class="{kind or "due"}"><title>{escape(said)}</title></rect>'
            )
            if kind in ("part", "none") and width >= 9:
                glyph = THERE[kind][0]
                parts.append(
                    f'<text x="{left + width / 2:.1f}" y="{top + 12}" text-anchor="middle" '
                    f'style="fill: var(--back)">{glyph}</text>'
                )
    for column in range(0, many, max(1, many // 8)):
        left = NAMES + column * width
        if left + TICK > WIDTH:
            break
        form = "%-d %b" if picture.hours >= 24 else "%-d %b %H:%M"
        parts.append(
            f'<text x="{left:.1f}" y="{height - 4}">{picture.starts[column]:{form}}</text>'
        )
    parts.append("</svg>")
    key = "  ".join(
        f'<span class="{colour}">{glyph or "■"} {word}</span>'
        for (glyph, word), colour in zip(
            THERE.values(), ("good", "medium", "critical"), strict=True
        )
    )
    return "".join(parts) + f'<p class="muted">{key}</p>'
