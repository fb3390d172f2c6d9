#!/usr/bin/dumb-init /bin/sh
# shellcheck shell=busybox
# `vault` with these words; as its own user where the container runs as root.
set -e
ulimit -c 0
[ -z "$VAULT_LOCAL_CONFIG" ] || printf '%s\n' "$VAULT_LOCAL_CONFIG" >/vault/config/local.json
case $1 in
  server)
    shift
    set -- vault server -config=/vault/config -dev-root-token-id="$VAULT_DEV_ROOT_TOKEN_ID" \
      -dev-listen-address="${VAULT_DEV_LISTEN_ADDRESS:-0.0.0.0:8200}" "$@"
    ;;
  vault | sh | /*) ;;
  *) set -- vault "$@" ;;
esac
if [ "$1" = vault ] && [ "$(id -u)" = 0 ]; then
  chown -R vault:vault /vault
  set -- su-exec vault "$@"
fi
exec "$@"
