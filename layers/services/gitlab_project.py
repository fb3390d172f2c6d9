"""This repository's own home in the lab's GitLab."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_gitlab as gitlab

from layers.context import Component, LayerContext
from layers.outputs import entry
from settings.services.gitlab_project import GitLabProject as Settings

BRANCH = "main"
# Token -> level and scopes: `notes` writes merge requests' notes and the drift issue; the jobs of
# every project hold `status`, to follow the pipelines that they ask for. A guest sees no code.
TOKENS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "notes": ("reporter", ("api",)),
    "status": ("guest", ("read_api",)),
}


class GitLabProject(Component):
    """Group and project with what their pipelines need.

    registry is the project's place in the container registry; tokens has trigger, notes and
    status, all secret.
    """

    TYPE = "datalab:services:GitLabProject"
    NAME = "gitlab"

    id: pulumi.Output[str]
    path: pulumi.Output[str]
    registry: pulumi.Output[str]
    tokens: Mapping[str, pulumi.Output[str]]

    @classmethod
    def providers(cls, context: LayerContext) -> Sequence[pulumi.ProviderResource]:
        """GitLab's."""
        return [context.gitlab]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        settings = context.get(Settings)
        group = gitlab.Group(
            f"{name}-group",
            name=settings.group,
            path=settings.group,
            visibility_level="private",
            opts=pulumi.ResourceOptions(parent=self, protect=context.protect),
        )
        project = self._project(name, context, group)
        self.id, self.path = project.id, project.path_with_namespace
        # By what it is made of, as the path is known before the project is.
        place = f"{settings.group}/{settings.project}"
        server = entry(context.environment, context.platform, "gitlab", "registry")
        self.registry = pulumi.Output.all(server, project.id).apply(
            lambda known: f"{known[0]}/{place}"
        )
        self.tokens = self._tokens(name, settings.token_days)
        self._branch(name, group, settings.pulling_groups)
        self._schedules(context)
        # For the jobs of every project.
        files = {"DATALAB_CA_FILE": context.ca}
        variables = {"DATALAB_VAULT_ADDR": context.foundation.vault["inner_address"]}
        for key, value in {**variables, **files}.items():
            gitlab.InstanceVariable(
                f"{name}-{key.lower().replace('_', '-')}",
                key=key,
                value=value,
                variable_type="file" if key in files else "env_var",
                # Not secret, and a certificate has lines, which a masked variable may not.
                masked=False,
                raw=True,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"id": self.id})

    def _project(self, name: str, context: LayerContext, group: gitlab.Group) -> gitlab.Project:
        return gitlab.Project(
            f"{name}-project",
            name=context.get(Settings).project,
            path=context.get(Settings).project,
            namespace_id=group.id.apply(int),
            visibility_level="private",
            default_branch=BRANCH,
            merge_method="ff",
            only_allow_merge_if_pipeline_succeeds=True,
            only_allow_merge_if_all_discussions_are_resolved=True,
            remove_source_branch_after_merge=True,
            container_registry_access_level="enabled",
            container_expiration_policy=gitlab.ProjectContainerExpirationPolicyArgs(
                enabled=True,
                cadence="7d",
                # What is deployed is the newest version of its image, so it always stays.
                keep_n=10,
                older_than="30d",
                name_regex_delete=".*",
            ),
            # A job that was started later must not overtake one that deploys.
            resource_group_default_process_mode="oldest_first",
            ci_forward_deployment_enabled=True,
            # Every project holds the trigger token. A variable given with it would outrank the
            # pipeline's own: VAULT_ADDR of somebody else, and the job hands over its ID token.
            ci_pipeline_variables_minimum_override_role="no_one_allowed",
            # Guests may follow pipelines, which is all that the token `status` is for.
            public_jobs=True,
            # Creation else waits for a branch that a new project does not have
            # (terraform-provider-gitlab#1127).
            skip_wait_for_default_branch_protection=True,
            opts=pulumi.ResourceOptions(parent=self, protect=context.protect),
        )

    def _tokens(self, name: str, days: int) -> dict[str, pulumi.Output[str]]:
        child = pulumi.ResourceOptions(parent=self)
        trigger = gitlab.PipelineTrigger(
            f"{name}-trigger", project=self.id, description="Other projects' requests", opts=child
        )
        tokens = {"trigger": trigger.token}
        for token, (level, scopes) in TOKENS.items():
            made = gitlab.ProjectAccessToken(
                f"{name}-{token}",
                project=self.id,
                name=f"datalab-{token}",
                access_level=level,
                scopes=list(scopes),
                # Only an `up` renews it, such as the clock's: a third of its life is for that.
                rotation_configuration=gitlab.ProjectAccessTokenRotationConfigurationArgs(
                    expiration_days=days, rotate_before_days=days // 3
                ),
                opts=child,
            )
            tokens[token] = made.token
        return {token: pulumi.Output.secret(value) for token, value in tokens.items()}

    def _branch(self, name: str, group: gitlab.Group, pulling: Sequence[int]) -> None:
        child = pulumi.ResourceOptions(parent=self)
        gitlab.BranchProtection(
            f"{name}-branch",
            project=self.id,
            branch=BRANCH,
            push_access_level="maintainer",
            merge_access_level="maintainer",
            allow_force_push=False,
            opts=child,
        )
        gitlab.ProjectJobTokenScopes(
            f"{name}-job-tokens",
            project=self.id,
            enabled=True,
            # Whose jobs may pull the lab's images with their own token.
            target_group_ids=[group.id.apply(int), *pulling],
            target_project_ids=[],
            opts=child,
        )

    def _schedules(self, context: LayerContext) -> None:
        for schedule, wanted in sorted(context.get(Settings).schedules.items()):
            gitlab.PipelineSchedule(
                f"{schedule}-schedule",
                project=self.id,
                description=schedule,
                ref=f"refs/heads/{BRANCH}",
                cron=wanted.cron,
                cron_timezone=context.settings.common.timezone,
                # As text, which GitLab reads as JSON when it starts the pipeline
                # (lib/ci/pipeline_creation/inputs.rb), so not "True". What was stored as a boolean
                # came back as one and stopped the provider (terraform-provider-gitlab#6790).
                inputs=[gitlab.PipelineScheduleInputArgs(name=wanted.workflow, value="true")],
                opts=pulumi.ResourceOptions(parent=self),
            )
