"""Layer 1: object store, Vault, package cache."""
