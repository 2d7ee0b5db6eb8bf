# shellcheck shell=bash disable=SC2154
# PostgreSQL under Patroni, and the etcd in which Patroni keeps its state; a part of support/db.

make() { # PORT of etcd
    if [ "$kind" = etcd ]; then
        # Its programs may be where only we get to.
        cp "$bin" "$dir/etcd"
        chmod 755 "$dir/etcd"
        return
    fi
    # Before 3.0.3, a Patroni that was frozen for longer than ttl writes its name over that of the next leader when it goes
    # on (patroni/patroni#2689): what that one has committed is lost. By version 2 of etcd's protocol it compares first.
    local protocol=etcd3
    [ "$(printf '%s\n' 3.0.3 "$(version)" | sort -V | head -n 1)" = 3.0.3 ] || protocol=etcd
    # Patroni's shortest times: a primary that is away loses its leadership after 20 s. Only the synchronous standby may
    # follow it, and without one nothing is committed.
    cat >"$dir/patroni.yml" <<CONF
scope: dlock
name: ${dir##*.}
$protocol:
  host: 127.0.0.1:$1
restapi:
  listen: 127.0.0.1:$(free_port)
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    primary_start_timeout: 0
    synchronous_mode: true
    synchronous_mode_strict: true
    postgresql:
      use_pg_rewind: true
      parameters:
        max_connections: 100
        shared_buffers: 16MB
        dynamic_shared_memory_type: mmap
        fsync: 'off'
        wal_log_hints: 'on'
        synchronous_commit: 'off'
  initdb:
    - encoding: UTF8
    - locale: C.UTF-8
    - auth: trust
    - no-sync
postgresql:
  data_dir: $inside/data/cluster
  bin_dir: $bin
  pgpass: $inside/data/pgpass
  authentication:
    superuser:
      username: dlock
    replication:
      username: dlock
    rewind:
      username: dlock
  parameters:
    unix_socket_directories: ''
  pg_hba:
    - host all all 127.0.0.1/32 trust
    - host replication all 127.0.0.1/32 trust
CONF
}

set_option() {
    die "$(title "$kind") has no setting '$1' here"
}

set_port() {
    echo "$1" >"$dir/port"
    [ "$kind" = etcd ] || sed -i -e '/^  listen: 127.0.0.1:.* # PostgreSQL$/d' -e '/^  connect_address: .* # PostgreSQL$/d' \
        -e "s/^postgresql:\$/&\n  listen: 127.0.0.1:$1 # PostgreSQL\n  connect_address: 127.0.0.1:$1 # PostgreSQL/" "$dir/patroni.yml"
}

launch() {
    local port peers options=()
    port=$(<"$dir/port")
    if [ "$kind" = etcd ]; then
        peers=$(free_port)
        # The latest have no other.
        ! "$dir/etcd" --help 2>&1 | grep -q -e --enable-v2 || options=(--enable-v2)
        launch_daemon 'serving insecure client requests' "$inside/etcd" --name one --data-dir "$inside/data/etcd" \
            --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
            --listen-peer-urls "http://127.0.0.1:$peers" --unsafe-no-fsync "${options[@]}"
        return
    fi
    launch_daemon 'I am ([^ ]*), the leader with the lock\|a secondary, and following a leader' \
        env PATH=/usr/bin:/bin /usr/bin/patroni "$inside/patroni.yml"
}

halt() {
    signal_server TERM
}

abort() {
    signal_server KILL
}

bury() {
    bury_postgres "$dir/data/cluster"
}

# To the synchronous one of the two others.
promote() {
    as_server /usr/bin/patronictl -c "$inside/patroni.yml" switchover --force >>"$dir/log" 2>&1 || die "no switch-over: $(tail -n 3 "$dir/log")"
}

# Patroni makes no database but its own.
url() {
    if [ "$kind" = etcd ]; then echo "http://127.0.0.1:$1/"; else echo "postgres://dlock@127.0.0.1:$1/postgres"; fi
}

version() {
    if [ "$kind" = etcd ]; then
        "$dir/etcd" --version | sed -n 's/^etcd Version: //p'
    else
        /usr/bin/patroni --version | awk '{ print $2 }'
    fi
}
