"""Passwords that Pulumi makes and gives to a service, and never reads back from it."""

import pulumi
import pulumi_random as random

from settings import Settings


def password(
    settings: Settings, name: str, parent: pulumi.Resource, length: int = 32
) -> pulumi.Output[str]:
    """The generated secret `name`, one of settings.common.SECRETS.

    Letters and digits only: it goes into URLs, environment files and masked CI variables. It
    changes when its generation in the settings does (`./lab secrets rotate`), and only then.
    """
    generation = settings.common.generations.get(name, 1)
    made = random.RandomPassword(
        f"{name}-password",
        length=length,
        special=False,
        keepers={"generation": str(generation)},
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return made.result
