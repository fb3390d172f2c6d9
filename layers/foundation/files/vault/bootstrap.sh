#!/bin/sh
# Brings a Vault or OpenBao server to where Pulumi can log in, in a container and on a machine.
#
#   bootstrap.sh            start the server, settle it, stay with it (a container's entry point)
#   bootstrap.sh prepare    before the server starts: undo an initialisation that was cut off
#   bootstrap.sh settle     wait for the server, initialise it once, unseal it, see to the identity
#   bootstrap.sh started    settle a server that was just started; fails only where it is sealed
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
AGAIN_S=30
KEY=$STORE/unseal-key
# Stands from before a root token may exist until none does any more.
UNFINISHED=$STORE/unfinished
# Why the last settle failed; `healthy` says it.
FAILURE=$STORE/failure
# A server that hangs is given up before systemd gives up the start.
export VAULT_CLIENT_TIMEOUT="${VAULT_CLIENT_TIMEOUT:-20}"
HOME=/nonexistent # no token of somebody's earlier login
export HOME

cli() { "$VAULT_BINARY" "$@"; }
as_root() { VAULT_TOKEN=$root_token "$VAULT_BINARY" "$@"; }
say() { printf 'vault: %s\n' "$*"; }
fail() {
    reason=$*
    printf 'vault: %s\n' "$reason" >&2
    exit 1
}
# Runs a command of the server; $answer is what it printed, an error included.
try() { answer=$("$@" 2>&1); }
# The same for what has to work: `must "what the server is asked for" COMMAND...`
must() {
    purpose=$1
    shift
    try "$@" && return
    [ -z "$(code)" ] || fail "the server at $VAULT_ADDR refused $purpose: $(one_line "$answer")"
    fail "the server at $VAULT_ADDR did not answer when asked for $purpose: $(one_line "$answer")"
}
# The HTTP status of a refusal.
code() { printf '%s\n' "$answer" | sed -n 's/^Code: \([0-9]*\).*/\1/p'; }
# Without globs, as the server's words begin with `*`.
one_line() (
    set -f
    # shellcheck disable=SC2086 # split into words on purpose
    set -- $1
    printf '%s' "$*"
)
# Asks for the status; `field` then gives one of it. It ends with 2 where the server is sealed.
ask() { status=$(cli status -format=json 2>/dev/null) || [ $? -eq 2 ]; }
field() { printf '%s\n' "$status" | sed -n "s/^  \"$1\": \([^,]*\).*/\1/p"; }
# A field of the table in $answer.
row() { printf '%s\n' "$answer" | sed -n "s/^$1[: ] *//p"; }
# A secret file's text without its last line's end, as whoever else uses it has it.
text() { printf '%s' "$(cat "$1")"; }

wait_until() {
    end=$(($(date +%s) + WAIT_S))
    until "$@"; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.2
    done
}
is_sealed() { ask && [ "$(field sealed)" = true ]; }
is_unsealed() { ask && [ "$(field sealed)" = false ]; }
active() { is_unsealed && [ "$(field is_self)" = true ]; }

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
    must "its initialisation" cli operator init -key-shares=1 -key-threshold=1 -format=table
    row 'Unseal Key 1' >"$KEY.new"
    [ -s "$KEY.new" ] || fail "the server at $VAULT_ADDR was initialised and gave no unseal key"
    sync
    mv "$KEY.new" "$KEY"
    sync
    say "initialised; the unseal key is in $KEY"
}

send_key() { text "$KEY" | cli write -format=table "$@" key=-; }

unseal() {
    [ -s "$KEY" ] || fail "it is sealed and $KEY is missing: put the unseal key there," \
        "or set vault.unseal to manual"
    must "the unseal key in $KEY" send_key sys/unseal
    say "unsealed"
}

send_password() {
    text "$ETC/foundation.password" |
        cli write -format=table auth/userpass/login/foundation password=-
}

# Logs the identity in; not where its password is another there, or nobody knows it.
login() {
    if try send_password; then
        token=$(row token)
        return 0
    fi
    case $(code) in
    400) return 1 ;;
    403) refused ;;
    *) fail "no login of the identity foundation at $VAULT_ADDR: $(one_line "$answer")" ;;
    esac
}

# A new password would not change this answer, so no root token is made to write one.
refused() {
    words=$(one_line "$answer")
    # Another user gets another answer, unless it is the method that refuses.
    if ! try cli write "auth/userpass/login/nobody-$$" password=none && [ "$(code)" = 400 ]; then
        fail "the server at $VAULT_ADDR has locked the identity foundation, after wrong passwords" \
            "that somebody sent. The lock ends by itself, after 15 minutes unless its settings say" \
            "otherwise; then this works again. Who sent them is in the audit log, and" \
            "disable_lockout in $ETC/vault.hcl, as the lab writes it, locks nobody. ($words)"
    fi
    fail "the server at $VAULT_ADDR refused the identity foundation any login, whatever its" \
        "password: the method userpass was switched off, or given other rules. To have it and the" \
        "identity written again, run \`touch $UNFINISHED\` as root and start the server again." \
        "($words)"
}

settled() {
    [ ! -e "$UNFINISHED" ] || return 1
    login || return 1
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
    must "a root token" cli delete sys/generate-root/attempt
    must "a root token" cli write -force -format=table sys/generate-root/attempt
    nonce=$(row nonce)
    otp=$(row otp)
    must "a root token for the unseal key in $KEY" \
        send_key sys/generate-root/update "nonce=$nonce"
    encoded=$(row encoded_token)
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
    must "a look at the root token" as_root token lookup -format=table
    own=$(row accessor)
    must "the list of tokens" as_root list -format=yaml auth/token/accessors
    for accessor in $(printf '%s\n' "$answer" | sed -n 's/^- //p'); do
        [ "$accessor" != "$own" ] || continue
        # One that expired meanwhile is no root token.
        try as_root token lookup -format=table -accessor "$accessor" || continue
        if [ "$(row policies)" = '[root]' ]; then
            must "the end of a root token" as_root token revoke -accessor "$accessor"
        fi
    done
}

write_user() {
    text "$ETC/foundation.password" | as_root write auth/userpass/users/foundation \
        token_policies=foundation token_ttl=1h password=-
}

see_to_identity() {
    touch "$UNFINISHED"
    sync
    new_root_token
    if ! try as_root audit list; then
        must "an audit device" as_root audit enable -path=stdout file file_path=stdout
        say "enabled the audit device"
    fi
    must "the policy foundation" as_root policy write foundation "$ETC/foundation.hcl"
    must "the list of login methods" as_root auth list -format=table
    printf '%s\n' "$answer" | grep -q '^userpass/ ' ||
        must "the method userpass" as_root auth enable userpass
    must "the identity foundation" write_user
    revoke_other_root_tokens
    must "the end of the root token" as_root token revoke -self
    rm "$UNFINISHED"
    sync
    settled || fail "the identity foundation was written, and the server at $VAULT_ADDR still has" \
        "another password, policy or no audit device for it: does something else write them?"
    say "wrote the identity foundation; no root token is left"
}

settle() {
    wait_until ask || fail "no answer at $VAULT_ADDR within $WAIT_S s:" \
        "$(try cli status || one_line "$answer")"
    [ "$VAULT_UNSEAL" = automatic ] || return 0
    reason="the last settle was cut off"
    trap 'printf "%s\n" "$reason" >"$FAILURE"' EXIT
    if [ "$(field initialized)" = false ]; then
        initialise
        ask || fail "the server at $VAULT_ADDR stopped answering after its initialisation"
    fi
    if [ "$(field sealed)" = true ]; then
        unseal
    fi
    wait_until active || fail "it was unsealed but did not become active within $WAIT_S s"
    settled || see_to_identity
    trap - EXIT
    rm -f "$FAILURE"
}

# A server that can serve others stays up, whatever its identity lacks: a restart would change
# nothing about that (#10). A sealed one is started again, as `prepare` may have to undo something.
started() {
    # In a process of its own: a shell goes on after a failure in a function that it asks about.
    sh "$0" settle && return
    is_unsealed || exit 1
    printf 'vault: it is unsealed, so it stays up\n' >&2
}

healthy() {
    if [ "$VAULT_UNSEAL" = automatic ]; then
        [ ! -s "$FAILURE" ] || fail "$(cat "$FAILURE")"
        [ ! -e "$UNFINISHED" ] && active
    else
        ask
    fi
}

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

# Nobody else settles a container again: it tries until it is done.
settle_beside() {
    until sh "$0" settle; do
        # A container that cannot be unsealed ends, and is started again by its restart policy.
        if ! is_unsealed; then
            kill -TERM "$server"
            return
        fi
        say "it is unsealed, so it stays up; it is settled again in $AGAIN_S s"
        sleep "$AGAIN_S"
    done
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
    settle_beside &
    beside=$!
    # The first wait ends with the signal, the second with the server.
    wait "$server" || wait "$server" || ended=$?
    kill "$beside" 2>/dev/null || true
    return "${ended:-0}"
}

case ${1:-run} in
run | prepare | settle | started | healthy) "${1:-run}" ;;
restore) restore "${2:-}" "${3:-}" ;;
*) fail "unknown word $1; see the head of this script" ;;
esac
