"""Nobody is somebody in the lab's GitLab but by an administrator, and it tells nobody about it."""

import pytest

from rehearsal.mocks import Deployed
from tests.layers.gitlab.test_files import deployed_config

pytestmark = pytest.mark.slow
KIND = "gitlab:index/applicationSettings:ApplicationSettings"


def platform(environment: str) -> Deployed:
    """Layer 2 with a GitLab."""
    return deployed_config(environment)[0]


@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_nobody_makes_himself_an_account(environment: str) -> None:
    (made,) = platform(environment).all(KIND)
    assert made.inputs["signupEnabled"] is False
    # Should an administrator open it again until the next `up`.
    assert made.inputs["requireAdminApprovalAfterUserSignup"] is True


@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_nobody_reads_a_project_without_a_login(environment: str) -> None:
    (made,) = platform(environment).all(KIND)
    assert made.inputs["restrictedVisibilityLevels"] == ["public"]
    for what in ("Project", "Group", "Snippet"):
        assert made.inputs[f"default{what}Visibility"] == "private"


@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_gitlab_tells_nobody_about_the_lab(environment: str) -> None:
    (made,) = platform(environment).all(KIND)
    calls = ("usagePing", "snowplow", "versionCheck", "gravatar")
    assert {name: made.inputs[f"{name}Enabled"] for name in calls} == dict.fromkeys(calls, False)
    assert made.inputs["includeOptionalMetricsInServicePing"] is False


@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_they_are_set_by_the_administrator_once_gitlab_answers(environment: str) -> None:
    deployed = platform(environment)
    (made,) = deployed.all(KIND)
    (owner,) = deployed.all("datalab:platform:GitLabSettings")
    assert made.parent == owner.urn
    assert len(deployed.all("pulumi:providers:gitlab")) == 1
