"""Plots as SVG, readable on white and on black paper."""

import math
from html import escape

STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.quiet { fill: #59636e } .axis { stroke: #818b98 } .grid { stroke: #818b98; stroke-opacity: .25 }
.back { fill: #ffffff } .ours { fill: #0b7285; stroke: #0b7285 } .theirs { fill: #adb5bd; stroke: #868e96 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .quiet { fill: #9198a1 } .back { fill: #0d1117 }
.ours { fill: #3bc9db; stroke: #3bc9db } .theirs { fill: #495057; stroke: #868e96 } }
</style>"""


def svg(width, height, title, parts):
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escape(title)}">\n{STYLE}\n'
        f'<rect class="back" width="{width}" height="{height}"/>\n'
        f'<text x="16" y="26" font-weight="600">{escape(title)}</text>\n{inside}\n</svg>\n'
    )


def figure(value):
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def steps(most):
    """Round values from 0 to `most` and beyond, at most seven."""
    unit = 10.0 ** math.floor(math.log10(most))
    step = unit * next(part for part in (0.2, 0.25, 0.5, 1, 2) if most / (unit * part) <= 6)
    return [step * at for at in range(math.ceil(most / step) + 1)]


def bars(title, unit, entries):
    """Horizontal bars: (label, value, whether it is Fanfare's). The scale is linear."""
    left, width, step = 190, 720, 28
    most = max(value for _, value, _ in entries)
    parts = []
    for at, (label, value, ours) in enumerate(entries):
        y = 44 + at * step
        long = max(2.0, (width - left - 110) * value / most)
        kind = "ours" if ours else "theirs"
        parts.append(f'<text x="{left - 10}" y="{y + 15}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect class="{kind}" x="{left}" y="{y}" width="{long:.1f}" height="20"/>')
        parts.append(f'<text x="{left + long + 8:.1f}" y="{y + 15}" class="quiet">'
                     f'{figure(value)} {escape(unit)}</text>')
    return svg(width, 56 + len(entries) * step, title, parts)


def lines(title, x_name, unit, series):
    """Curves over a logarithmic x: {name: [(x, y), ...]}; Fanfare's is the first."""
    width, height, left, right, top, bottom = 720, 340, 70, 150, 60, 60
    points = [point for line in series.values() for point in line]
    least, most = min(x for x, _ in points), max(x for x, _ in points)
    levels = steps(max(y for _, y in points))
    high = levels[-1]
    span = math.log(most / least) or 1.0

    def place(x, y):
        across = left + (width - left - right) * math.log(x / least) / span
        return across, height - bottom - (height - top - bottom) * y / high

    parts = []
    for value in levels:
        _, y = place(least, value)
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="quiet" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">'
                     f'{value:g}</text>')
    # From the last one, which says how far it goes, as many names as there is room for.
    free = math.inf
    for x in sorted({x for x, _ in points}, reverse=True):
        across, y = place(x, 0)
        parts.append(f'<line class="axis" x1="{across:.1f}" x2="{across:.1f}" y1="{y}" y2="{y + 5}"/>')
        if free - across > 44:
            free = across
            parts.append(f'<text class="quiet" x="{across:.1f}" y="{y + 20}" '
                         f'text-anchor="middle">{x:,}</text>')
    for at, (name, line) in enumerate(series.items()):
        kind = "theirs" if at else "ours"
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        # A shape as well as a colour, for print and for those who see no colours.
        dash = ' stroke-dasharray="6 4"' if at else ""
        parts.append(f'<polyline class="{kind} line" style="fill:none" points="{drawn}"{dash}/>')
        for point in line:
            x, y = place(*point)
            parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        mark = height - 12
        x = left + at * 190
        parts.append(f'<line class="{kind} line" x1="{x}" x2="{x + 24}" y1="{mark - 4}" '
                     f'y2="{mark - 4}"{dash}/>')
        parts.append(f'<text x="{x + 30}" y="{mark}">{escape(name)}</text>')
    parts.append(f'<text class="quiet" x="{width - right + 30}" y="{height - bottom + 20}">'
                 f'{escape(x_name)}</text>')
    parts.append(f'<text class="quiet" x="16" y="{top - 8}">{escape(unit)}</text>')
    return svg(width, height, title, parts)
