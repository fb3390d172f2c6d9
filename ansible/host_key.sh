#!/bin/sh
# Waits until a machine answers to SSH and prints its public host keys, one `TYPE KEY` a line.
# Environment: SSH_ADDRESS, SSH_PORT, SSH_WAIT_S (seconds to wait at most).
set -eu

end=$(($(date +%s) + SSH_WAIT_S))
while :; do
    keys=$(ssh-keyscan -T 5 -p "$SSH_PORT" -t ed25519,ecdsa,rsa "$SSH_ADDRESS" 2>/dev/null |
        sed -n 's/^[^# ][^ ]* //p' | sort)
    if [ -n "$keys" ]; then
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
