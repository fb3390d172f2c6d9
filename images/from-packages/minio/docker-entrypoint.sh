#!/bin/sh
# The server with these words, whatever it is called; files of secrets it reads itself.
case ${1:-} in
  silo | minio) ;;
  *) set -- silo "$@" ;;
esac
exec "$@"
