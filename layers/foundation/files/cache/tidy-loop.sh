#!/bin/sh
# A container has no timers: beside nginx this runs the housekeeping once an hour.
(
    sleep 5
    while :; do
        nice -n 19 sh /etc/nginx/tidy.sh || echo "tidy.sh failed" >&2
        sleep 3600
    done
) &
