# shellcheck shell=bash disable=SC2154
# A network of a group of servers: each has a namespace of its own, and all are on one bridge, by way of which the tests
# reach them too. Without root, or where no namespaces can be made, all are on the loopback interface, and none can be cut
# off; a part of support/db.

# As the first of the group: DIR/subnet names the bridge and what is on it begins with.
make_network() {
    local bridge=dlk-${dir##*.} subnet
    subnet=198.18.$((RANDOM % 256))
    [ "$EUID" = 0 ] && command -v ip >/dev/null && [ -z "$(ip -4 route show "$subnet.0/24")" ] || return 0
    # Also tries whether it may.
    {
        ip netns add "${dir##*/}" && ip link add "$bridge" type bridge && ip addr add "$subnet.1/24" dev "$bridge" &&
            ip link set "$bridge" up
    } >>"$dir/log" 2>&1 || { ip netns delete "${dir##*/}" && ip link delete "$bridge"; } >>"$dir/log" 2>&1 || return 0
    echo "$bridge $subnet" >"$dir/subnet"
}

# Where the member of this number is; 0: all of them.
address_of() { # NUMBER
    local bridge subnet
    if [ ! -e "$dir/subnet" ]; then
        echo 127.0.0.1
        return
    fi
    read -r bridge subnet <"$dir/subnet"
    [ "$1" = 0 ] && echo "$subnet.0" || echo "$subnet.$((10 + $1))"
}

join_network() { # NUMBER
    local bridge subnet link
    [ -e "$dir/subnet" ] || return 0
    read -r bridge subnet <"$dir/subnet"
    network=${dir##*/}
    link=dlv-${dir##*.}
    {
        { ip netns add "$network" || [ "$kind" = group ]; } && ip link add "$link" type veth peer name eth0 netns "$network" &&
            ip link set "$link" master "$bridge" up && ip -n "$network" link set lo up &&
            ip -n "$network" addr add "$(address_of "$1")/24" dev eth0 && ip -n "$network" link set eth0 up
    } >>"$dir/log" 2>&1 || die "no network could be made: $(tail -n 3 "$dir/log")"
    echo "$network" >"$dir/network"
}

# Both ways: nothing goes to the others, answers neither.
cut_off() {
    local member
    [ -n "$network" ] || die "the server in '$dir' cannot be cut off: it has no network of its own"
    while IFS=: read -r member _; do
        grep -qxF "report_host = $member" "$dir/my.cnf" || ip -n "$network" route add blackhole "$member/32"
    done <"$dir/members"
}

mend() {
    ip -n "$network" route flush type blackhole
}

leave_network() {
    local bridge subnet
    [ -n "$network" ] || return 0
    ip netns delete "$network" 2>/dev/null || true
    [ "$kind" != group ] || ! read -r bridge subnet <"$dir/subnet" || ip link delete "$bridge" 2>/dev/null || true
}
