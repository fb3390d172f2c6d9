"""What `./lab doctor` says of one thing."""

from dataclasses import dataclass

from cli.lib.terminal import RED, YELLOW, paint


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at; `remedy` is empty where it is well."""

    what: str
    found: str
    remedy: str = ""
    required: bool = True

    def __str__(self) -> str:
        mark = "ok  "
        if self.remedy:
            mark = paint("FAIL", RED) if self.required else paint("warn", YELLOW)
        return f"{mark}  {self.what}: {self.found}" + (
            f"\n      -> {self.remedy}" if self.remedy else ""
        )
