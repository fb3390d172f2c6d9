"""The model server: predictions by MLflow's models, each logged to Kafka."""

# The project's (pyproject.toml), which is not in the image.
VERSION = "0.1.0"
