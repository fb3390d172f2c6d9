"""What the package cache costs: `python -m tests.cache.bench`."""
