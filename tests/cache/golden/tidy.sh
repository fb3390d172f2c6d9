#!/bin/sh
# Housekeeping of the package cache, once an hour: what nginx does not do itself.
set -eu
packages=/var/cache/datalab
logs=/var/log/datalab-cache
pid=/run/nginx.pid

# A killed nginx leaves what it was writing, and its successor takes care not to touch it.
find "$packages" -type f -name '*.[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]' \
    -mmin +1440 -delete

# All at once, so that requests and fetches of the same time are read together.
if [ -n "$(find "$logs" -maxdepth 1 -name '*.json' -size +100M)" ]; then
    for log in access.json requests.json fetch.json error.log; do
        [ ! -e "$logs/$log" ] || mv -f "$logs/$log" "$logs/$log.1"
    done
    kill -USR1 "$(cat "$pid")"
fi

# A file's second line is its key: its kind, then its path, which begins with its upstream.
{
    find "$packages" -type f ! -name '*.*' -printf 'size %p %s\n'
    find "$packages" -type f ! -name '*.*' -exec grep -a -m 1 -H '^KEY: [a-z-]*|/' {} + || :
    df -kP "$packages" | tail -n 1
} | awk -v time="$(date -u +%Y-%m-%dT%H:%M:%SZ)" '
    $1 == "size" { size[$2] = $3; next }
    / / && $1 ~ /:KEY:$/ {
        path = $1
        sub(/:KEY:$/, "", path)
        split($2, part, "/")
        files[part[2]]++
        bytes[part[2]] += size[path]
        next
    }
    { total = $2; free = $4 }
    END {
        printf "{\"time\":\"%s\",\"disk\":{\"size\":%.0f,\"free\":%.0f},\"packages\":{",
            time, total * 1024, free * 1024
        for (name in files) {
            printf "%s\"%s\":{\"files\":%d,\"bytes\":%.0f}", comma, name, files[name], bytes[name]
            comma = ","
        }
        print "}}"
    }' > "$logs/usage.json.new"
mv -f "$logs/usage.json.new" "$logs/usage.json"
