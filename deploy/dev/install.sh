#!/usr/bin/env bash
# Installs what `make run` and `make test` need and the machine lacks. Does nothing where all is there.
set -euo pipefail

missing=()
have() { command -v "$1" >/dev/null 2>&1; }
have cc && have c++ || missing+=(build-essential)
have curl || missing+=(curl)
have setpriv || missing+=(util-linux)
have nats-server || [ -x /usr/sbin/nats-server ] || missing+=(nats-server)
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || have postgres || missing+=(postgresql)
# With `test`, also what only the tests use.
if [ "${1:-}" = test ]; then
    have node && have npm || missing+=(nodejs npm)
    have python3 || missing+=(python3)
    python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
    have strace || missing+=(strace)
    have ip || missing+=(iproute2)
    have nft || [ -x /usr/sbin/nft ] || missing+=(nftables)
    have faketime || missing+=(faketime)
fi

if [ "${#missing[@]}" -gt 0 ]; then
    if ! have apt-get; then
        echo "Please install these (names as in Debian), then run the command again: ${missing[*]}" >&2
        exit 1
    fi
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    echo "Installing: ${missing[*]}"
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! have cargo; then
    echo "Rust is missing: install it with rustup (https://rustup.rs), then run the command again." >&2
    exit 1
fi
