#!/bin/bash
# A server in a container: as its own user, and on an empty volume with the superuser, database and
# scripts that it was asked for. contract.yaml says which image this follows.
set -Eeuo pipefail

# The value of $1, or what the file says that $1_FILE names.
given() {
  local file="$1_FILE"
  if [ -n "${!1:-}" ] && [ -n "${!file:-}" ]; then
    echo "error: both $1 and $file are set" >&2
    exit 1
  fi
  if [ -n "${!file:-}" ]; then cat "${!file}"; else printf '%s' "${!1:-}"; fi
}

first_start() {
  local user database password method file
  user=$(given POSTGRES_USER)
  user=${user:-postgres}
  database=$(given POSTGRES_DB)
  database=${database:-$user}
  password=$(given POSTGRES_PASSWORD)
  method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ -z "$password" ] && [ "$method" != trust ]; then
    echo "error: an empty volume needs POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE" >&2
    exit 1
  fi
  # shellcheck disable=SC2086 # words on purpose
  initdb --username="$user" --pwfile=<(printf '%s\n' "$password") ${POSTGRES_INITDB_ARGS:-}
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
  # On the socket only: who waits for the server must not take this one for it.
  shift
  pg_ctl -w start -o "$(printf '%q ' "$@" -c listen_addresses=)"
  export PGUSER=$user PGPASSWORD=$password PGDATABASE=postgres
  if [ "$database" != postgres ]; then
    psql --no-psqlrc -v ON_ERROR_STOP=1 -v name="$database" <<<'CREATE DATABASE :"name"'
  fi
  export PGDATABASE=$database
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh)
        # shellcheck source=/dev/null
        if [ -x "$file" ]; then "$file"; else . "$file"; fi
        ;;
      *.sql) psql --no-psqlrc -v ON_ERROR_STOP=1 -f "$file" ;;
      *.sql.gz) gunzip -c "$file" | psql --no-psqlrc -v ON_ERROR_STOP=1 ;;
    esac
  done
  unset PGUSER PGPASSWORD PGDATABASE
  pg_ctl -m fast -w stop
  echo "PostgreSQL init process complete; ready for start up."
}

[ "${1:0:1}" != - ] || set -- postgres "$@"
if [ "$1" = postgres ]; then
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA"
  if [ "$(id -u)" = 0 ]; then
    find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres {} +
    exec gosu postgres "$0" "$@"
  fi
  [ -s "$PGDATA/PG_VERSION" ] || first_start "$@"
fi
exec "$@"
