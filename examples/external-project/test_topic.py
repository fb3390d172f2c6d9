"""Sends a message to the project's topic and reads it as the project's group."""

import os
import sys
import uuid

from confluent_kafka import Consumer, Producer

server = {"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"]}
sent = uuid.uuid4().hex
producer = Producer(server)
producer.produce(os.environ["KAFKA_TOPIC"], sent.encode())
producer.flush(10)

consumer = Consumer({**server, "group.id": os.environ["KAFKA_GROUP"]})
consumer.subscribe([os.environ["KAFKA_TOPIC"]])
try:
    for _ in range(60):
        message = consumer.poll(1)
        if message is not None and message.error() is None and message.value() == sent.encode():
            print("read what was sent")
            sys.exit(0)
finally:
    consumer.close()
sys.exit("the message did not come back")
