"""Layer 4: the lab's own applications, and the images that CI jobs run in.

It needs the platform's Docker host and registry and the services' addresses. It hands up
AppsOutputs.
"""

import pulumi

from layers.apps.model_server import ModelServer, ModelServerArgs
from layers.apps.runner_image import RunnerImage, RunnerImageArgs, deployer, downloads
from layers.apps.web import Web, WebArgs
from layers.engine import engine, gitlab_provider
from layers.outputs import AppsOutputs, FoundationOutputs, PlatformOutputs, ServicesOutputs
from places.downloads import require_checksum
from settings import Settings
from settings.program import Given


def deploy(environment: str, settings: Settings, given: Given) -> None:
    """Bring up layer 4 and export its outputs."""
    services = ServicesOutputs.read(environment)
    foundation = FoundationOutputs.read(environment)
    platform = PlatformOutputs.read(environment)
    where = engine("apps", settings, platform, given.pushed)
    registry = services.gitlab_project["registry"]
    server = ModelServer(
        "model-server",
        ModelServerArgs(
            engine=where,
            registry=registry,
            mlflow=services.mlflow["inner_url"],
            kafka=services.kafka["inner_bootstrap"],
        ),
        where.options(),
    )
    web = Web(
        "web",
        WebArgs(engine=where, registry=registry),
        where.options(),
    )
    gitlab = []
    if settings.platform.gitlab.enabled:
        gitlab = [gitlab_provider(settings, foundation, platform)]
        # Its Dockerfile takes what it is given.
        for entry, checksum in downloads(deployer()).items():
            require_checksum(entry, checksum, settings.common.unpinned_downloads)
        RunnerImage(
            "deployer-image",
            RunnerImageArgs(
                engine=where,
                registry=registry,
                image="deployer",
                recipe=deployer(),
                variable="DATALAB_DEPLOYER_IMAGE",
            ),
            where.options(*gitlab),
        )
    runner = RunnerImage(
        "runner-image",
        RunnerImageArgs(engine=where, registry=registry),
        where.options(*gitlab),
    )
    AppsOutputs(
        urls=pulumi.Output.from_input(
            {name: where.endpoint(name).url for name in ("model-server", "web")}
        ),
        images=pulumi.Output.all(
            **{"model-server": server.image, "web": web.image, "runner": runner.reference}
        ),
    ).export()
