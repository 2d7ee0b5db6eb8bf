# shellcheck shell=bash disable=SC2154
# PostgreSQL, and a hot standby of one; a part of support/db.

pg_ctl() {
    as_server "$bin/pg_ctl" -D "$inside/data" -l "$inside/log" -t 60 -w -s "$@" </dev/null >/dev/null 2>&1
}

make() { # [PORT to follow]
    if [ "$kind" = standby ]; then
        as_server "$bin/pg_basebackup" -D "$inside/data" -R -X stream -c fast --no-sync \
            -d "host=127.0.0.1 port=$1 user=dlock" >>"$dir/log" 2>&1 || die "pg_basebackup failed: $(tail -n 3 "$dir/log")"
        return
    fi
    from_template "$(version_line)"
    cat >>"$dir/data/postgresql.conf" <<'CONF'
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 16MB
# In the data folder, so that a killed server leaves nothing in /dev/shm, and a root needs none.
dynamic_shared_memory_type = mmap
fsync = off
full_page_writes = off
log_line_prefix = '%m [%p] %a '
CONF
    give "$dir/data"
}

initialize() {
    as_server "$bin/initdb" -D "$inside/data" -U dlock -A trust -E UTF8 --locale=C.UTF-8 --no-sync >>"$dir/log" 2>&1 ||
        die "initdb failed: $(tail -n 3 "$dir/log")"
    as_server "$bin/postgres" --single -F -D "$inside/data" postgres >>"$dir/log" 2>&1 <<<'CREATE DATABASE dlock' ||
        die "CREATE DATABASE failed: $(tail -n 3 "$dir/log")"
}

set_option() {
    echo "$1 = '${2//\'/\'\'}'" >>"$dir/data/postgresql.conf"
}

set_port() {
    set_option port "$1"
}

open_at() {
    set_option listen_addresses "$1"
    echo "host all all ${1%.*}.0/24 trust" >>"$dir/data/pg_hba.conf"
}

launch() {
    pg_ctl start
}

halt() {
    pg_ctl stop -m fast || true
}

promote() {
    pg_ctl promote || die "no promotion: $(tail -n 3 "$dir/log")"
}

abort() {
    # An immediate shutdown; a stopped process must go on to see it.
    signal_server QUIT
    signal_server CONT
}

# Its pid file (the pid may be a zombie's, or another's by now, which would keep a new server from starting) and the
# shared memory segment that the file names.
bury() {
    bury_postgres "$dir/data"
}

url() {
    echo "postgres://dlock@127.0.0.1:$1/dlock"
}

version_line() {
    as_server "$bin/postgres" --version || die "$root$bin/postgres does not run"
}

version() {
    version_line | awk '{ print $3 }'
}
