"""The lake writer: moves events from Kafka into the lakehouse, each exactly once."""
