"""The four layers of an environment."""

# Lowest first. The only statement of their order.
LAYERS = ("foundation", "platform", "services", "apps")
