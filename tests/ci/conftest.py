"""The servers of provision's tests, for whole pipelines."""

from tests.provision.conftest import broker, servers

__all__ = ["broker", "servers"]
