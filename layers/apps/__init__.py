"""Layer 4: the lab's own applications, and the images that CI jobs run in.

Its applications are the modules of settings/apps/, each with a component in the module of the same
name here. It needs the platform's Docker host and registry and the services' addresses, and exports
AppsOutputs.
"""

import pulumi

from layers.apps.runner_image import DeployerImage, RunnerImage
from layers.context import LayerContext
from layers.outputs import AppsOutputs
from settings import Settings
from settings.program import Given


def deploy(environment: str, settings: Settings, given: Given) -> None:
    """Bring up layer 4 and export its outputs."""
    context = LayerContext("apps", environment, settings, given)
    context.registry = context.services.gitlab_project["registry"]
    images = {
        name: component.image
        for name, component in context.deploy().items()
        if component.image is not None
    }
    if context.has("gitlab"):
        context.component(DeployerImage)
    images["runner"] = context.component(RunnerImage).reference
    AppsOutputs(
        urls=pulumi.Output.from_input(
            {service.name: context.endpoint(service.name).url for service in context.listening()}
        ),
        images=pulumi.Output.all(**images),
    ).export()
