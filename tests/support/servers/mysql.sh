# shellcheck shell=bash disable=SC2154
# MySQL, MariaDB, MariaDB as a Galera node, and MySQL as a member of a group; a part of support/db.

make() {
    mkdir -m 700 "$dir/tmp"
    give "$dir/tmp"
    {
        cat <<CONF
[mysqld]
datadir = $inside/data
# Its own: a server that starts deletes the temporary tables it finds.
tmpdir = $inside/tmp
bind-address = 127.0.0.1
# In the data folder; what follows it is made there too.
socket = socket
pid-file = pid
skip-log-bin
max_connections = 300
innodb_buffer_pool_size = 32M
# Every commit is written, as users have it, and no disk is waited for.
innodb_flush_log_at_trx_commit = 1
innodb_flush_method = nosync
CONF
        case $kind in
        mysql | group | member)
            cat <<'CONF'
mysqlx = OFF
secure-file-priv =
innodb_redo_log_capacity = 8M
# Of the 0.5 GB that it would take, most is for statistics that nobody reads.
innodb_log_buffer_size = 1M
performance_schema_digests_size = 0
performance_schema_events_statements_history_long_size = 10
performance_schema_error_size = 0
CONF
            ;;
        *) echo 'innodb_log_file_size = 8M' ;;
        esac
    } >"$dir/my.cnf"
    [ -z "$root" ] || is_mysql || cat >>"$dir/my.cnf" <<CONF
basedir = ${bin%/*/*}
lc_messages_dir = ${bin%/*/*}/share/mariadb
character_sets_dir = ${bin%/*/*}/share/mariadb/charsets
CONF
    is_mysql || [[ $(version_line) == *" Ver 10."* ]] || make_key
    if is_clustered; then
        join_galera
        from_template "galera $(version_line)" begin_galera
    elif is_grouped; then
        join_group
        from_template "group $(version_line)" begin_group
    else
        from_template "$(version_line)"
    fi
    if ! is_mysql && find_plugin; then
        mkdir "$dir/plugin"
        cp "$plugin" "$dir/plugin"
        set_option plugin_dir "$inside/plugin"
        set_option plugin_load_add metadata_lock_info
    fi
}

# Without one, it makes an RSA key of its own at each start, which takes up to seconds.
make_key() {
    mkdir -m 700 "$dir/tls"
    give "$dir/tls"
    as_server openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=localhost \
        -keyout "$inside/tls/key.pem" -out "$inside/tls/cert.pem" </dev/null >>"$dir/log" 2>&1 || return 0
    set_option ssl_key "$inside/tls/key.pem"
    set_option ssl_cert "$inside/tls/cert.pem"
}

initialize() {
    local install=(mariadb-install-db --defaults-file="$inside/my.cnf" --auth-root-authentication-method=normal --skip-test-db)
    [ -z "$root" ] || install=("${bin%/*/*}/bin/${install[0]}" "${install[@]:1}" --basedir="${bin%/*/*}")
    if is_mysql; then
        as_server "$bin" --defaults-file="$inside/my.cnf" --initialize-insecure
    else
        as_server "${install[@]}"
    fi </dev/null >>"$dir/log" 2>&1 || die "no data folder could be made: $(grep ERROR "$dir/log" || tail -n 3 "$dir/log")"
    cat >"$dir/init.sql" <<'SQL'
CREATE DATABASE test;
CREATE DATABASE app;
CREATE USER app@localhost IDENTIFIED BY 'secret';
GRANT ALL ON app.* TO app@localhost;
SQL
    if ! launch_daemon 'ready for connections' "$bin" --defaults-file="$inside/my.cnf" "${plain[@]}" --skip-networking --init-file="$inside/init.sql" || ! { halt && wait_gone 60; }; then
        die "the new data folder is of no use: $(tail -n 3 "$dir/log")"
    fi
    # Each copy makes itself a name of its own.
    rm -f "$dir/data/auto.cnf"
}

is_mysql() {
    [ "$kind" = mysql ] || is_grouped
}

is_clustered() {
    [ "$kind" = galera ] || [ "$kind" = node ]
}

is_grouped() {
    [ "$kind" = group ] || [ "$kind" = member ]
}

join_galera() {
    local port others=
    port=$(free_port)
    find_galera
    # All that it could ever have to ask, and itself.
    [ "$kind" = galera ] || others=$(sed -n 's/^wsrep_cluster_address = gcomm:..//p; s/^wsrep_node_address = /,/p' "$beside_dir/my.cnf" | tr -d '\n')
    mkdir "$dir/sst"
    cp "$tests/support/servers/wsrep_sst_dlock" "$dir/sst"
    cat >>"$dir/my.cnf" <<CONF
binlog_format = ROW
innodb_autoinc_lock_mode = 2
wsrep_on = ON
wsrep_provider = $galera
wsrep_cluster_name = dlock
wsrep_cluster_address = gcomm://${others#,}
wsrep_node_address = 127.0.0.1:$port
wsrep_sst_method = dlock
# What a node has missed must fit into the others' memory of it, or it cannot come back while it runs.
wsrep_provider_options = gmcast.listen_addr=tcp://127.0.0.1:$port;base_port=$port;gcache.size=128M
CONF
}

# A data folder that knows where in the history of a cluster it is: so a new node catches up, and needs no copy of another.
begin_galera() {
    from_template "$(version_line)"
    if ! launch --skip-networking --wsrep-cluster-address=gcomm:// --wsrep-new-cluster || ! { halt && wait_gone 60; }; then
        die "no cluster could be begun: $(tail -n 3 "$dir/log")"
    fi
    rm -f "$dir/data/galera.cache" "$dir/data/gvwstate.dat"
}

# Where the three members of a group are is settled by the first: any of them may be the one that another comes back to.
join_group() {
    local number=1 address seeds
    if [ "$kind" = group ]; then
        make_network
        for number in 1 2 3; do
            echo "$(address_of "$number"):$(free_port)"
        done >"$dir/members"
        number=1
    else
        cp "$beside_dir/members" "$dir"
        [ ! -e "$beside_dir/subnet" ] || cp "$beside_dir/subnet" "$dir"
        until mkdir "$beside_dir/member-$((++number))" 2>/dev/null; do :; done
        [ "$number" -le 3 ] || die "a group has three members"
    fi
    seeds=$(paste -sd , "$dir/members")
    address=$(sed -n "${number}p" "$dir/members")
    join_network "$number"
    # Of its memory of messages, a gigabyte, the least.
    cat >>"$dir/my.cnf" <<CONF
bind-address = ${address%:*}
report_host = ${address%:*}
server_id = $number
log_bin = log
sync_binlog = 0
gtid_mode = ON
enforce_gtid_consistency = ON
plugin_load_add = group_replication.so
group_replication_group_name = aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa
group_replication_local_address = $address
group_replication_group_seeds = $seeds
group_replication_ip_allowlist = 127.0.0.0/8,$(address_of 0)/24
group_replication_recovery_get_public_key = ON
group_replication_message_cache_size = 128M
CONF
}

# Nobody in it knows of a group yet.
plain=(--skip-log-bin --loose-group-replication-start-on-boot=OFF)

# A data folder that knows by which user a member fetches what it lacks, and lets it come from where it is.
begin_group() {
    from_template "$(version_line)"
    cat >"$dir/init.sql" <<'SQL'
CREATE USER root@'198.18.%';
GRANT ALL ON *.* TO root@'198.18.%' WITH GRANT OPTION;
CHANGE REPLICATION SOURCE TO SOURCE_USER='root' FOR CHANNEL 'group_replication_recovery';
SQL
    if ! launch_daemon 'ready for connections' "$bin" --defaults-file="$inside/my.cnf" "${plain[@]}" --init-file="$inside/init.sql" ||
        ! { halt && wait_gone 60; }; then
        die "no group could be prepared: $(tail -n 3 "$dir/log")"
    fi
    rm -f "$dir/data/auto.cnf"
}

set_option() {
    echo "$1 = $2" >>"$dir/my.cnf"
}

set_port() {
    set_option port "$1"
}

open_at() {
    set_option bind-address "$1"
    cat >"$dir/open.sql" <<SQL
CREATE USER IF NOT EXISTS root@'${1%.*}.%';
GRANT ALL ON *.* TO root@'${1%.*}.%' WITH GRANT OPTION;
SQL
    chmod 644 "$dir/open.sql"
    set_option init_file "$inside/open.sql"
}

launch() { # [OPTION…]
    if is_grouped; then
        # Only the first, and only once: later it comes back to the others.
        [ "$kind" = member ] || [ -e "$dir/begun" ] || set -- --group-replication-bootstrap-group=ON
        launch_daemon 'declared online within the replication group' "$bin" --defaults-file="$inside/my.cnf" "$@" || return 1
        : >"$dir/begun"
        return
    fi
    if ! is_clustered; then
        launch_daemon 'ready for connections' "$bin" --defaults-file="$inside/my.cnf" "$@"
        return
    fi
    if [ "$kind" = galera ]; then
        [ $# != 0 ] || set -- --wsrep-new-cluster
    elif [ $# = 0 ] && grep -q '^seqno: *-1' "$dir/data/grastate.dat"; then
        # It crashed: how far it had come is written in the tables only.
        set -- --wsrep-start-position="$(as_server "$bin" --defaults-file="$inside/my.cnf" --wsrep-recover 2>&1 | sed -n 's/.*Recovered position: //p')"
    fi
    # The script by which nodes pass on their state is looked for there.
    launch_daemon 'Synchronized with group, ready for connections' env PATH="$dir/sst:/usr/bin:/bin" \
        "$bin" --defaults-file="$inside/my.cnf" "$@"
}

halt() {
    signal_server TERM
}

abort() {
    signal_server KILL
}

# The lock file of its socket, whose pid may be another's by now; and a cluster of one may always begin anew.
bury() {
    rm -f "$dir/data/socket.lock" "$dir/data/socket" "$dir/data/pid"
    [ "$kind" != galera ] || [ ! -e "$dir/data/grastate.dat" ] || sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' "$dir/data/grastate.dat"
}

# MySQL without TLS, whose handshake takes a build for debugging a fifth of a second: MariaDB 11.8 is tested with it.
url() {
    local options="" address=127.0.0.1
    ! is_mysql || options="?ssl-mode=disabled"
    ! is_grouped || address=$(sed -n 's/^report_host = //p' "$dir/my.cnf")
    echo "mysql://root@$address:$1/test$options"
}

version_line() {
    as_server "$bin" --no-defaults --version || die "$root$bin does not run"
}

version() {
    version_line | sed 's/.* Ver \([0-9.]*\).*/\1/'
}
