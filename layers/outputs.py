"""How one layer hands values to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import pulumi


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a layer hands up: the producer exports every field, the consumer reads them.

    Fields are outputs at run time; a secret stays secret through the reference.
    """

    layer: ClassVar[str]

    def export(self) -> None:
        """Make every field a stack output."""
        for field in fields(self):
            pulumi.export(field.name, getattr(self, field.name))

    @classmethod
    def read(cls, environment: str) -> Self:
        """The outputs of this layer's stack; an error with the command to run if it is empty."""
        stack = f"{environment}-{cls.layer}"
        reference = pulumi.StackReference(f"organization/datalab/{stack}")

        def required(name: str) -> pulumi.Output[Any]:
            def check(value: Any) -> Any:
                if value is None:
                    raise pulumi.RunError(
                        f"stack {stack} has no output {name}: run ./lab up {environment} "
                        f"{cls.layer} first"
                    )
                return value

            return reference.get_output(name).apply(check)

        return cls(**{field.name: required(field.name) for field in fields(cls)})


def secret_map(
    values: Mapping[str, Mapping[str, pulumi.Input[str]]],
) -> pulumi.Output[dict[str, dict[str, str]]]:
    """`values` as one secret output."""
    inner = {name: pulumi.Output.all(**fields) for name, fields in values.items()}
    return pulumi.Output.secret(pulumi.Output.all(**inner))
