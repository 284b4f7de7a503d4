"""The SVG charts of a comparison."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable

Bar = tuple[str, bool, "float | None"]  # the server, whether it is clws, and its value; None if it failed
Line = tuple[str, bool, "list[tuple[float, float]]"]  # the server, whether it is clws, and its points

OURS = "#c44626"
OTHERS = ["#466ea0", "#5a8c50", "#825f96", "#a08228", "#5a5a5a"]


def svg(width: float, height: float, parts: Iterable[str]) -> str:
    """A picture with these elements on white."""
    size = f'width="{width:.0f}" height="{height:.0f}"'
    content = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">\n' \
           f'<rect {size} fill="white"/>\n{content}\n</svg>\n'


def text(x: float, y: float, content: str, more: str = "") -> str:
    """A text whose baseline starts at this point."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{html.escape(content)}</text>'


def figure(value: float) -> str:
    """Formats a value with few digits, and with the prefix k or M."""
    for limit, prefix in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{prefix}"
    return f"{value:.3g}"


def bars(panels: list[tuple[str, list[Bar]]]) -> str:
    """Draws the bars of each row, in two columns. A bar longer than ten times the shortest is cut off."""
    margin, panel_width, names, longest, bar_height, head = 16, 580, 215, 240, 20, 30
    ends = [margin, margin]
    parts: list[str] = []
    for title, values in panels:
        column = int(ends[1] < ends[0])
        x, y = margin + column * panel_width, ends[column]
        ends[column] += head + bar_height * len(values) + margin
        parts.append(text(x, y + 14, title, 'font-weight="bold"'))
        known = [value for _, _, value in values if value is not None]
        most = min(max(known, default=1), 10 * min(known, default=1)) or 1
        for number, (name, ours, value) in enumerate(values):
            top = y + head - 6 + bar_height * number
            parts.append(text(x + names - 6, top + 14, name, 'text-anchor="end"'))
            length = 0 if value is None else min(value, most) / most * longest
            color = OURS if ours else OTHERS[0]
            parts.append(f'<rect x="{x + names}" y="{top + 2}" width="{length:.0f}" height="{bar_height - 4}" fill="{color}"/>')
            if value is not None and value > most:
                parts.append(f'<rect x="{x + names + length - 10:.0f}" y="{top}" width="4" height="{bar_height}" fill="white"/>')
            parts.append(text(x + names + length + 6, top + 14, "failed" if value is None else figure(value)))
    return svg(2 * (panel_width + margin), max(ends), parts)


def lines(title: str, axis: str, curves: list[Line]) -> str:
    """Draws curves on two logarithmic axes."""
    width, height, left, right, top, bottom = 900, 520, 80, 20, 46, 460
    points = [point for _, _, curve in curves for point in curve if min(point) > 0] or [(1.0, 1.0)]
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points) * 1.001
    y_low, y_high = min(y for _, y in points) / 2, max(y for _, y in points) * 2

    def x_of(value: float) -> float:
        return left + (width - right - left) * math.log(value / x_low) / math.log(x_high / x_low)

    def y_of(value: float) -> float:
        return bottom - (bottom - top) * math.log(value / y_low) / math.log(y_high / y_low)

    parts = [
        text(width / 2, 28, title, 'text-anchor="middle" font-size="18"'),
        text((left + width) / 2, height - 14, axis, 'text-anchor="middle"'),
        text(0, 0, "server CPU per message, µs", f'text-anchor="middle" transform="translate(22 {(top + bottom) / 2}) rotate(-90)"'),
    ]
    for power in range(math.floor(math.log10(y_low)), math.ceil(math.log10(y_high)) + 1):
        if y_low <= (value := 10.0**power) <= y_high:
            y = y_of(value)
            parts.append(f'<path d="M{left} {y:.1f}H{width - right}" stroke="#ddd"/>')
            parts.append(text(left - 8, y + 4, figure(value), 'text-anchor="end"'))
    for value in sorted({x for x, _ in points}):
        parts.append(f'<path d="M{x_of(value):.1f} {top}V{bottom}" stroke="#ddd"/>')
        parts.append(text(x_of(value), bottom + 18, figure(value), 'text-anchor="middle"'))
    falls = any(len(curve) > 1 and curve[0][1] > curve[-1][1] for _, _, curve in curves)
    legend = width / 2 if falls else left + 20  # where it covers no curve
    for number, (name, ours, curve) in enumerate(curves):
        color = OURS if ours else OTHERS[number % len(OTHERS)]
        at = [(x_of(x), y_of(y)) for x, y in curve if min(x, y) > 0]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{3 if ours else 2}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in at]
        y = top + 20 + 18 * number
        parts.append(f'<path d="M{legend} {y}h20" stroke="{color}" stroke-width="3"/>')
        parts.append(text(legend + 28, y + 4, name))
    return svg(width, height, parts)
