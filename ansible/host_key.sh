#!/bin/sh
# Waits until a machine answers to SSH and prints its public host keys, one `TYPE KEY` a line.
# With the argument `known` the machine must have one of those in PULUMI_COMMAND_STDOUT, and they
# are all that is printed: a scan proves no possession, so that it must not add a key.
# Environment: SSH_ADDRESS, SSH_PORT, SSH_WAIT_S (seconds to wait at most).
set -eu

end=$(($(date +%s) + SSH_WAIT_S))
while :; do
    keys=$(ssh-keyscan -T 5 -p "$SSH_PORT" -t ed25519,ecdsa,rsa "$SSH_ADDRESS" 2>/dev/null |
        sed -n 's/^[^# ][^ ]* //p' | sort)
    if [ -n "$keys" ]; then
        if [ "${1:-}" = known ]; then
            # A pattern a line.
            if ! printf '%s\n' "$keys" | grep -qFx -e "$PULUMI_COMMAND_STDOUT"; then
                echo "$SSH_ADDRESS port $SSH_PORT: another host key than at first contact. If this" \
                    "machine is yours and its key is new, see \"How a machine is kept\" in" \
                    "docs/machines.md for how to accept it; if not, look before you trust." >&2
                exit 1
            fi
            keys=$PULUMI_COMMAND_STDOUT
        fi
        printf '%s\n' "$keys"
        exit 0
    fi
    if [ "$(date +%s)" -ge "$end" ]; then
        echo "$SSH_ADDRESS port $SSH_PORT: no SSH server answered within $SSH_WAIT_S s." \
            "Is the machine running, is the address free of others, and can this computer reach" \
            "it? Then run the same command again." >&2
        exit 1
    fi
    sleep 2
done
