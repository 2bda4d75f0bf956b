# shellcheck shell=bash
# What dev/run and dev/test share: words, packages, Rust and a Docker engine. Sourced, not run.
#
# Works as root without a terminal, and as a user with sudo. What is missing is installed from
# Debian's packages, and said; nothing that is there is changed.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
me=$(basename "$0")
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

say() { printf '%s: %s\n' "$me" "$*"; }
fail() { printf '%s: %s\n' "$me" "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else fail "needs root, or sudo, to run: $*"
    fi
}

# install_packages PACKAGE…: from Debian, now.
install_packages() {
    command -v apt-get >/dev/null || fail "this is no Debian: install the likes of $* yourself"
    say "installing Debian's $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# What building needs: Rust, a C compiler for the library behind TLS, and the protobuf compiler with its standard types
# for etcd's v3 API.
ensure_rust() {
    command -v cargo >/dev/null || fail "Rust is missing: install it with rustup, and run this again"
    command -v cc >/dev/null || install_packages gcc libc6-dev
    if ! command -v protoc >/dev/null || ! [ -e /usr/include/google/protobuf/descriptor.proto ]; then
        install_packages protobuf-compiler libprotobuf-dev
    fi
}

# One that hangs answers nobody.
engine_answers() { timeout 30 docker version >/dev/null 2>&1; }

# A Docker engine that answers this user: the one of DOCKER_HOST, the machine's, or one that is installed and started.
ensure_engine() {
    command -v docker >/dev/null || install_packages docker.io
    ! engine_answers || return 0
    [ -z "${DOCKER_HOST:-}" ] || fail "no engine answers at DOCKER_HOST=$DOCKER_HOST: start it, or unset the variable"
    if ! as_root docker version >/dev/null 2>&1; then
        start_engine
    fi
    engine_answers || enter_group "$@"
}

start_engine() {
    local log=$top/target/dockerd.log tries
    mkdir -p "$top/target"
    if [ -d /run/systemd/system ]; then
        say "starting the Docker engine (systemctl start docker; its log: journalctl -u docker)"
        as_root systemctl start docker || fail "it does not start: see journalctl -u docker"
    else
        say "starting the Docker engine in the background (its log: $log); it stays when this ends"
        # shellcheck disable=SC2016  # expanded by the inner shell
        as_root sh -c 'setsid dockerd >"$1" 2>&1 </dev/null &' sh "$log"
    fi
    for tries in {1..60}; do
        ! as_root docker version >/dev/null 2>&1 || return 0
        sleep 1
    done
    fail "the engine does not answer after $tries seconds: see ${log}"
}

# An engine runs and does not let this user in: run again with the group of its socket, for this run only.
enter_group() {
    local socket=/var/run/docker.sock
    if [ -n "${REGISTRATOR_DEV_GROUP:-}" ] || ! [ -S $socket ]; then
        fail "the Docker engine does not let $(id -un) in: see docker version"
    fi
    say "taking the group of $socket for this run"
    exec sudo setpriv --reuid "$(id -u)" --regid "$(id -g)" \
        --groups "$(id -G | tr ' ' ','),$(stat -c %g $socket)" \
        env HOME="$HOME" PATH="$PATH" REGISTRATOR_DEV_GROUP=taken "$top/dev/$me" "$@"
}
