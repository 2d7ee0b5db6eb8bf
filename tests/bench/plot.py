"""The picture of a run: ratios against their goals, pairs a second, and how cost grows."""

import growth
from draw import FAINT, GRID, INK, LIMIT, MISSED, OTHERS, OURS, PAPER, Log, apart, box, dot, line, number, round_out, text

WIDTH, EDGE = 960, 28
COLUMN = (WIDTH - 3 * EDGE) / 2
# Of the goals' axis.
FURTHEST = 4

BARS = [
    ("W1: one caller, PostgreSQL", "w1"),
    ("W2: 64 tasks, distinct keys", "w2"),
    ("W1: one caller, MariaDB", "w1-mariadb"),
    ("W1: one caller, SQLite (WAL, NORMAL)", "w1-sqlite"),
    ("W3: 8 processes, one key, held for 1 ms", "w3-8x1-hold1"),
    ("W3: 8 processes, one key, held for no time", "w3-8x1-hold0"),
]


def goals(ratios, x, y):
    """How far from its goal each ratio is: to the right is better."""
    row, left, right = 19, x + 400, WIDTH - EDGE - 150
    axis = Log(1 / FURTHEST, FURTHEST, left, right)
    top, bottom = y + 30, y + 34 + row * len(ratios)
    out = [text(x, y, "Against the goals", 16, weight="600")]
    out.append(text(x, y + 18, "Bars begin at the goal; to the right is better, and fourfold is the end. Thin lines: least to most.", 11, fill=FAINT))
    for tick, words in [(1 / 4, "4× short"), (1 / 2, "2× short"), (1, "goal"), (2, "2× better"), (4, "4× better")]:
        out.append(line(axis.at(tick), top, axis.at(tick), bottom, INK if tick == 1 else GRID))
        out.append(text(axis.at(tick), bottom + 15, words, 10.5, "middle", fill=INK if tick == 1 else FAINT))
    for index, (name, ratio) in enumerate(ratios.items()):
        middle = top + 8 + row * index + row / 2 - 5
        colour = OURS if ratio["met"] else MISSED
        out.append(text(left - 12, middle + 4, name, 11.5, "end", "normal" if ratio["met"] else "600", INK if ratio["met"] else MISSED))

        def better(value, ratio=ratio):
            how, goal = ratio["goal"].split(" ")
            a, b = (value, float(goal)) if how == ">=" else (float(goal), value)
            return None if b == 0 and a == 0 else FURTHEST if b <= 0 else max(a / b, 1 / FURTHEST)

        reached, *span = (better(ratio[which]) for which in ("value", "min", "max"))
        if reached is None:
            out.append(dot(axis.at(1), middle, colour, 4.5))
        else:
            a, b = sorted((axis.at(1), axis.at(reached)))
            out.append(box(a, middle - 6, max(b - a, 2), 12, colour))
            if ratio["min"] != ratio["max"] and None not in span:
                out.append(line(axis.at(span[0]), middle, axis.at(span[1]), middle, INK, 1.3))
        # Signs that say how: the goal itself is a number.
        goal = ratio["goal"].replace(">=", "≥").replace("<=", "≤")
        out.append(text(right + 12, middle + 4, f"{ratio['value']:,.3g}", 11.5, weight="600", fill=colour))
        out.append(text(right + 62, middle + 4, goal, 11.5, fill=FAINT))
    return out, bottom + 30 - y


def bars(results, title, workload, x, y):
    """One bar for each of those who did this workload, the best on top."""
    found = []
    for case, name in results.values:
        place, who = case.split("/")
        if place == workload and name == "ops":
            found.append((results.spread(case, name), who))
    if not found:
        return [], 0
    found.sort(key=lambda it: -it[0][1])
    most = max(spread[2] for spread, _ in found)
    left, room = x + 156, COLUMN - 156 - 62
    out = [text(x, y, title, 13, weight="600")]
    for index, ((least, median, highest), who) in enumerate(found):
        middle = y + 20 + index * 21
        colour = LIMIT if who == "limit" else OURS if who.startswith("dlock") else OTHERS
        a, b = (left + room * value / most for value in (least, highest))
        out.append(text(left - 8, middle + 4, who, 11.5, "end"))
        out.append(box(left, middle - 7, room * median / most, 14, colour))
        out.append(line(a, middle, b, middle, INK, 1.3) if b - a > 1 else "")
        out.append(text(max(b, left + 2) + 6, middle + 4, f"{median:,.0f}", 11))
    return out, 34 + 21 * len(found)


def curve(results, drawn, x, y, height=250):
    """A figure over the size of the workload, both logarithmic; a ring where it bends."""
    lines = growth.points(results, drawn, drawn.figure)
    # There is no place for nothing on a logarithmic axis, and a dot is not a curve.
    lines = {who: [point for point in points if point[1] > 0] for who, points in lines.items() if len(points) > 1}
    if not lines:
        return [], 0
    every = [point for points in lines.values() for point in points]
    low, high = (pick(value for _, value in every) for pick in (min, max))
    names = {who: f"{who} {number(points[-1][1])}" for who, points in lines.items()}
    left, top, bottom = x + 52, y + 26, y + height - 42
    right = x + COLUMN - 24 - 6.4 * max(map(len, names.values()))
    across = Log(min(size for size, _ in every), max(size for size, _ in every), left + 8, right)
    # With air, so that what hardly changes does not look as if it did.
    up = Log(*round_out(low / 1.1, high * 1.1), bottom, top)
    out = [text(x, y, drawn.title, 13, weight="600")]
    for tick in up.ticks():
        out.append(line(left, up.at(tick), right, up.at(tick)))
        out.append(text(left - 7, up.at(tick) + 4, number(tick), 10.5, "end", fill=FAINT))
    out.append(line(left, bottom, right, bottom, FAINT))
    for size in sorted({size for size, _ in every}):
        out.append(line(across.at(size), bottom, across.at(size), bottom + 4, FAINT))
        # A size that only a peer has is too near to the next one for a number.
        if any(size == own for who in lines if who == "dlock" for own, _ in lines[who]):
            out.append(text(across.at(size), bottom + 17, f"{size:,}", 10.5, "middle", fill=FAINT))
    out.append(text((left + right) / 2, bottom + 35, drawn.across, 11, "middle", fill=FAINT))
    out.append(text(x + 8, (top + bottom) / 2, drawn.unit, 11, "middle", fill=FAINT, turn=-90))
    labels = []
    for who, points in sorted(lines.items(), reverse=True):
        colour = OURS if who == "dlock" else FAINT
        at = [(across.at(size), up.at(value)) for size, value in points]
        path = " ".join(f"{'L' if i else 'M'}{a:.1f} {b:.1f}" for i, (a, b) in enumerate(at))
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{2.4 if who == "dlock" else 1.6}"/>')
        out += [dot(a, b, colour) for a, b in at]
        rings = {bend.sizes[0] for bend in growth.bends(results, drawn, who)} if who == "dlock" else ()
        out += [dot(a, b, colour, 7, hollow=True) for (size, _), (a, b) in zip(points, at) if size in rings]
        weight = "600" if who == "dlock" else "normal"
        if at[-1][0] < right - 1:
            # It ends where others go on.
            out.append(text(at[-1][0], at[-1][1] - 10, names[who], 11, "middle", weight, colour))
        else:
            labels.append((at[-1][1] + 4, who, weight, colour))
    for at_y, who, weight, colour in apart(labels, 14):
        out.append(text(right + 12, at_y, names[who], 11, weight=weight, fill=colour))
    return out, height + 14


def svg(results, ratios):
    out, y = [], 88

    def pairs(heading, under, drawings):
        """Two to a row."""
        nonlocal out, y
        drawings = [draw for draw in drawings if draw(0, 0)[1]]
        if not drawings:
            return
        out += [text(EDGE, y, heading, 16, weight="600"), text(EDGE, y + 18, under, 11, fill=FAINT)]
        y += 52
        for first in range(0, len(drawings), 2):
            heights = []
            for column, draw in enumerate(drawings[first : first + 2]):
                more, height = draw(EDGE + column * (COLUMN + EDGE), y)
                out += more
                heights.append(height)
            y += max(heights) + 14
        y += 14

    if ratios:
        more, height = goals(ratios, EDGE, y)
        out += more
        y += height + 26
    under = "A pair is acquire and release. Thin lines: least to most of all rounds. limit: the driver's own two statements."
    pairs("Pairs a second", under, [lambda x, y, b=b: bars(results, *b, x, y) for b in BARS])
    under = "Both axes logarithmic. A ring: from here to the next size, what one costs dlock changes more than twofold (see report.md)."
    pairs("How cost grows", under, [lambda x, y, c=c: curve(results, c, x, y) for c in growth.CURVES])
    met = sum(ratio["met"] for ratio in ratios.values())
    head = [text(EDGE, 40, "dlock side by side", 22, weight="700"), text(EDGE, 60, f"{met} of {len(ratios)} goals met", 13, fill=FAINT)]
    frame = f'<rect width="{WIDTH}" height="{y}" fill="{PAPER}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}">{frame}{"".join(head + out)}</svg>\n'
