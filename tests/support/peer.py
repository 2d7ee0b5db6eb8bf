"""A process that takes a lock with one of the Python libraries that dlock shares locks with.

    peer.py LIBRARY URL KEY MODE

Orders come line by line: `take` is answered by `held` or `busy`, `release` by `free`. Only django-database-locks knows
`count TABLE TIMES`: each time it takes the lock, adds one to the number in the table and gives the lock back.
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


def django_database_locks():
    """MODE is a lock_ttl in seconds, and perhaps an owner: `2` or `2:me`."""
    import time
    from urllib.parse import unquote, urlsplit

    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    server = urlsplit(url)
    engine = "postgresql" if server.scheme.startswith("postgres") else "mysql"
    if engine == "mysql":
        import pymysql

        # Django asks for the version of another driver.
        pymysql.version_info = (2, 2, 7, "final", 0)
        pymysql.install_as_MySQLdb()
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": f"django.db.backends.{engine}",
                "HOST": server.hostname,
                "PORT": server.port,
                "USER": unquote(server.username),
                "PASSWORD": unquote(server.password or ""),
                "NAME": server.path[1:],
            }
        },
        INSTALLED_APPS=["database_locks"],
        USE_TZ=True,
        DATABASE_LOCKS_ENABLED=True,
        DATABASE_LOCKS_STATUS_FILE=None,
        DATABASE_LOCKS_DEFAULT_TTL=10,
        DATABASE_LOCKS_DEFAULT_TTL_RENEW=2,
    )
    django.setup()
    for attempt in range(20):
        try:
            call_command("migrate", verbosity=0)
            break
        except Exception as error:
            # Another process makes the tables at the same time.
            failed = error
            time.sleep(0.2)
    else:
        raise failed

    from database_locks import lock
    from database_locks.locks import LockException

    ttl, _, owner = mode.partition(":")
    terms = {"lock_ttl": float(ttl), "locked_by": owner or None, "auto_renew": False}
    held = []

    def acquire():
        entered = lock(key, retry=0, **terms)
        try:
            entered.__enter__()
        except LockException:
            return False
        held.append(entered)
        return True

    def count(table, times):
        for _ in range(int(times)):
            with lock(key, retry=0.005, **terms), connection.cursor() as cursor:
                cursor.execute(f"SELECT n FROM {table}")
                (number,) = cursor.fetchone()
                time.sleep(0.001)
                cursor.execute(f"UPDATE {table} SET n = {number + 1}")
        return "counted"

    orders["count"] = count
    return acquire, lambda: held.pop().__exit__(None, None, None)


orders = {}
libraries = {
    "sqlalchemy-dlock": sqlalchemy_dlock,
    "pals": pals,
    "postgresql-lock": postgresql_lock,
    "django-database-locks": django_database_locks,
}
acquire, release = libraries[library]()
print("ready", flush=True)
for line in sys.stdin:
    order, *words = line.split()
    if order == "take":
        print("held" if acquire() else "busy", flush=True)
    elif order == "release":
        release()
        print("free", flush=True)
    else:
        print(orders[order](*words), flush=True)
