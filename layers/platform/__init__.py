"""Layer 2: the Docker host and its network, GitLab with its registry, the runner.

It needs FoundationOutputs, and exports PlatformOutputs.
"""

from functools import partial

import pulumi

from layers import providers
from layers.context import LayerContext
from layers.outputs import PlatformOutputs
from layers.platform.docker import access
from layers.platform.gitlab import GitLab, addresses, token
from settings import Settings
from settings.foundation.cache import Cache
from settings.mirrors import for_machines
from settings.program import Given


def deploy(environment: str, settings: Settings, given: Given) -> None:
    """Bring up layer 2 and export its outputs."""
    context = LayerContext("platform", environment, settings, given)
    context.mirrors = context.foundation.cache.apply(partial(for_machines, context.get(Cache)))
    context.deploy()
    engine, network = access(context), context.foundation.network
    if not context.local:
        opts = pulumi.ResourceOptions(providers=[providers.docker(engine)])
        network = context.make_network(opts)
    gitlab, api_token, accessor = {}, pulumi.Output.from_input(""), pulumi.Output.from_input("")
    if context.has("gitlab"):
        ready, api = context.component(GitLab).ready, addresses(context)["api_url"]
        context.gitlab = providers.gitlab(ready.apply(lambda _: api), token(context), context.trust)
        # Imported here, as they need pulumi_gitlab and pulumi_vault, 0.65 s together.
        from layers.platform.gitlab_settings import GitLabSettings
        from layers.platform.job_identity import JobIdentity
        from layers.platform.runner import Runner

        context.component(GitLabSettings)
        context.component(Runner)
        gitlab, api_token = addresses(context), token(context)
        accessor = context.component(JobIdentity).accessor
    PlatformOutputs(
        docker=pulumi.Output.secret(pulumi.Output.all(**engine)),
        network=network,
        gitlab=pulumi.Output.from_input(gitlab),
        gitlab_token=pulumi.Output.secret(api_token),
        logins=context.logins(),
        vault_jwt_accessor=accessor,
    ).export()
