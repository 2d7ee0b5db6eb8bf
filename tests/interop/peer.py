"""A process that takes a lock with one of the Python libraries that dlock shares locks with.

    peer.py LIBRARY URL KEY MODE

Orders come line by line: `take` is answered by `held` or `busy`, `release` by `free`.
"""

import sys

library, url, key, mode = sys.argv[1:]
shared = {"shared": True} if mode == "shared" else {}


def sqlalchemy_dlock():
    from sqlalchemy import create_engine
    from sqlalchemy_dlock import create_sadlock

    drivers = {"postgres": "postgresql+psycopg2", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
    # Options of the URL are those of another driver.
    scheme, rest = url.split("?")[0].split("://", 1)
    connection = create_engine(f"{drivers[scheme]}://{rest}").connect()
    lock = create_sadlock(connection, int(key[4:]) if key.startswith("int:") else key, **shared)
    return lambda: lock.acquire(block=False), lock.release


def pals():
    import pals

    app, name = key.split("/", 1)
    locker = pals.Locker(app or None, "postgresql+psycopg2://" + url.split("://", 1)[1])
    lock = locker.lock(name, blocking=False, **shared)
    return lock.acquire, lock.release


def postgresql_lock():
    import psycopg2
    from postgresql_lock import Lock

    connection = psycopg2.connect("postgresql://" + url.split("://", 1)[1])
    connection.autocommit = True
    lock = Lock(connection, key, interface="psycopg2", **shared)
    return lambda: lock.acquire(block=False), lock.release


acquire, release = {"sqlalchemy-dlock": sqlalchemy_dlock, "pals": pals, "postgresql-lock": postgresql_lock}[library]()
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "take":
        print("held" if acquire() else "busy", flush=True)
    else:
        release()
        print("free", flush=True)
