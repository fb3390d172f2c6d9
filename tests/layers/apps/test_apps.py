"""The applications' containers, and the image of CI jobs."""

import pulumi
import pytest
from datalab_edge.credentials import parse

from apps.lake_writer.settings import load as load_writer
from apps.model_server.settings import load
from settings.apps.model_server import SERVER_MIB
from settings.images import PATH
from settings.platform.runner import deployer, downloads
from tests.harness.deploy import deploy, deploy_on_sample
from tests.layers.containers import GITLAB, container, files, published, variables, world

ROOT = PATH.parent


@pytest.mark.parametrize("variant", ["dev", "lab"])
@pytest.mark.slow
def test_the_model_server_understands_all_that_it_is_given(variant: str) -> None:
    given = variables(container(world(variant)["apps"], "model-server"))
    settings = load(given)
    assert str(settings.mlflow_tracking_uri) == "http://mlflow:5000/"
    assert settings.kafka_broker_endpoint == "kafka:29092"
    assert {name.lower() for name in given} <= set(type(settings).model_fields)


@pytest.mark.parametrize("variant", ["dev", "lab"])
@pytest.mark.slow
def test_the_lake_writer_understands_all_that_it_is_given(variant: str) -> None:
    inputs = container(world(variant)["apps"], "lake-writer")
    given = variables(inputs)
    settings = load_writer(given)
    own = {name.lower() for name in given} - {"datalab_lake_file"}
    assert own <= set(type(settings).model_fields)
    lake = parse(files(inputs)[given["DATALAB_LAKE_FILE"]]["content"], "the container's")
    assert settings.lake_catalog in lake.catalogs
    assert {name: login.user for name, login in lake.catalogs.items()} == {
        "stage": "lakehouse",
        "secure_stage": "lakehouse-secure",
        "marts": "lakehouse",
    }
    assert (lake.postgresql.host, lake.postgresql.port) == ("postgresql", 5432)
    assert lake.s3.endpoint.scheme == "https"
    assert lake.ca.startswith("-----BEGIN CERTIFICATE")


def test_models_of_the_settings_reach_the_model_server_with_the_memory_that_is_left() -> None:
    models = ["sentiment", "iris@champion", "house prices/3"]
    change = {
        "apps.model_server.models": models,
        "apps.model_server.aliases": ["live"],
        "apps.model_server.any_model": True,
        "apps.model_server.container.memory_mib": 900,
    }
    inputs = container(deploy_on_sample("apps", "dev", change), "model-server")
    settings = load(variables(inputs))
    assert (settings.models, settings.model_aliases) == (models, ["live"])
    assert (settings.any_model, settings.models_memory_mib) == (True, 900 - SERVER_MIB)
    # On a volume: it starts with them while MLflow is away.
    assert str(settings.models_folder) in {one["containerPath"] for one in inputs["volumes"]}


def test_topics_and_groups_are_not_swapped() -> None:
    given = load(variables(container(world("dev")["apps"], "model-server")))
    assert given.inference_results_topic == "ml_inference_results"
    assert given.inference_results_group == "lakehouse-inference-result-consumer"
    assert given.inference_feedback_topic == "ml_inference_feedback"
    assert given.inference_feedback_group == "lakehouse-inference-feedback-consumer"


def test_the_web_application_finds_the_model_server() -> None:
    given = variables(container(world("lab")["apps"], "web"))
    assert given == {"MODEL_SERVER_URL": "http://model-server:8000", "PORT": "3000"}


def test_in_dev_both_are_published_and_in_the_lab_the_gateway_answers() -> None:
    for name, port in (("model-server", 8000), ("web", 3000)):
        assert published(container(world("dev")["apps"], name)) == {port: port}
        assert published(container(world("lab")["apps"], name)) == {}


def test_ports_are_settings_outside_only() -> None:
    """The image listens on its own port whatever it is published as."""
    inputs = container(world("dev")["apps"], "web")
    assert published(inputs)[3000] == int(variables(inputs)["PORT"])


@pytest.mark.parametrize("variant", ["dev with GitLab", "lab"])
@pytest.mark.slow
def test_jobs_of_every_project_know_the_runner_image_by_its_content(variant: str) -> None:
    layer = world(variant)["apps"]
    variable = layer.one(
        "gitlab:index/instanceVariable:InstanceVariable", "runner-image-variable"
    ).inputs
    assert variable["key"] == "DATALAB_RUNNER_IMAGE"
    assert "@sha256:" in variable["value"]
    assert variable["value"] == layer.outputs["images"]["runner"]


@pytest.mark.parametrize("entry", ["downloads.pulumi", "plugins.docker"])
@pytest.mark.slow
def test_an_image_without_the_sum_of_what_it_downloads_is_not_begun(
    entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = dict.fromkeys(downloads(deployer()), "0" * 64)
    assert len(known) == 10, "Pulumi and the plugin of every provider"
    monkeypatch.setattr("layers.apps.runner_image.downloads", lambda _: {**known, entry: ""})
    change = {**GITLAB, "common.unpinned_downloads": "refuse"}
    with pytest.raises(pulumi.RunError, match=rf"images\.sum has no sum of {entry}.*lab pin"):
        deploy("dev", change)


def test_outputs_name_what_runs() -> None:
    outputs = world("dev")["apps"].outputs
    assert outputs["urls"] == {
        "model-server": "http://localhost:8000",
        "lake-writer": "http://localhost:8001",
        "web": "http://localhost:3000",
    }
    assert set(outputs["images"]) == {"model-server", "lake-writer", "web", "runner"}
