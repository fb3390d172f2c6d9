#!/bin/sh
# The registry with a file of settings, or with these words.
set -e
case ${1:-} in
  /*.yml | /*.yaml) set -- /bin/registry serve "$@" ;;
  sh) ;;
  *) set -- /bin/registry "$@" ;;
esac
exec "$@"
