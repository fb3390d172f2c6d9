#!/bin/sh
# Brings a Vault or OpenBao server to where Pulumi can log in, in a container and on a machine.
#
#   bootstrap.sh            start the server, settle it, stay with it (a container's entry point)
#   bootstrap.sh prepare    before the server starts: undo an initialisation that was cut off
#   bootstrap.sh settle     wait for the server, initialise it once, unseal it, see to the identity
#   bootstrap.sh healthy    whether all of that is done
#   bootstrap.sh restore SNAPSHOT KEY
#                           replace what the server has by a snapshot and the unseal key of its day
#
# It may be killed at any point and run again. What it did it says on standard output; nothing to
# do, nothing said. Secrets go through files and standard input, never through arguments.
#
# The unseal key is in $STORE/unseal-key, which only root may read. It lies beside the data: it
# protects a stolen backup of the data, not a stolen machine.
#
# Environment: VAULT_BINARY (vault or bao), VAULT_ADDR, VAULT_CACERT, VAULT_UNSEAL (automatic or
# manual), VAULT_WAIT_S (default 60). Files: vault.hcl, foundation.hcl, foundation.password in
# $VAULT_ETC (/etc/vault); the data in $VAULT_STORE (/var/lib/vault).
set -eu
umask 077

ETC=${VAULT_ETC:-/etc/vault}
STORE=${VAULT_STORE:-/var/lib/vault}
WAIT_S=${VAULT_WAIT_S:-60}
KEY=$STORE/unseal-key
# Stands from before a root token may exist until none does any more.
UNFINISHED=$STORE/unfinished
HOME=/nonexistent # no token of somebody's earlier login
export HOME

cli() { "$VAULT_BINARY" "$@"; }
as_root() { VAULT_TOKEN=$root_token "$VAULT_BINARY" "$@"; }
say() { printf 'vault: %s\n' "$*"; }
fail() {
    printf 'vault: %s\n' "$*" >&2
    exit 1
}
# Asks for the status; `field` then gives one of it. It ends with 2 where the server is sealed.
ask() { status=$(cli status -format=json 2>/dev/null) || [ $? -eq 2 ]; }
field() { printf '%s\n' "$status" | sed -n "s/^  \"$1\": \([^,]*\).*/\1/p"; }
# A field of a command's table.
row() { sed -n "s/^$1[: ] *//p"; }
# A secret file's text without its last line's end, as whoever else uses it has it.
text() { printf '%s' "$(cat "$1")"; }

wait_until() {
    left=$((WAIT_S * 5))
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.2
    done
}
active() { ask && [ "$(field sealed)" = false ] && [ "$(field is_self)" = true ]; }

# The server's own user: of the images, and of the role.
server_user() { id -un vault 2>/dev/null || id -un openbao 2>/dev/null || id -un; }

prepare() {
    mkdir -p "$STORE/raft"
    # The server was initialised, but its key was lost with the process that asked for it: nothing
    # can be in there yet.
    if [ -e "$UNFINISHED" ] && [ ! -s "$KEY" ]; then
        rm -rf "$STORE/raft"
        mkdir "$STORE/raft"
        rm -f "$UNFINISHED"
        say "undid an initialisation that was cut off"
    fi
    chown "$(server_user)" "$STORE/raft"
}

initialise() {
    touch "$UNFINISHED"
    sync
    # The root token in the answer is not kept: settle revokes it and makes its own.
    cli operator init -key-shares=1 -key-threshold=1 -format=table |
        row 'Unseal Key 1' >"$KEY.new"
    [ -s "$KEY.new" ] || fail "initialisation failed; see the server's log"
    sync
    mv "$KEY.new" "$KEY"
    sync
    say "initialised; the unseal key is in $KEY"
}

unseal() {
    [ -s "$KEY" ] || fail "it is sealed and $KEY is missing: put the unseal key there," \
        "or set vault.unseal to manual"
    text "$KEY" | cli write -format=json sys/unseal key=- >/dev/null || fail "the unseal key was refused"
    say "unsealed"
}

# The token of the identity, or nothing where the password is not taken.
login() {
    text "$ETC/foundation.password" |
        cli write -field=token auth/userpass/login/foundation password=- 2>/dev/null || true
}

settled() {
    [ ! -e "$UNFINISHED" ] || return 1
    token=$(login)
    [ -n "$token" ] || return 1
    same=yes
    [ "$(VAULT_TOKEN=$token cli read -field=policy sys/policies/acl/foundation 2>/dev/null)" = \
        "$(cat "$ETC/foundation.hcl")" ] || same=no
    VAULT_TOKEN=$token cli audit list >/dev/null 2>&1 || same=no
    VAULT_TOKEN=$token cli token revoke -self >/dev/null || same=no
    [ "$same" = yes ]
}

# Bytes of standard input as decimal numbers.
bytes() { od -An -v -tu1; }

# A new root token, made with the unseal key: the server gives it XORed with a one-time password.
new_root_token() {
    # By path: `operator generate-root` of OpenBao 2.6 asks for a token first.
    cli delete sys/generate-root/attempt >/dev/null
    begun=$(cli write -force -format=table sys/generate-root/attempt)
    nonce=$(printf '%s\n' "$begun" | row nonce)
    otp=$(printf '%s\n' "$begun" | row otp)
    encoded=$(text "$KEY" |
        cli write -field=encoded_token sys/generate-root/update "nonce=$nonce" key=-)
    case $((${#encoded} % 4)) in
    2) encoded=$encoded== ;;
    3) encoded=$encoded= ;;
    esac
    root_token=
    # shellcheck disable=SC2046 # split into bytes on purpose
    set -- $(printf '%s' "$otp" | bytes)
    for byte in $(printf '%s' "$encoded" | base64 -d | bytes); do
        # shellcheck disable=SC2059 # the format is one octal escape
        root_token=$root_token$(printf "\\$(printf '%03o' $((byte ^ $1)))")
        shift
    done
}

revoke_other_root_tokens() {
    own=$(as_root token lookup -format=table | row accessor)
    for accessor in $(as_root list -format=yaml auth/token/accessors | sed -n 's/^- //p'); do
        [ "$accessor" != "$own" ] || continue
        # One that expired meanwhile is no root token.
        policies=$(as_root token lookup -format=table -accessor "$accessor" 2>/dev/null |
            row policies) || continue
        if [ "$policies" = '[root]' ]; then
            as_root token revoke -accessor "$accessor" >/dev/null
        fi
    done
}

see_to_identity() {
    touch "$UNFINISHED"
    sync
    new_root_token
    if ! as_root audit list >/dev/null 2>&1; then
        as_root audit enable -path=stdout file file_path=stdout >/dev/null
        say "enabled the audit device"
    fi
    as_root policy write foundation "$ETC/foundation.hcl" >/dev/null
    as_root auth list -format=table | grep -q '^userpass/ ' ||
        as_root auth enable userpass >/dev/null
    text "$ETC/foundation.password" | as_root write auth/userpass/users/foundation \
        token_policies=foundation token_ttl=1h password=- >/dev/null
    revoke_other_root_tokens
    as_root token revoke -self >/dev/null
    rm "$UNFINISHED"
    sync
    settled || fail "the identity foundation was written, but does not work; see the server's log"
    say "wrote the identity foundation; no root token is left"
}

settle() {
    wait_until ask || fail "no answer at $VAULT_ADDR within $WAIT_S s; see the server's log"
    [ "$VAULT_UNSEAL" = automatic ] || return 0
    if [ "$(field initialized)" = false ]; then
        initialise
        ask || fail "the server stopped answering after its initialisation; see its log"
    fi
    if [ "$(field sealed)" = true ]; then
        unseal
    fi
    wait_until active || fail "it was unsealed but did not become active within $WAIT_S s"
    settled || see_to_identity
}

healthy() {
    if [ "$VAULT_UNSEAL" = automatic ]; then
        [ ! -e "$UNFINISHED" ] && active
    else
        ask
    fi
}

is_sealed() { ask && [ "$(field sealed)" = true ]; }

# Sealed from the beginning, it took the snapshot already and only lacks the key.
restore() {
    [ -s "$1" ] && [ -s "$2" ] || fail "restore takes two files: a snapshot and its unseal key"
    ask || fail "no answer at $VAULT_ADDR"
    if ! is_sealed; then
        touch "$UNFINISHED" # the identity's password may be another in there
        new_root_token
        as_root operator raft snapshot restore -force "$1" >/dev/null
        # It seals itself a moment later, unless its keys are those of the snapshot.
        (WAIT_S=10 && wait_until is_sealed) || true
    fi
    cp "$KEY" "$KEY.before"
    cp "$2" "$KEY.new"
    mv "$KEY.new" "$KEY"
    sync
    say "restored; the unseal key that it had is in $KEY.before"
    settle
}

# In a container: the server as its own user, this script as root beside it.
run() {
    user=$(server_user)
    prepare
    chmod 0755 "$STORE"
    chown -R "$user" "$STORE/raft" "$ETC/tls.key"
    su-exec "$user" "$VAULT_BINARY" server -config="$ETC/vault.hcl" &
    server=$!
    trap 'kill -TERM "$server"' TERM INT
    # A container that cannot be settled ends, and is started again by its restart policy.
    (settle) || kill -TERM "$server"
    # The first wait ends with the signal, the second with the server.
    wait "$server" || wait "$server"
}

case ${1:-run} in
run | prepare | settle | healthy) "${1:-run}" ;;
restore) restore "${2:-}" "${3:-}" ;;
*) fail "unknown word $1; see the head of this script" ;;
esac
