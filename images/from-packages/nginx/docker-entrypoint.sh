#!/bin/sh
# The command; for nginx the scripts in /docker-entrypoint.d first, in the order of their names.
set -e
case ${1:-} in
  nginx | nginx-debug)
    for file in /docker-entrypoint.d/*; do
      [ -x "$file" ] || continue
      case $file in
        *.envsh)
          # shellcheck source=/dev/null
          . "$file"
          ;;
        *.sh) "$file" ;;
      esac
    done
    ;;
esac
exec "$@"
