"""Layer 3: databases, brokers, model tools, and how people reach them."""
