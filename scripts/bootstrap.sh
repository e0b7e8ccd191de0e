#!/bin/sh
# Makes the clone ready to run: .venv from uv.lock, and where asked for servers.
#
#   scripts/bootstrap.sh [--dev] [--broker] [--redis]
#
#   --dev     with what tests and checks need
#   --broker  make sure that a RabbitMQ server is installed (none is ever started by this script)
#   --redis   likewise a Redis server
#
# Does nothing, quickly, when there is nothing to do. Asks apt only as root or with a sudo that needs
# no password; otherwise it prints the line to run and fails.
set -eu

cd "$(dirname "$0")/.."
root=$(pwd)
dev=no
broker=no
redis=no
for argument in "$@"; do
    case $argument in
        --dev) dev=yes ;;
        --broker) broker=yes ;;
        --redis) redis=yes ;;
        *) echo "usage: $0 [--dev] [--broker] [--redis]" >&2; exit 2 ;;
    esac
done

# Nothing is written outside the clone: neither caches nor lock files.
UV_CACHE_DIR=${UV_CACHE_DIR:-$root/.fleet/cache/uv}
PIP_CACHE_DIR=${PIP_CACHE_DIR:-$root/.fleet/cache/pip}
export UV_CACHE_DIR PIP_CACHE_DIR

say() { echo "bootstrap: $*" >&2; }
fail() { say "$*"; exit 1; }

# ---------------------------------------------------------------------------------------- apt

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_use_apt() {
    command -v apt-get >/dev/null 2>&1 || return 1
    [ "$(id -u)" = 0 ] || sudo -n true >/dev/null 2>&1
}

policy=/usr/sbin/policy-rc.d
policy_is_ours=no

# Debian asks this file before a package starts its service; 101 means no.
forbid_services() {
    [ ! -e "$policy" ] || return 0
    policy_is_ours=yes
    trap allow_services EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

allow_services() {
    [ "$policy_is_ours" = yes ] || return 0
    as_root rm -f "$policy"
    policy_is_ours=no
}

# Pids of what a packaged service would run as its own user.
packaged_processes() {
    for process in /proc/[0-9]*; do
        case $(stat -c %U "$process" 2>/dev/null):$(cat "$process/comm" 2>/dev/null) in
            rabbitmq:beam.smp | rabbitmq:epmd | rabbitmq:erl_child_setup | redis:redis-server)
                echo "${process#/proc/}" ;;
        esac
    done
}

# A server is wanted for its files. Its service must run neither now nor after the next boot.
quiet_service() {
    if [ "$had_service" = no ] && command -v systemctl >/dev/null 2>&1; then
        as_root systemctl disable --now "$1" >/dev/null 2>&1 || :
    fi
    for pid in $(packaged_processes); do
        case " $processes_before " in
            *" $pid "*) ;;
            *) as_root kill "$pid" 2>/dev/null || : ;;
        esac
    done
}

apt_install() {
    package=$1
    line="apt-get install --no-install-recommends $package"
    if ! may_use_apt; then
        command -v apt-get >/dev/null 2>&1 || fail "install $package with your system's package manager"
        fail "needs $package; please run: sudo $line"
    fi
    say "installing $package with apt"
    processes_before=$(packaged_processes | tr '\n' ' ')
    # A server that is there already is somebody's.
    if systemctl cat "$package" >/dev/null 2>&1; then had_service=yes; else had_service=no; fi
    forbid_services
    if ! quiet_apt install -y --no-install-recommends "$package"; then
        say "updating apt's package lists"
        quiet_apt update || fail "apt-get update failed (see $apt_log)"
        quiet_apt install -y --no-install-recommends "$package" ||
            fail "apt could not install $package (see $apt_log); by hand: sudo $line"
    fi
    allow_services
}

apt_log=$root/.fleet/bootstrap/apt.log

quiet_apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" </dev/null >>"$apt_log" 2>&1
}

# ------------------------------------------------------------------------------------- python

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.14; do
        if is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "needs Python 3.11 or newer as python3 (or PYTHON=/path/to/it make ...); on Debian 12 and later: sudo apt-get install python3"
}

# uv comes from PyPI into a venv of its own: Debian's pip refuses to install beside system packages.
make_uv() {
    ! .fleet/tools/bin/uv --version >/dev/null 2>&1 || return 0
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        apt_install "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    fi
    say "getting uv into .fleet/tools"
    "$python" -m venv --clear .fleet/tools || fail "python3 -m venv failed"
    .fleet/tools/bin/python -m pip install --quiet --disable-pip-version-check uv ||
        fail "uv can not be installed from PyPI; is there a network?"
}

# Nobody else compiles: without bytecode every process of the fleet spends seconds on ccxt alone.
sync_packages() {
    unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT || :
    if [ "$dev" = yes ]; then groups=; else groups="--no-dev --inexact"; fi
    say "making .venv from uv.lock"
    # shellcheck disable=SC2086
    mkdir -p .fleet/cache
    TMPDIR=$root/.fleet/cache UV_PYTHON_DOWNLOADS=never .fleet/tools/bin/uv sync --quiet --frozen --compile-bytecode \
        --python "$python" $groups || fail "uv sync failed"
}

# -------------------------------------------------------------------------------------- what

# The lock, the project and the place: a venv does not survive a move.
fingerprint() {
    { echo "$root"; cat uv.lock pyproject.toml; } | cksum
}

has_packages() {
    [ -x .venv/bin/fleet ] && .venv/bin/python -c '' 2>/dev/null || return 1
    now=$(fingerprint)
    [ "$(cat .fleet/bootstrap/dev 2>/dev/null)" != "$now" ] || return 0
    [ "$dev" = no ] && [ "$(cat .fleet/bootstrap/run 2>/dev/null)" = "$now" ]
}

has_broker() {
    if [ -n "${RABBITMQ_HOME:-}" ]; then
        [ -x "$RABBITMQ_HOME/sbin/rabbitmq-server" ]
        return
    fi
    for server in /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server \
        /opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server \
        /usr/local/opt/rabbitmq/sbin/rabbitmq-server; do
        [ ! -x "$server" ] || return 0
    done
    return 1
}

if ! has_packages; then
    mkdir -p .fleet/bootstrap logs
    python=$(find_python) || exit 1
    make_uv
    sync_packages
    if [ "$dev" = yes ]; then stamp=dev; else stamp=run; fi
    fingerprint >".fleet/bootstrap/$stamp"
fi

if [ "$broker" = yes ] && ! has_broker; then
    mkdir -p .fleet/bootstrap
    apt_install rabbitmq-server
    quiet_service rabbitmq-server
    has_broker || fail "rabbitmq-server was installed, but its scripts are not where they should be"
fi

if [ "$redis" = yes ] && ! command -v "${REDIS_SERVER:-redis-server}" >/dev/null 2>&1; then
    mkdir -p .fleet/bootstrap
    apt_install redis-server
    quiet_service redis-server
fi
