#!/bin/bash
# Around the image's own entry point: a first start that was killed is begun again, and the password
# is set before each start, as the image reads POSTGRES_PASSWORD_FILE on an empty volume only.
set -euo pipefail

folder="${0%/*}"
conf="$folder/postgresql.conf"

# The server writes postmaster.opts when it first starts, after all that initdb does. Without it no
# client was ever here; but the image takes PG_VERSION, initdb's first file, for a finished server,
# and initdb refuses a folder that is not empty (#10.3). A copy by pg_basebackup lacks the file as
# well: it has a label, and databases beside initdb's own.
if [ -d "$PGDATA" ] && [ ! -e "$PGDATA/postmaster.opts" ] &&
  ! compgen -G "$PGDATA/base/[0-9]????*" >/dev/null &&
  ! compgen -G "$PGDATA/backup_*" >/dev/null; then
  echo "The first start was interrupted: it begins again."
  rm -rf "${PGDATA:?}"
fi

if [ -s "$PGDATA/PG_VERSION" ]; then
  {
    printf "ALTER ROLE postgres PASSWORD '%s';\n\n" "$(<"$POSTGRES_PASSWORD_FILE")"
    cat "$folder/workers.sql"
  } | gosu postgres postgres --single -j -D "$PGDATA" -c config_file="$conf" postgres >/dev/null
fi
exec docker-entrypoint.sh postgres -c config_file="$conf"
