"""Plots without a library: words, lines and logarithmic axes as SVG."""

from math import ceil, floor, log10

INK, FAINT, GRID, PAPER = "#1f2a33", "#66737d", "#e3e8ec", "#fbfcfd"
OURS, OTHERS, LIMIT, MISSED = "#1f6f9c", "#aab6bf", "#dd9f4b", "#c8503c"
FONT = 'font-family="system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif"'


def text(x, y, words, size=12, anchor="start", weight="normal", fill=INK, turn=0):
    words = str(words).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    turned = f' transform="rotate({turn} {x:.0f} {y:.0f})"' if turn else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" {FONT} font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="{fill}"{turned}>{words}</text>'
    )


def line(x1, y1, x2, y2, colour=GRID, width=1.0, dash=""):
    dash = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="{width}"{dash}/>'


def box(x, y, width, height, colour, round_by=2):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height}" rx="{round_by}" fill="{colour}"/>'


def dot(x, y, colour, radius=3.5, hollow=False):
    paint = f'fill="none" stroke="{colour}" stroke-width="1.5"' if hollow else f'fill="{colour}" stroke="{PAPER}" stroke-width="1"'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" {paint}/>'


def number(value):
    """As one says it: 0.004, 0.73, 12.5, 123, 1.2k, 56k."""
    if value >= 1000:
        return f"{value / 1000:.1f}".removesuffix(".0") + "k" if value < 10_000 else f"{value / 1000:,.0f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def round_out(least, most):
    """The nearest of 1, 2, 5, 10, … below and above."""
    steps = [step * 10.0**power for power in range(-6, 9) for step in (1, 2, 5)]
    return max(step for step in steps if step <= least), min(step for step in steps if step >= most)


class Log:
    """A logarithmic axis from `a` to `b` on the page."""

    def __init__(self, least, most, a, b):
        self.low, self.high, self.a, self.b = log10(least), log10(most), a, b

    def at(self, value):
        part = (log10(value) - self.low) / ((self.high - self.low) or 1)
        return self.a + min(max(part, 0), 1) * (self.b - self.a)

    def ticks(self):
        """Powers of ten, and 2 and 5 between them where there are few."""
        steps = (1,) if self.high - self.low > 2.5 else (1, 2, 5)
        decades = range(floor(self.low), ceil(self.high) + 1)
        found = [step * 10.0**power for power in decades for step in steps]
        return [tick for tick in found if self.low - 1e-9 <= log10(tick) <= self.high + 1e-9]


def apart(labels, gap):
    """Moves (y, …) down until none is nearer than that to the one above."""
    out = []
    for y, *rest in sorted(labels):
        out.append((max(y, out[-1][0] + gap) if out else y, *rest))
    return out
