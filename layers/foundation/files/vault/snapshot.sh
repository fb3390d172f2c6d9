#!/bin/sh
# A snapshot of Vault's storage into the object store, by an identity that may do nothing else. The
# unseal key of its day opens it. One name for all: the bucket keeps what that had before.
# Environment: as bootstrap.sh has it. Secrets go through files and the environment.
set -eu
umask 077
HOME=/nonexistent # no token of somebody's earlier login
export HOME

folder=$(mktemp -d)
trap 'rm -rf "$folder"; "$VAULT_BINARY" token revoke -self >/dev/null' EXIT
VAULT_TOKEN=$(printf '%s' "$(cat /etc/vault/snapshot.password)" |
    "$VAULT_BINARY" write -field=token auth/userpass/login/snapshot password=-)
export VAULT_TOKEN
"$VAULT_BINARY" operator raft snapshot save "$folder/vault.snap"
curl --silent --show-error --fail --retry 3 \
    --config /etc/vault/store.curl --upload-file "$folder/vault.snap"
