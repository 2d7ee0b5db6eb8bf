"""From runs to ratios, and from those to report.json, .md and .svg."""

import json
import statistics

import plot

# What is asked: a name, how it is made of medians, the goal, and whether it is to be above or below that.
# `a/b@x` is the median of x of case a over that of case b; `a@x` is the median itself.
GOALS = [
    ("W1 answered, of the limit", "w1/dlock / w1/limit @ops", ">=", 0.70),
    ("W1 answered, over sqlx", "w1/dlock / w1/sqlx @ops", ">=", 1.05),
    ("W1 answered, over sqlalchemy-dlock", "w1/dlock / w1/sqlalchemy-dlock @ops", ">=", 6),
    ("W1 answered, over postgresql-lock (best in Python)", "w1/dlock / w1/postgresql-lock @ops", ">=", 1.5),
    ("W1 answered on the caller's runtime, of the limit", "w1/dlock-here / w1/limit @ops", ">=", 0.88),
    ("W1 answered on the caller's runtime, over sqlx", "w1/dlock-here / w1/sqlx @ops", ">=", 1.3),
    ("W1 in the background, of the limit", "w1/dlock-background / w1/limit @ops", ">=", 1.1),
    ("W1 in the background, over sqlx", "w1/dlock-background / w1/sqlx @ops", ">=", 1.65),
    ("W1 in the background on the caller's runtime, over sqlx", "w1/dlock-here-background / w1/sqlx @ops", ">=", 2),
    ("W1 MariaDB answered, of the limit", "w1-mariadb/dlock / w1-mariadb/limit @ops", ">=", 0.70),
    ("W1 MariaDB on the caller's runtime, of the limit", "w1-mariadb/dlock-here / w1-mariadb/limit @ops", ">=", 0.88),
    ("W1 MariaDB in the background, of the limit", "w1-mariadb/dlock-background / w1-mariadb/limit @ops", ">=", 1.1),
    ("SQLite pair, of the raw pair", "w1-sqlite/dlock / w1-sqlite/limit @ops", ">=", 0.70),
    ("W9 sync, of the async face", "w9/dlock-sync / w1/dlock @ops", ">=", 0.95),
    ("W2 over sqlx, 8 connections", "w2/dlock / w2/sqlx-8 @ops", ">=", 6),
    ("W2 over sqlx, 64 connections", "w2/dlock / w2/sqlx-64 @ops", ">=", 6),
    ("W2 over postgresql-lock (best in Python)", "w2/dlock / w2/postgresql-lock @ops", ">=", 12),
    ("W2 over rslock on Redis", "w2/dlock / w2/rslock @ops", ">=", 1.3),
    ("W3 in one process, sqlx's p50 over ours", "w3-1x8/sqlx / w3-1x8/dlock @p50_us", ">=", 6),
    ("W3 across processes, hold 1 ms, rate over sqlx", "w3-8x1-hold1/dlock / w3-8x1-hold1/sqlx @ops", ">=", 0.97),
    ("W3 across processes, hold 1 ms, p50 over sqlx's", "w3-8x1-hold1/dlock / w3-8x1-hold1/sqlx @p50_us", "<=", 1.3),
    ("W3 across processes, hold 1 ms, p99 over sqlx's", "w3-8x1-hold1/dlock / w3-8x1-hold1/sqlx @p99_us", "<=", 1.3),
    ("W3 across processes, hold 0, rate over sqlx", "w3-8x1-hold0/dlock-background / w3-8x1-hold0/sqlx @ops", ">=", 1.1),
    ("W3 fairness, max over min", "w3-8x1-hold1/dlock @fairness", "<=", 1.25),
    ("W3 overlaps", "w3-8x1-hold1/dlock @overlaps", "<=", 0),
    ("W4 100 waiters, connections", "w4-100/dlock @connections", "<=", 2),
    ("W4 100 waiters, statements a second", "w4-100/dlock @statements_per_s", "<=", 0.2),
    ("W4 100 waiters, sessions that pin xmin", "w4-100/dlock @pinned_xmin", "<=", 1),
    ("W4 10,000 waiters, connections", "w4-10000/dlock @connections", "<=", 2),
    ("W4 10,000 waiters, statements a second", "w4-10000/dlock @statements_per_s", "<=", 0.2),
    ("W5 overshoot p50, ms", "w5-postgres/dlock @overshoot_p50_ms", "<=", 1),
    ("W5 overshoot p99, ms", "w5-postgres/dlock @overshoot_p99_ms", "<=", 5),
    ("W5 earliest, ms", "w5-postgres/dlock @overshoot_min_ms", ">=", 0),
    ("W5 MariaDB overshoot p50, ms", "w5-mariadb/dlock @overshoot_p50_ms", "<=", 1),
    ("W6 1,000 keys, connections", "w6/dlock @connections", "<=", 1),
    ("W6 1,000 keys, time of postgresql-lock over ours", "w6/postgresql-lock / w6/dlock @acquire_all_ms", ">=", 5),
    ("W7 10,000 tasks on 100 keys, statements a pair", "w7/dlock @statements_per_pair", "<=", 0.2),
]


def derived(result):
    out = {name: value for name, value in result.items() if isinstance(value, (int, float))}
    if out.get("fair_min"):
        out["fairness"] = out["fair_max"] / out["fair_min"]
    for name, value in list(out.items()):
        if name.startswith("overshoot") and name.endswith("_us"):
            out[name.replace("_us", "_ms")] = value / 1000
    return out


class Results:
    def __init__(self, runs):
        self.values = {}
        self.failed = {}
        for run in runs:
            if "failed" in run["result"]:
                self.failed[run["case"]] = run["result"]["failed"]
                continue
            for name, value in derived(run["result"]).items():
                self.values.setdefault((run["case"], name), {})[run["round"]] = value

    def spread(self, case, name):
        values = sorted(self.values.get((case, name), {}).values())
        return (values[0], statistics.median(values), values[-1]) if values else None

    def value(self, formula):
        """The median, least and most of a goal's formula; a ratio is made round by round."""
        cases, name = formula.rsplit(" @", 1)
        if " / " not in cases:
            spread = self.spread(cases, name)
            return spread and (spread[1], spread[0], spread[2])
        a, b = (self.values.get((case, name), {}) for case in cases.split(" / "))
        ratios = [a[n] / b[n] for n in a if n in b and b[n]]
        return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def write(folder, about, runs):
    results = Results(runs)
    ratios = {}
    for name, formula, how, goal in GOALS:
        value = results.value(formula)
        if value is not None:
            median, least, most = (round(x, 3) for x in value)
            met = median >= goal if how == ">=" else median <= goal
            ratios[name] = {"value": median, "min": least, "max": most, "goal": f"{how} {goal}", "met": met}
    with open(f"{folder}/report.json", "w") as file:
        json.dump({"about": about, "ratios": ratios, "runs": runs}, file, indent=1)
    with open(f"{folder}/report.svg", "w") as file:
        file.write(plot.svg(results, ratios))
    with open(f"{folder}/report.md", "w") as file:
        file.write(markdown(about, results, ratios))
    print(f"bench: {sum(r['met'] for r in ratios.values())} of {len(ratios)} goals met; see target/bench/report.md")


def markdown(about, results, ratios):
    lines = [
        "# Side by side",
        "",
        f"Mode {about['mode']}, {about['rounds']} interleaved rounds, {about['seconds']} s in all, on {about['machine']}; load at "
        f"the end {about['load_at_the_end']:.1f}. Client and server share one core in W1 and W9. Medians, with the least and the "
        "most of all rounds.",
        "",
        "![plots](report.svg)",
        "",
        "| what | measured | min to max | goal | |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for name, ratio in ratios.items():
        mark = "✓" if ratio["met"] else "✗"
        lines.append(f"| {name} | {ratio['value']:g} | {ratio['min']:g} to {ratio['max']:g} | {ratio['goal']} | {mark} |")
    missed = [name for name, *_ in GOALS if name not in ratios]
    if missed:
        lines += ["", "Not measured: " + "; ".join(missed) + "."]
    lines += [f"- not here: {what}" for what in about["missing"]]
    lines += ["", "## All figures", "", "| case | figure | min | median | max |", "| --- | --- | ---: | ---: | ---: |"]
    for case, name in sorted(results.values):
        least, median, most = results.spread(case, name)
        lines.append(f"| {case} | {name} | {least:g} | {median:g} | {most:g} |")
    lines += [f"- failed: {case}: {why}" for case, why in sorted(results.failed.items())]
    return "\n".join(lines) + "\n"
