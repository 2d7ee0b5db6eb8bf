# shellcheck shell=bash disable=SC2154
# The double of SQL Server: a program of these tests, which keeps all in memory; a part of support/db.

make() {
    # The servers' user may not get to where cargo builds.
    cp "$bin" "$dir/sqlserver-double"
    chmod 755 "$dir/sqlserver-double"
}

set_option() {
    die "the double of SQL Server has no setting '$1'"
}

set_port() {
    echo "$1" >"$dir/port"
}

launch() {
    launch_daemon 'ready for connections' "$inside/sqlserver-double" "$(<"$dir/port")"
}

halt() {
    signal_server TERM
}

abort() {
    signal_server KILL
}

bury() {
    :
}

url() {
    echo "mssql://sa:Dlock_1234@127.0.0.1:$1/test?encrypt=DANGER_PLAINTEXT"
}

version() {
    echo "(a double)"
}
