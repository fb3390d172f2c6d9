"""The vendors' images made from packages, for machines that reach no registry of images.

Each has a folder in images/from-packages: a Dockerfile, and contract.yaml, which says what of the
vendor's image it keeps to. Programs that no Debian has come from Maven, PyPI or as Go modules.
"""
