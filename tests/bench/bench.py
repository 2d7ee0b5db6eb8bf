"""Runs the cases of a benchmark, interleaved, and writes what came of them. Called by `run`."""

import json
import os
import platform
import subprocess
import sys
import time

import report

ENV = os.environ
PINNED = ["taskset", "-c", "0"]


class Case:
    """Somebody under a workload. `where`: postgres, counted (the same, with statements
    counted), mariadb, redis, sqlite."""

    def __init__(self, name, who, where, workload, *args, pinned=False, rounds=None):
        self.name, self.who, self.where, self.workload = name, who, where, workload
        self.args, self.pinned, self.rounds = [str(arg) for arg in args], pinned, rounds

    def url(self):
        if self.where == "sqlite":
            # A fresh file for everybody.
            path = f"{ENV['BENCH_TEMP']}/{self.who}-{time.monotonic_ns()}.db"
            return f"sqlite://{path}?synchronous=normal"
        variable = {"postgres": "BENCH_POSTGRES", "mariadb": "BENCH_MARIADB", "redis": "BENCH_REDIS", "counted": "BENCH_COUNTED"}[self.where]
        if self.pinned:
            variable += "_PINNED"
        return ENV.get(variable)

    def command(self, seconds):
        url = self.url()
        if url is None:
            return None
        if self.who.endswith(".py"):
            if "BENCH_PYTHON" not in ENV:
                return None
            command = [ENV["BENCH_PYTHON"], f"{ENV['BENCH_PEERS']}/{self.who}"]
            url = url.replace("postgres://", "postgresql://")
        else:
            command = [ENV["BENCH_PROGRAM"], "--who", self.who]
        pin = PINNED if self.pinned else []
        return pin + command + ["--url", url, "--workload", self.workload, "--seconds", str(seconds)] + self.args

    def run(self, seconds):
        command = self.command(seconds)
        if command is None:
            return None
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60 + 10 * seconds)
            return json.loads(done.stdout.strip().splitlines()[-1])
        except (subprocess.TimeoutExpired, IndexError, json.JSONDecodeError) as error:
            said = getattr(error, "stderr", None) or (done.stderr if isinstance(error, IndexError) else "")
            return {"failed": f"{type(error).__name__} {str(said).strip()[-200:]}".strip()}


# Seconds, by mode and workload.
LEAST = {
    "quick": {"w3": 1, "w4": 2, "w5": 3},
    "normal": {"w3": 1.5, "w4": 10, "w5": 6},
    "full": {"w3": 2, "w4": 20, "w5": 15},
}

PY = {
    "sqlalchemy-dlock": "sqlalchemy_dlock_pg.py",
    "postgresql-lock": "postgresql_lock_psycopg2.py",
    "PALs": "pals_pg.py",
}


def cases(mode):
    """Each named `workload/who`, for the report to find."""
    full, quick = mode == "full", mode == "quick"
    out = []

    def add(name, *args, **kw):
        out.append(Case(name, *args, **kw))

    for name, who, *more in [
        ("limit", "raw"),
        ("dlock", "dlock"),
        ("dlock-background", "dlock", "--background"),
        ("dlock-here", "dlock-here"),
        ("dlock-here-background", "dlock-here", "--background"),
        ("sqlx", "sqlx"),
        ("postgresql-lock", PY["postgresql-lock"]),
        ("sqlalchemy-dlock", PY["sqlalchemy-dlock"]),
        ("PALs", PY["PALs"]),
        ("distributed-lock", "distributed-lock"),
    ]:
        if not (quick and name in ("PALs", "distributed-lock")):
            add(f"w1/{name}", who, "postgres", "w1", *more, pinned=True)
    for name, who, *more in [("limit", "raw"), ("dlock", "dlock"), ("dlock-background", "dlock", "--background"), ("dlock-here", "dlock-here")]:
        add(f"w1-mariadb/{name}", who, "mariadb", "w1", *more, pinned=True)
    for name, who, *more in [("limit", "raw"), ("dlock", "dlock"), ("dlock-background", "dlock", "--background")]:
        add(f"w1-sqlite/{name}", who, "sqlite", "w1", *more, pinned=True)
    add("w9/dlock-sync", "dlock-sync", "postgres", "w1", pinned=True)
    add("w9/dlock-sync-background", "dlock-sync", "postgres", "w1", "--background", pinned=True)

    add("w2/dlock", "dlock", "postgres", "w2")
    add("w2/dlock-background", "dlock", "postgres", "w2", "--background")
    add("w2/sqlx-8", "sqlx", "postgres", "w2", "--pool", 8)
    add("w2/sqlx-64", "sqlx", "postgres", "w2", "--pool", 64)
    add("w2/rslock", "rslock", "redis", "w2")
    add("w2/postgresql-lock", PY["postgresql-lock"], "postgres", "w2", "--pool", 64)
    add("w2-mariadb/dlock", "dlock", "mariadb", "w2")

    # Across processes, and in one.
    for hold in (1, 0):
        add(f"w3-8x1-hold{hold}/dlock", "dlock", "postgres", "w3", "--procs", 8, "--hold-ms", hold)
        add(f"w3-8x1-hold{hold}/dlock-background", "dlock", "postgres", "w3", "--procs", 8, "--hold-ms", hold, "--background")
        add(f"w3-8x1-hold{hold}/sqlx", "sqlx", "postgres", "w3", "--procs", 8, "--hold-ms", hold)
    add("w3-1x8/dlock", "dlock", "postgres", "w3", "--threads", 2)
    add("w3-1x8/sqlx", "sqlx", "postgres", "w3", "--threads", 2)

    one = {"rounds": 1}
    add("w4-100/dlock", "dlock", "counted", "w4", **one)
    add("w4-100/sqlx", "sqlx", "counted", "w4", "--tasks", 90, **one)
    add("w4-100-mariadb/dlock", "dlock", "mariadb", "w4", **one)
    if not quick:
        add("w4-10000/dlock", "dlock", "counted", "w4", "--tasks", 10_000, **one)
    for where in ("postgres", "mariadb"):
        add(f"w5-{where}/dlock", "dlock", where, "w5", **one)
    if not quick:
        add("w5-postgres/postgresql-lock", PY["postgresql-lock"], "postgres", "w5", **one)
        add("w5-postgres/sqlalchemy-dlock", PY["sqlalchemy-dlock"], "postgres", "w5", **one)
    add("w6/dlock", "dlock", "postgres", "w6", **one)
    add("w6/postgresql-lock", PY["postgresql-lock"], "postgres", "w6", **one)
    if not quick:
        add("w6/sqlalchemy-dlock", PY["sqlalchemy-dlock"], "postgres", "w6", **one)
    add("w6/sqlx", "sqlx", "postgres", "w6", "--tasks", 80, **one)
    add("w7/dlock", "dlock", "counted", "w7", **one)
    if full:
        for tasks in (1, 4, 16, 64, 256, 1024):
            add(f"curve-w2-{tasks}/dlock", "dlock", "postgres", "w2", "--tasks", tasks, **one)
            add(f"curve-w2-{tasks}/sqlx-8", "sqlx", "postgres", "w2", "--tasks", tasks, **one)
            add(f"curve-w7-{tasks}/dlock", "dlock", "counted", "w7", "--tasks", tasks, **one)
        for keys in (1, 10, 100, 1000, 4900):
            add(f"curve-w6-{keys}/dlock", "dlock", "postgres", "w6", "--tasks", keys, **one)
        for procs in (1, 2, 4, 8, 16):
            add(f"curve-w3-{procs}/dlock", "dlock", "postgres", "w3", "--procs", procs, "--tasks", procs, **one)
            add(f"curve-w3-{procs}/sqlx", "sqlx", "postgres", "w3", "--procs", procs, "--tasks", procs, **one)
    return out


def main():
    mode = sys.argv[1]
    rounds, seconds = {"quick": (1, 0.5), "normal": (3, 1), "full": (5, 2)}[mode]
    begun = time.time()
    runs = []
    todo = cases(mode)
    for number in range(rounds):
        for case in todo:
            if number >= (case.rounds or rounds):
                continue
            # What is counted or waited for takes longer to show than what is merely fast.
            least = LEAST[mode].get(case.workload, 0)
            result = case.run(max(seconds, least))
            if result is not None:
                runs.append({"case": case.name, "round": number, "result": result})
                print(f"{case.name:32} {json.dumps(result)}", file=sys.stderr)
    with open(ENV["BENCH_MISSING"]) as file:
        missing = [line.strip() for line in file if line.strip()]
    about = {
        "mode": mode,
        "rounds": rounds,
        "seconds": round(time.time() - begun),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "load_at_the_end": os.getloadavg()[0],
        "missing": missing,
    }
    report.write(ENV["BENCH_OUT"], about, runs)


main()
