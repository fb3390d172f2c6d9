#!/bin/bash
# A class of Kafka's jars. The vendor's distribution has more scripts; none is in the jars.
set -euo pipefail
# shellcheck disable=SC2086 # options are words
exec java ${KAFKA_HEAP_OPTS:--Xmx256M} ${KAFKA_JVM_PERFORMANCE_OPTS:-} ${KAFKA_JMX_OPTS:-} \
  -Dlog4j2.configurationFile="${KAFKA_LOG4J_FILE:-/opt/kafka/config/tools-log4j2.yaml}" \
  ${KAFKA_OPTS:-} -cp "/opt/kafka/libs/*${CLASSPATH:+:$CLASSPATH}" "$@"
