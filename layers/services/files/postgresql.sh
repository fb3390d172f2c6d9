#!/bin/bash
# The image reads POSTGRES_PASSWORD_FILE on an empty volume only, so that a renewed password
# would lock everybody out: it is set again before each start.
set -euo pipefail

conf="${0%/*}/postgresql.conf"
if [ -s "$PGDATA/PG_VERSION" ]; then
  password=$(<"$POSTGRES_PASSWORD_FILE")
  gosu postgres postgres --single -D "$PGDATA" -c config_file="$conf" postgres >/dev/null \
    <<<"ALTER ROLE postgres PASSWORD '$password'"
fi
exec docker-entrypoint.sh postgres -c config_file="$conf"
