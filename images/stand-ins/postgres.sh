#!/bin/sh
# The part of the official image's contract that the chart uses: POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD_FILE and PGDATA; a database is made at the first start.
set -eu
: "${PGDATA:=/var/lib/postgresql/data}" "${POSTGRES_USER:=postgres}"
: "${POSTGRES_DB:=$POSTGRES_USER}"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # Beside its place first: a start that was cut off must not look like a database.
    rm -rf "$PGDATA.new"
    mkdir -p "$PGDATA.new"
    chmod 0700 "$PGDATA.new"
    initdb --no-sync --locale=C.UTF-8 --encoding=UTF8 --auth-local=trust --auth-host=scram-sha-256 --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --pgdata="$PGDATA.new" >/dev/null
    echo "host all all all scram-sha-256" >>"$PGDATA.new/pg_hba.conf"
    if [ "$POSTGRES_DB" != postgres ]; then
        echo "CREATE DATABASE \"$POSTGRES_DB\"" | postgres --single -D "$PGDATA.new" postgres >/dev/null
    fi
    rm -rf "$PGDATA"
    mv "$PGDATA.new" "$PGDATA"
fi
[ "${1:-}" != postgres ] || shift
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql "$@"
