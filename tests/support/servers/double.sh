# shellcheck shell=bash disable=SC2154
# Doubles of SQL Server and of Oracle: programs of these tests, which keep all in memory; a part of support/db.

make() {
    # The servers' user may not get to where cargo builds.
    cp "$bin" "$dir/${bin##*/}"
    chmod 755 "$dir/${bin##*/}"
}

set_option() {
    die "the double of $(title "$kind") has no setting '$1'"
}

set_port() {
    echo "$1" >"$dir/port"
}

launch() {
    launch_daemon 'ready for connections' "$inside/${bin##*/}" "$(<"$dir/port")"
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
    case $kind in
    mssql) echo "mssql://sa:Dlock_1234@127.0.0.1:$1/test?encrypt=DANGER_PLAINTEXT" ;;
    oracle) echo "oracle://scott:Dlock_1234@127.0.0.1:$1/FREEPDB1" ;;
    esac
}

version() {
    echo "(a double)"
}
