# shellcheck shell=bash disable=SC2154
# pgbouncer in transaction mode; a part of support/db.

make() { # PORT of the server behind it
    # sqlx sends both parameters; a pooler refuses what it does not know.
    cat >"$dir/pgbouncer.ini" <<CONF
[databases]
* = host=127.0.0.1 port=$1 user=dlock
[pgbouncer]
listen_addr = 127.0.0.1
unix_socket_dir =
auth_type = any
pool_mode = transaction
ignore_startup_parameters = extra_float_digits,options
max_client_conn = 300
CONF
}

set_option() {
    echo "$1 = $2" >>"$dir/pgbouncer.ini"
}

set_port() {
    set_option listen_port "$1"
}

launch() {
    launch_daemon 'process up' "$bin" "$inside/pgbouncer.ini"
}

halt() {
    signal_server QUIT
}

abort() {
    signal_server KILL
}

bury() {
    :
}

url() {
    echo "postgres://dlock@127.0.0.1:$1/dlock"
}

version() {
    as_server "$bin" --version | awk 'NR == 1 { print $2 }'
}
