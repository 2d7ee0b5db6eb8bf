"""How cost grows with the size of a workload: what is drawn and tabulated, where it bends, and why."""

from collections import namedtuple

# `figure` is drawn; `each` says what is compared between neighbours, from the figure and the size.
Curve = namedtuple("Curve", "key title across figure unit columns each_name each")
Bend = namedtuple("Bend", "sizes values")

PAIRS = {"ops": "pairs/s", "p50_us": "p50 µs", "p99_us": "p99 µs", "statements_per_pair": "statements a pair"}
CURVES = [
    Curve("w2", "W2: tasks that want distinct keys", "tasks", "ops", "pairs a second", PAIRS, "pairs/s a task", lambda ops, tasks: ops / tasks),
    Curve("w7", "W7: tasks that want one of 100 keys", "tasks", "ops", "pairs a second", PAIRS, "pairs/s a task", lambda ops, tasks: ops / tasks),
    Curve(
        "w6",
        "W6: keys held at once",
        "keys",
        "acquire_all_ms",
        "milliseconds to take them all",
        {"acquire_all_ms": "take all, ms", "release_all_ms": "release all, ms", "connections": "connections"},
        "ms a key",
        lambda ms, keys: ms / keys,
    ),
    Curve(
        "w3",
        "W3: processes that want one key, held for 1 ms",
        "processes",
        "p50_us",
        "microseconds a hand-off (p50)",
        {"ops": "hand-offs/s", "p50_us": "p50 µs", "p99_us": "p99 µs", "fairness": "max over min"},
        "µs a hand-off",
        lambda p50, _: p50,
    ),
]
# What the code and the figures say, and no more.
EXPLAINED = {
    "w2": [
        "with distinct keys, all tries and unlocks of a process go over one session, and what is asked while a batch is on "
        "its way goes out together with the next (`engine/sessions.rs`). So more tasks make larger batches, and statements a "
        "pair fall. Where the rate stays though they go on falling, it is not statements that cost but the work for each "
        "key, in the engine and in the server: from there, tasks share one rate.",
        "sqlx needs two statements a pair on one of 8 connections: once all are busy, more tasks only wait for one.",
    ],
    "w7": [
        "up to 100 tasks, each is alone on its key, and it is W2. Beyond, tasks of one key pass it to each other inside the "
        "process, up to 8 times and for 5 ms, before it goes back to the server (`HANDOFFS`, `TURN`).",
        "sqlx's tasks that wait for a key keep one of its 8 connections while they do.",
    ],
    "w6": [
        "one key has a round trip for itself; many that are wanted at once share a few (`engine/sessions.rs`), until what "
        "is left is the work for each key in the engine and in the server.",
        "postgresql-lock asks for one key after the other on one connection; sqlx opens a connection for each.",
    ],
    "w3": [
        "a hold of 1 ms leaves less than 1,000 hand-offs a second for any number of processes. One process has nobody to "
        "hand to: it unlocks and tries again, two round trips. From two on, the next one waits in the server already "
        "(`engine/sessions.rs`), so a hand-off is an unlock there and the answer to whoever waited.",
        "everybody, and the server, share the machine's cores: more processes than cores wait for those as well.",
    ],
}


def points(results, curve, figure):
    """By who, the medians in order of size."""
    out = {}
    prefix = f"curve-{curve.key}-"
    for case, name in results.values:
        place, who = case.split("/")
        if name == figure and place.startswith(prefix):
            size = int(place.removeprefix(prefix))
            out.setdefault(who, []).append((size, results.spread(case, name)[1]))
    return {who: sorted(line) for who, line in out.items()}


def bends(results, curve, who):
    """Where the cost of one changes more than twofold to the next size; steps in a row are one."""
    line = [(size, curve.each(value, size)) for size, value in points(results, curve, curve.figure).get(who, [])]
    out = []
    for (size, a), (after, b) in zip(line, line[1:]):
        if 0.5 <= b / a <= 2:
            continue
        if out and out[-1].sizes[-1] == size and (out[-1].values[-1] > out[-1].values[0]) == (b > a):
            out[-1] = Bend(out[-1].sizes + [after], out[-1].values + [b])
        else:
            out.append(Bend([size, after], [a, b]))
    return out


def markdown(results):
    """A table for each curve, and where it bends."""
    lines = []
    for curve in CURVES:
        found = {figure: points(results, curve, figure) for figure in curve.columns}
        everybody = sorted({who for by_who in found.values() for who in by_who})
        if not everybody:
            continue
        # dlock first; a column that somebody has nothing for is left out.
        everybody.sort(key=lambda who: who != "dlock")
        columns = [(who, figure) for who in everybody for figure in curve.columns if who in found[figure]]
        sizes = sorted({size for who, figure in columns for size, _ in found[figure][who]})
        lines += ["", f"### {curve.title}", ""]
        lines.append(" | ".join([f"| {curve.across}"] + [f"{who}: {curve.columns[figure]}" for who, figure in columns]) + " |")
        lines.append("| ---: " * (len(columns) + 1) + "|")
        for size in sizes:
            cells = [dict(found[figure][who]).get(size) for who, figure in columns]
            lines.append(f"| {size:,} | " + " | ".join("" if cell is None else f"{cell:,.4g}" if cell < 1000 else f"{cell:,.0f}" for cell in cells) + " |")
        lines.append("")
        for who in everybody:
            lines += [pointer(curve, who, bend) for bend in bends(results, curve, who)]
            many = len(found[curve.figure].get(who, [])) > 1
            if who == "dlock" and many and not bends(results, curve, who):
                lines.append(f"- {who}: no bend, {curve.each_name} changes less than twofold from each size to the next.")
        lines += ["", "Why:", ""] + [f"- {why}" for why in EXPLAINED.get(curve.key, ["not explained yet."])]
    if lines:
        about = (
            "A bend is where the cost of one changes more than twofold from one size to the next. In W2 and W7 sizes grow "
            "fourfold, so a rate that all tasks share bends at each; they ran on the server that counts statements."
        )
        lines = ["", "## How cost grows", "", about] + lines
    return lines


def pointer(curve, who, bend):
    sizes = " → ".join(f"{size:,}" for size in bend.sizes)
    values = " → ".join(f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in bend.values)
    return f"- {who} bends at {sizes} {curve.across}: {values} {curve.each_name}."
