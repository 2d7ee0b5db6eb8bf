"""Plots without a library: bars of pairs a second, and how cost grows."""

from math import log10

OURS, OTHERS, LIMIT = "#2a6f97", "#b8c4cc", "#e0a458"
FONT = 'font-family="system-ui, sans-serif"'


def text(x, y, words, size=12, anchor="start", weight="normal", fill="#223"):
    words = str(words).replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.0f}" y="{y:.0f}" {FONT} font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" fill="{fill}">{words}</text>'


def bars(results, title, workload, x, y, width):
    """One bar for each of those who did this workload, the best on top."""
    found = []
    for (case, name), values in results.values.items():
        place, who = case.split("/")
        if place == workload and name == "ops":
            found.append((results.spread(case, name), who))
    found.sort(key=lambda it: -it[0][1])
    out = [text(x, y, title, 14, weight="600")]
    most = max((spread[2] for spread, _ in found), default=1)
    room = width - 230
    for index, ((least, median, most_of), who) in enumerate(found):
        top = y + 14 + index * 22
        colour = LIMIT if who == "limit" else OURS if who.startswith("dlock") else OTHERS
        length = room * median / most
        out.append(text(x + 150, top + 13, who, 12, "end"))
        out.append(f'<rect x="{x + 158}" y="{top}" width="{length:.1f}" height="16" rx="3" fill="{colour}"/>')
        a, b = (x + 158 + room * value / most for value in (least, most_of))
        out.append(f'<path d="M{a:.1f} {top + 8}H{b:.1f}" stroke="#223" stroke-width="1.5"/>')
        out.append(text(b + 6, top + 13, f"{median:,.0f}", 11))
    return out, 30 + 22 * len(found)


def curve(results, title, prefix, name, x, y, width, height):
    """A figure over the size of the workload, both logarithmic."""
    lines = {}
    for (case, figure), _ in results.values.items():
        place, who = case.split("/")
        if figure == name and place.startswith(prefix):
            size = int(place[len(prefix):])
            lines.setdefault(who, []).append((size, results.spread(case, name)[1]))
    points = [point for line in lines.values() for point in line if point[1] > 0]
    if not points:
        return []
    low_x, high_x = (log10(f(p[0] for p in points)) for f in (min, max))
    low_y, high_y = (log10(f(p[1] for p in points)) for f in (min, max))
    low_y, high_y = low_y - 0.1, high_y + 0.1
    left, top, right, bottom = x + 60, y + 16, x + width - 90, y + height - 24

    def at(point):
        across = (log10(point[0]) - low_x) / ((high_x - low_x) or 1)
        up = (log10(point[1]) - low_y) / ((high_y - low_y) or 1)
        return left + across * (right - left), bottom - up * (bottom - top)

    out = [text(x, y, title, 14, weight="600")]
    out.append(f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#99a"/>')
    for size in sorted({p[0] for p in points}):
        out.append(text(at((size, points[0][1]))[0], bottom + 16, f"{size:,}", 10, "middle"))
    for who, line in sorted(lines.items()):
        line = sorted(point for point in line if point[1] > 0)
        colour = OURS if who.startswith("dlock") else "#8896a0"
        path = " ".join(f"{'M' if i == 0 else 'L'}{a:.1f} {b:.1f}" for i, (a, b) in enumerate(map(at, line)))
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point in line:
            a, b = at(point)
            out.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>')
        end = at(line[-1])
        out.append(text(end[0] + 8, end[1] + 4, f"{who} {line[-1][1]:,.0f}", 11, fill=colour))
        out.append(text(left - 6, at(line[0])[1] + 4, f"{line[0][1]:,.0f}", 10, "end", fill=colour))
    return out


def svg(results, ratios):
    out, y = [], 40
    for title, workload in [
        ("W1: one caller, pairs a second (PostgreSQL, one core)", "w1"),
        ("W1 on MariaDB", "w1-mariadb"),
        ("W1 on SQLite (WAL, NORMAL)", "w1-sqlite"),
        ("W2: 64 tasks, distinct keys, pairs a second", "w2"),
        ("W3: hand-offs a second across 8 processes, hold 1 ms", "w3-8x1-hold1"),
        ("W3: the same, hold 0", "w3-8x1-hold0"),
    ]:
        more, height = bars(results, title, workload, 30, y, 740)
        if height > 30:
            out += more
            y += height + 24
    for title, prefix, name in [
        ("W2: pairs a second by tasks", "curve-w2-", "ops"),
        ("W7: pairs a second by tasks on 100 keys", "curve-w7-", "ops"),
        ("W6: milliseconds to take so many keys", "curve-w6-", "acquire_all_ms"),
        ("W3: hand-offs a second by processes, hold 1 ms", "curve-w3-", "ops"),
    ]:
        more = curve(results, title, prefix, name, 30, y, 740, 200)
        if more:
            out += more
            y += 230
    met = sum(ratio["met"] for ratio in ratios.values())
    head = text(30, 22, f"dlock side by side: {met} of {len(ratios)} goals met", 15, weight="700")
    frame = f'<rect width="800" height="{y}" fill="#fbfcfd"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{y}" viewBox="0 0 800 {y}">{frame}{head}{"".join(out)}</svg>\n'
