#!/usr/bin/env bash
# Installs the Debian packages given as arguments, as root, starting no service.
# Tests bring up their own Redis and Postgres; the distribution's are left as they are.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    # Debian asks this file before it starts or restarts a service; 101 = not allowed.
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi

apt-get update -q || echo "apt-get update failed; going on with the lists that are there" >&2
apt-get install -q -y --no-install-recommends "$@"
