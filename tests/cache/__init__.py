"""The package cache, with real nginx and the real clients."""
