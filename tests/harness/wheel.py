"""Python packages of a test's own, the same bytes each time."""

import hashlib
import zipfile
from collections.abc import Mapping
from io import BytesIO

VERSION = "1.0"


def pack(
    name: str, version: str = VERSION, requires: str = "", programs: Mapping[str, str] | None = None
) -> bytes:
    """A wheel with one module, `programs` by path, and what else it requires."""
    folder = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": f"version = {version!r}\n",
        **(programs or {}),
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{folder}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{folder}/RECORD"))
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o100755) << 16
            archive.writestr(entry, text)
    return buffer.getvalue()


def file_name(name: str, version: str = VERSION) -> str:
    """What the file of a wheel must be called."""
    return f"{name}-{version}-py3-none-any.whl"


def requirement(wheel: bytes, name: str, version: str = VERSION) -> str:
    """The line of a requirements file that wants this wheel and no other."""
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel).hexdigest()}\n"
