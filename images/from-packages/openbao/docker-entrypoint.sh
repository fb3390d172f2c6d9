#!/usr/bin/dumb-init /bin/sh
# shellcheck shell=busybox
# `bao` with these words; as its own user where the container runs as root.
set -e
ulimit -c 0
[ -z "$BAO_LOCAL_CONFIG" ] || printf '%s\n' "$BAO_LOCAL_CONFIG" >/openbao/config/local.json
case $1 in
  server)
    shift
    set -- bao server -config=/openbao/config -dev-root-token-id="$BAO_DEV_ROOT_TOKEN_ID" \
      -dev-listen-address="${BAO_DEV_LISTEN_ADDRESS:-0.0.0.0:8200}" "$@"
    ;;
  bao | sh | /*) ;;
  *) set -- bao "$@" ;;
esac
if [ "$1" = bao ] && [ "$(id -u)" = 0 ]; then
  chown -R openbao:openbao /openbao
  set -- su-exec openbao "$@"
fi
exec "$@"
