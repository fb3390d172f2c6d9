"""Where a machine finds a vendor's file: at the package cache, where that stands in."""

from collections.abc import Callable, Mapping


def mirrored(url: str, mirrors: Mapping[str, str]) -> str:
    """The address of `url` at a mirror, or `url` itself where there is none.

    mirrors is role common's common_mirrors; of several addresses that `url` begins with, the
    longest counts.
    """
    origin = max((known for known in mirrors if url.startswith(f"{known}/")), key=len, default="")
    return mirrors[origin] + url.removeprefix(origin) if origin else url


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filters by name."""
        return {"mirrored": mirrored}
