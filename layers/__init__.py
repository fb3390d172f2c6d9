"""The four layers of an environment."""

# Lowest first; settings/declarations.py has them too, as `./lab help` starts without pydantic.
LAYERS = ("foundation", "platform", "services", "apps")
