"""Runs the cases of a benchmark, interleaved, and writes what came of them. Called by `run`."""

import json
import os
import platform
import signal
import subprocess
import sys
import time

import report

ENV = os.environ
PINNED = ["taskset", "-c", "0"]


class Case:
    """Somebody under a workload. `where`: postgres, counted (the same, with statements
    counted), mariadb, redis, sqlite, memory."""

    def __init__(self, name, who, where, workload, *args, pinned=False, rounds=None, seconds=None):
        self.name, self.who, self.where, self.workload = name, who, where, workload
        self.args, self.pinned = [str(arg) for arg in args], pinned
        # Where they are others than those of the mode.
        self.rounds, self.seconds = rounds, seconds

    def url(self):
        if self.where == "sqlite":
            # A fresh file for everybody.
            path = f"{ENV['BENCH_TEMP']}/{self.who}-{time.monotonic_ns()}.db"
            return f"sqlite://{path}?synchronous=normal"
        if self.where == "memory":
            return "memory:bench"
        variable = VARIABLES[self.where] + ("_PINNED" if self.pinned else "")
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
        return command and told(command, 60 + 10 * seconds)


class Script(Case):
    """A script beside this one, which prints a line as well."""

    def __init__(self, name, script):
        super().__init__(name, script, "here", script, rounds=1)

    def run(self, _seconds):
        return told([os.path.join(os.path.dirname(os.path.abspath(__file__)), self.who)], 600)


def told(command, limit):
    """What the last line says that a command prints."""
    # Of a process group of its own, so that none of its processes outlives it.
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, said = run.communicate(timeout=limit)
        return json.loads(out.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGTERM)
        run.communicate()
        return {"failed": f"not done after {limit:g} s"}
    except (IndexError, json.JSONDecodeError):
        return {"failed": f"exit code {run.returncode}: {said.strip()[-200:]}"}
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGTERM)


# Seconds, by mode and workload; idle: whole heartbeats.
LEAST = {
    "quick": {"w3": 1, "w4": 2, "w5": 3},
    "normal": {"w3": 1.5, "w4": 10, "w5": 6, "idle": 12},
    "full": {"w3": 2, "w4": 20, "w5": 15, "idle": 30},
}

# Where `run` says that a server is.
VARIABLES = {"postgres": "BENCH_POSTGRES", "mariadb": "BENCH_MARIADB", "redis": "BENCH_REDIS", "counted": "BENCH_COUNTED"}

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
    add("w2/dlock-here", "dlock-here", "postgres", "w2")
    add("w2/sqlx-8", "sqlx", "postgres", "w2", "--pool", 8)
    add("w2/sqlx-64", "sqlx", "postgres", "w2", "--pool", 64)
    add("w2/rslock", "rslock", "redis", "w2")
    add("w2/postgresql-lock", PY["postgresql-lock"], "postgres", "w2", "--pool", 64)
    add("w2-mariadb/dlock", "dlock", "mariadb", "w2")

    # Across processes, and in one.
    for hold in (1, 0):
        add(f"w3-8x1-hold{hold}/dlock", "dlock", "postgres", "w3", "--procs", 8, "--hold-ms", hold)
        add(f"w3-8x1-hold{hold}/dlock-background", "dlock", "postgres", "w3", "--procs", 8, "--hold-ms", hold, "--background")
        add(f"w3-8x1-hold{hold}/dlock-here", "dlock-here", "postgres", "w3", "--procs", 8, "--hold-ms", hold)
        add(f"w3-8x1-hold{hold}/sqlx", "sqlx", "postgres", "w3", "--procs", 8, "--hold-ms", hold)
    add("w3-1x8/dlock", "dlock", "postgres", "w3", "--threads", 2)
    add("w3-1x8/sqlx", "sqlx", "postgres", "w3", "--threads", 2)
    add("w10/dlock", "dlock", "postgres", "w10")

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
    add("w8/dlock", "dlock", "memory", "w8", pinned=True)
    if not quick:
        add("idle/dlock", "dlock", "counted", "idle", **one)
    if full:
        out += growth()
        out.append(Script("build/dlock", "build-cost"))
    return out


def growth():
    """The same workloads in several sizes, named `curve-workload-size/who`."""
    out = []

    def add(workload, size, who, where, *args):
        # Their shape is what counts, so they are short, and three for a median.
        name = f"curve-{workload}-{size}/{'postgresql-lock' if who.endswith('.py') else who}"
        out.append(Case(name, who, where, workload, *args, rounds=3, seconds=1))

    for tasks in (1, 4, 16, 64, 256, 1024):
        for who in ("dlock", "sqlx"):
            # Counting takes the server some time, the same for each statement of both.
            add("w2", tasks, who, "counted", "--counted", "--tasks", tasks)
            add("w7", tasks, who, "counted", "--tasks", tasks)
    for keys in (1, 10, 100, 1000, 5000):
        add("w6", keys, "dlock", "postgres", "--tasks", keys)
        add("w6", keys, PY["postgresql-lock"], "postgres", "--waiters", keys)
    # It has a connection for each key, and the server has a hundred.
    for keys in (1, 10, 80):
        add("w6", keys, "sqlx", "postgres", "--tasks", keys)
    for procs in (1, 2, 4, 8, 16):
        for who in ("dlock", "sqlx"):
            add("w3", procs, who, "postgres", "--procs", procs, "--tasks", procs)
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
            result = case.run(case.seconds or max(seconds, least))
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
