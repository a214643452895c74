"""How well the text of a real page stands out from what is behind it, as WCAG 2.2 measures it."""

from __future__ import annotations

from playwright.sync_api import Page

LEAST = 4.5
FAINT = """
least => {
  const parse = text => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith('color(') ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = (top, below) => top.slice(0, 3).map((one, at) => one * top[3] + below[at] * (1 - top[3]));
  const light = colour => {
    const [r, g, b] = colour.map(one => one / 255).map(one => one <= .04045 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + .05) / (low + .05);
  };
  const line = element => element ? [...line(element.parentElement), element] : [];
  const found = new Map();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim(), holder = texts.currentNode.parentElement;
    // signs of an icon font are read as pictures, and what cannot be used may be faint
    if (!text || !holder.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (holder.closest('svg, style, script, :disabled, [aria-disabled=true], [data-testid=stIconMaterial]')) continue;
    let ground = [255, 255, 255], shown = 1;
    for (const element of line(holder)) {
      const style = getComputedStyle(element);
      shown *= Number(style.opacity);
      ground = over(parse(style.backgroundColor), ground);
    }
    const ink = parse(getComputedStyle(holder).color);
    const told = ratio(over([...ink.slice(0, 3), ink[3] * shown], ground), ground);
    if (told < least) found.set(text, `${told.toFixed(2)} ${text.slice(0, 60)}`);
  }
  return [...found.values()];
}
"""


def faint(page: Page) -> list[str]:
    """Texts whose contrast is below 4.5:1, each after its ratio; what is switched off is left out."""
    found: list[str] = page.evaluate(FAINT, LEAST)
    return found
