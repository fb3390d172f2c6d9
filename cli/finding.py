"""What `./lab doctor` says of one thing."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at; `remedy` is empty where it is well."""

    what: str
    found: str
    remedy: str = ""
    required: bool = True

    def __str__(self) -> str:
        mark = "ok  " if not self.remedy else "FAIL" if self.required else "warn"
        return f"{mark}  {self.what}: {self.found}" + (
            f"\n      -> {self.remedy}" if self.remedy else ""
        )
