#!/bin/sh
# A command of this image, or what node is to run.
set -e
if [ "${1#-}" != "${1}" ] || ! command -v "${1}" >/dev/null; then
  set -- node "$@"
fi
exec "$@"
