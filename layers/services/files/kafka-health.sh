#!/bin/bash
# Ask the broker which versions it speaks, the first request of every Kafka client. The image's own
# tools would start a second JVM with the broker's heap every few seconds.
set -euo pipefail

exec 3<>/dev/tcp/127.0.0.1/"${1:-29092}"
# Length 16, API 18 (ApiVersions) version 0, correlation id 7, client id "health".
printf '\0\0\0\x10\0\x12\0\0\0\0\0\x07\0\x06health' >&3
# Length of the answer, then our correlation id.
answer=$(timeout 4 head -c 8 <&3 | od -An -tx1 | tr -d ' \n')
[ "${answer:8}" = 00000007 ]
