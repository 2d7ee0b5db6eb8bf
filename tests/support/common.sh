# shellcheck shell=bash disable=SC2034
# What setup, run and support/pg have in common. To be sourced.

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
home=~
cache=${DLOCK_TEST_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/dlock-tests}
mkdir -p "$cache" || exit 1
cache=$(cd "$cache" && pwd -P)

# Debian sid's PostgreSQL 18, in a root of its own. The stamp is written last: without it the root is half made.
root18=$cache/sid-postgresql-18
stamp18=$root18/.dlock-ready

# When we are root, servers run as this user: PostgreSQL refuses root, and nobody else's account is ours to use.
server_user=dlock-test

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Finds the programs of a VERSION: sets `bin`, their folder, and `root`, the root folder in which that is ("": ours).
find_postgres() {
    local on_path candidates
    root=
    case $1 in
    system)
        on_path=$(command -v pg_ctl) && on_path=$(dirname "$(readlink -f "$on_path")")
        candidates=${DLOCK_TEST_PG_BIN:-$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV)$'\n'$on_path}
        ;;
    18)
        candidates=/usr/lib/postgresql/18/bin
        # chroot is for root only.
        [ -x "$candidates/postgres" ] || [ ! -e "$stamp18" ] || [ "$EUID" != 0 ] || root=$root18
        ;;
    *) die "unknown PostgreSQL version '$1': system or 18" ;;
    esac
    while read -r bin; do
        [ ! -x "$root$bin/initdb" ] || [ ! -x "$root$bin/postgres" ] || return 0
    done <<<"$candidates"
    return 1
}
