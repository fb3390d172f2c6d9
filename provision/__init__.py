"""Databases, topics and models for the CI jobs of any project: the CLI of the runner image.

Every command may run twice, in parallel, or after a crash of the one before: Vault holds what was
decided, the service holds what was done, and a run makes the second agree with the first.
"""
