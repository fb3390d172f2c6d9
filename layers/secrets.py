"""Passwords that Pulumi makes and gives to a service, and never reads back from it."""

from collections.abc import Collection

import pulumi
import pulumi_random as random

from settings.common import Common, generation
from settings.declarations import FIXED, SECRETS


class Passwords(pulumi.ComponentResource):
    """The passwords of a layer."""

    def __init__(
        self,
        name: str,
        common: Common,
        more: Collection[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ):
        super().__init__("datalab:secrets:Passwords", name, None, opts)
        self.common, self.known = common, {*SECRETS, *more}
        self.register_outputs({})

    def make(self, name: str, length: int = 32) -> pulumi.Output[str]:
        """The secret `name` of a service's declaration, or of `more`; ValueError for any other.

        Letters and digits only: it goes into URLs, environment files and masked CI variables.
        It changes when its generation in the settings does (`./lab secrets rotate`), and only then.
        """
        if name not in self.known:
            raise ValueError(f"{name} is no service's secret, so nobody could rotate it")
        made = random.RandomPassword(
            name,
            length=length,
            special=False,
            keepers={"generation": str(generation(self.common.generations, name))},
            # It is in its server's data, so it lasts as long.
            opts=pulumi.ResourceOptions(parent=self, protect=self.common.protect and name in FIXED),
        )
        return made.result
