"""Layer 4: the lab's own applications."""
