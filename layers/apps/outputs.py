"""What the apps hand up."""

from dataclasses import dataclass
from typing import ClassVar

import pulumi

from layers.outputs import Outputs


@dataclass(frozen=True, kw_only=True)
class AppsOutputs(Outputs):
    """The apps' outputs: addresses by application, and references of the images built."""

    layer: ClassVar[str] = "apps"

    urls: pulumi.Output[dict[str, str]]
    images: pulumi.Output[dict[str, str]]
