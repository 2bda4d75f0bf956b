# shellcheck shell=bash
# A Debian of its own, booted in a container of systemd's, to install things in. Sourced after lib.sh, not run. It sets:
#
#   root    the folder of its files        leader   the process that all others of it come from
#   work    a folder for the script        engine   a folder that it sees as /run/engine
#
# and removes all of it at the end. Docker's group has the number there that it has here.

work=$(mktemp -d)
root=$work/root
engine=/run/registrator-try.$$
nspawn='' leader=''
# What else is to be done at the end.
also=()

end_machine() {
    local command
    for command in "${also[@]}"; do eval "$command" || true; done
    [ -z "$nspawn" ] || kill -TERM "$nspawn" 2>/dev/null || true
    [ -z "$leader" ] || kill -KILL "$leader" 2>/dev/null || true
    rm -rf "$engine"
    rm -rf --one-file-system "$work"
}
trap end_machine EXIT

# packages_of COMMAND:PACKAGE…: installs the packages whose command is missing.
packages_of() {
    local pair missing=()
    for pair; do command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}"); done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# What is run inside.
inside() { nsenter -t "$leader" -a "$@" </dev/null; }

# What its service said since the last mark; and its state.
since=today
mark() { sleep 1; since=$(inside date '+%Y-%m-%d %H:%M:%S'); }
journal() { inside journalctl --unit registrator --no-pager --output cat --since "$since" 2>/dev/null; }
said() { journal | grep -q -- "$1"; }
state() { inside systemctl show registrator --property ActiveState --value; }
is() { [ "$(state)" = "$1" ]; }

# soon WHAT COMMAND…: so within a minute, or that is the end.
soon() {
    local what=$1 end=$((SECONDS + 60))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || fail "not so after a minute: $what. The service says:
$(journal | tail -n 20)"
        sleep 0.2
    done
    say "$what"
}

booted() {
    leader=$(pgrep -P "$nspawn" -x systemd) && [[ $(inside systemctl is-system-running 2>/dev/null) =~ running|degraded ]]
}

boot_machine() {
    local suite base
    [ "$(id -u)" = 0 ] || fail "needs root, for a container of systemd's: run it with sudo"
    packages_of mmdebstrap:mmdebstrap systemd-nspawn:systemd-container
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    base=target/roots/$suite.tar
    if ! [ -f "$base" ]; then
        say "making a Debian of its own, once: this takes two minutes"
        mkdir -p target/roots
        mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,man-db,python3,python3-apt "$suite" "${base%.tar}.new.tar" \
            2>"$work/mmdebstrap.log" || fail "mmdebstrap: $(tail -n 3 "$work/mmdebstrap.log")"
        mv "${base%.tar}.new.tar" "$base"
    fi
    mkdir "$root" "$engine"
    tar -xf "$base" -C "$root" --exclude='./dev/*'
    chroot "$root" groupadd --system --non-unique --gid "$(stat -c %g /run/docker.sock)" docker
    systemd-nspawn --quiet --directory "$root" --boot --register=no --keep-unit --private-network --bind="$engine:/run/engine" \
        >"$work/boot.log" 2>&1 </dev/null &
    nspawn=$!
    soon "a Debian of its own runs" booted
}
