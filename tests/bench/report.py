"""From runs to ratios, and from those to report.json, .md and .svg."""

import json
import statistics

import growth
import plot

# What is asked: a name, how it is made of medians, the goal, and whether it is to be above or below that.
# `a/b@x` is the median of x of case a over that of case b; `a@x` is the median itself.
GOALS = [
    ("W1 answered, of the limit", "w1/dlock / w1/limit @ops", ">=", 0.70),
    ("W1 answered, over sqlx", "w1/dlock / w1/sqlx @ops", ">=", 1.05),
    ("W1 answered, over sqlalchemy-dlock", "w1/dlock / w1/sqlalchemy-dlock @ops", ">=", 6),
    ("W1 answered, over postgresql-lock (best in Python)", "w1/dlock / w1/postgresql-lock @ops", ">=", 1.5),
    ("W1 answered on the caller's runtime, of the limit", "w1/dlock-here / w1/limit @ops", ">=", 0.90),
    ("W1 answered on the caller's runtime, over sqlx", "w1/dlock-here / w1/sqlx @ops", ">=", 1.3),
    ("W1 in the background, of the limit", "w1/dlock-background / w1/limit @ops", ">=", 1.15),
    ("W1 in the background, over sqlx", "w1/dlock-background / w1/sqlx @ops", ">=", 1.7),
    ("W1 in the background on the caller's runtime, over sqlx", "w1/dlock-here-background / w1/sqlx @ops", ">=", 2.4),
    ("W1 MariaDB answered, of the limit", "w1-mariadb/dlock / w1-mariadb/limit @ops", ">=", 0.65),
    ("W1 MariaDB on the caller's runtime, of the limit", "w1-mariadb/dlock-here / w1-mariadb/limit @ops", ">=", 0.85),
    ("W1 MariaDB in the background, of the limit", "w1-mariadb/dlock-background / w1-mariadb/limit @ops", ">=", 1.05),
    ("SQLite pair, of the raw pair", "w1-sqlite/dlock / w1-sqlite/limit @ops", ">=", 0.85),
    ("W9 sync, of the async face", "w9/dlock-sync / w1/dlock @ops", ">=", 0.95),
    ("W2 over sqlx, 8 connections", "w2/dlock / w2/sqlx-8 @ops", ">=", 7),
    ("W2 over sqlx, 64 connections", "w2/dlock / w2/sqlx-64 @ops", ">=", 6),
    ("W2 over postgresql-lock (best in Python)", "w2/dlock / w2/postgresql-lock @ops", ">=", 12),
    ("W2 over rslock on Redis", "w2/dlock / w2/rslock @ops", ">=", 1.2),
    ("W2 on the caller's runtime, over rslock on Redis", "w2/dlock-here / w2/rslock @ops", ">=", 1.8),
    ("W3 in one process, sqlx's p50 over ours", "w3-1x8/sqlx / w3-1x8/dlock @p50_us", ">=", 8),
    ("W3 across processes, hold 1 ms, rate over sqlx", "w3-8x1-hold1/dlock / w3-8x1-hold1/sqlx @ops", ">=", 0.95),
    ("W3 across processes, hold 1 ms, p50 over sqlx's", "w3-8x1-hold1/dlock / w3-8x1-hold1/sqlx @p50_us", "<=", 1.35),
    ("W3 across processes, hold 1 ms, p99 over sqlx's", "w3-8x1-hold1/dlock / w3-8x1-hold1/sqlx @p99_us", "<=", 1.3),
    ("W3 on the caller's runtime, rate over sqlx", "w3-8x1-hold1/dlock-here / w3-8x1-hold1/sqlx @ops", ">=", 0.98),
    ("W3 on the caller's runtime, p50 over sqlx's", "w3-8x1-hold1/dlock-here / w3-8x1-hold1/sqlx @p50_us", "<=", 1.15),
    ("W3 on the caller's runtime, p99 over sqlx's", "w3-8x1-hold1/dlock-here / w3-8x1-hold1/sqlx @p99_us", "<=", 1.2),
    ("W10 a refused try inside the process, µs", "w10/dlock @refused_us", "<=", 1),
    ("W10 a hand-off inside the process, µs", "w10/dlock @handoff_us", "<=", 1),
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
    ("W8 macro, time over hand-written", "w8/dlock @ratio", "<=", 1.05),
    ("Idle holder, statements a second", "idle/dlock @statements_per_s", "<=", 0.35),
    ("Idle holder, wake-ups a second", "idle/dlock @wakeups_per_s", "<=", 1.3),
    ("Build: seconds that dlock adds to sqlx", "build/dlock @added_s", "<=", 10),
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
        """The values of a goal's formula; a ratio is made round by round."""
        cases, name = formula.rsplit(" @", 1)
        if " / " not in cases:
            return list(self.values.get((cases, name), {}).values())
        a, b = (self.values.get((case, name), {}) for case in cases.split(" / "))
        return [a[n] / b[n] for n in a if n in b and b[n]]


def write(folder, about, runs):
    results = Results(runs)
    ratios = {}
    for name, formula, how, goal in GOALS:
        values = results.value(formula)
        if values:
            median, least, most = (round(f(values), 3) for f in (statistics.median, min, max))
            met = median >= goal if how == ">=" else median <= goal
            ratios[name] = {"value": median, "min": least, "max": most, "rounds": len(values), "goal": f"{how} {goal}", "met": met}
    with open(f"{folder}/report.json", "w") as file:
        json.dump({"about": about, "ratios": ratios, "runs": runs}, file, indent=1)
    with open(f"{folder}/report.svg", "w") as file:
        file.write(plot.svg(results, ratios))
    with open(f"{folder}/report.md", "w") as file:
        file.write(markdown(about, results, ratios))
    missed = [name for name, ratio in ratios.items() if not ratio["met"]]
    print(f"bench: {len(ratios) - len(missed)} of {len(ratios)} goals met; see target/bench/report.md")
    for name in missed:
        print(f"bench: missed: {name}: {span(ratios[name])}, goal {ratios[name]['goal']}")


def span(ratio):
    """A median with the least and the most."""
    if ratio["rounds"] == 1:
        return f"{ratio['value']:g} (one round)"
    return f"{ratio['value']:g} ({ratio['min']:g} to {ratio['max']:g})"


def markdown(about, results, ratios):
    missed = [name for name, ratio in ratios.items() if not ratio["met"]]
    lines = [
        "# Side by side",
        "",
        f"**{len(ratios) - len(missed)} of {len(ratios)} goals met{', ' + str(len(missed)) + ' missed' if missed else ''}.**",
        "",
        f"Mode {about['mode']}, {about['rounds']} interleaved rounds, {about['seconds']} s in all, on {about['machine']}; load at "
        f"the end {about['load_at_the_end']:.1f}. Client and server share one core in W1, W8 and W9. Medians, with the least and "
        "the most of all rounds.",
    ]
    if missed:
        lines += ["", "## Missed", "", "| what | measured (min to max) | goal |", "| --- | ---: | ---: |"]
        lines += [f"| **{name}** | **{span(ratios[name])}** | {ratios[name]['goal']} |" for name in missed]
    if results.failed:
        lines += ["", "## Failed", "", *(f"- {case}: {why}" for case, why in sorted(results.failed.items()))]
    lines += ["", "![plots](report.svg)", "", "## Goals", "", "| | what | measured | min to max | goal |", "| --- | --- | ---: | ---: | ---: |"]
    for name, ratio in ratios.items():
        what, mark = (name, "✓") if ratio["met"] else (f"**{name}**", "**✗ missed**")
        between = f"{ratio['min']:g} to {ratio['max']:g}" if ratio["rounds"] > 1 else "one round"
        lines.append(f"| {mark} | {what} | {ratio['value']:g} | {between} | {ratio['goal']} |")
    absent = [name for name, *_ in GOALS if name not in ratios]
    if absent:
        lines += ["", "Not measured: " + "; ".join(absent) + "."]
    if about["missing"]:
        lines += ["", *(f"- not here: {what}" for what in about["missing"])]
    lines += growth.markdown(results)
    lines += ["", "## All figures", "", "| case | figure | min | median | max |", "| --- | --- | ---: | ---: | ---: |"]
    for case, name in sorted(results.values):
        least, median, most = results.spread(case, name)
        lines.append(f"| {case} | {name} | {least:g} | {median:g} | {most:g} |")
    return "\n".join(lines) + "\n"
