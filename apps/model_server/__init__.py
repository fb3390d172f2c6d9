"""The model server: predictions by MLflow's models, each logged to Kafka."""
