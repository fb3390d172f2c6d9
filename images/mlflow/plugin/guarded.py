"""MLflow with its own login, and with no artifacts elsewhere than in the server's own store.

MLflow (3.17.2) lets anyone who makes an experiment choose where its artifacts are, and then reads
them for that person: at file:///run/secrets, the server's own keys.
"""

import json
from contextlib import suppress
from urllib.parse import urlparse

from flask import Flask, jsonify, request
from google.protobuf.json_format import ParseError
from mlflow.protos.model_registry_pb2 import CreateModelVersion
from mlflow.protos.service_pb2 import CreateExperiment
from mlflow.server import app as server
from mlflow.server import auth
from mlflow.utils.proto_json_utils import parse_dict

# End of a route -> its message, the field with an address, and what that may begin with. A version
# of a prompt has a word in place of an address; a path of this machine MLflow refuses there itself.
CHECKED = {
    "/mlflow/experiments/create": (CreateExperiment, "artifact_location", {"mlflow-artifacts"}),
    "/mlflow/model-versions/create": (
        CreateModelVersion,
        "source",
        {"", "mlflow-artifacts", "models", "runs"},
    ),
}


def refuse():
    """The answer to a request for artifacts elsewhere; None lets MLflow answer."""
    path = request.path.rstrip("/")
    kind, field, schemes = next(
        (row for end, row in CHECKED.items() if path.endswith(end)), (None, "", set())
    )
    if kind is None:
        return None
    # As MLflow reads it (handlers.py, _get_request_message): a text may hold the JSON, fields have
    # two spellings, and what was read before a fault counts.
    body, message = request.get_json(force=True, silent=True), kind()
    with suppress(ParseError, ValueError):
        parse_dict(json.loads(body) if isinstance(body, str) else body or {}, message)
    address = getattr(message, field)
    if not address or urlparse(address).scheme.lower() in schemes:
        return None
    text = f"{field}: this lab keeps artifacts in its own store only; leave {field} out"
    answer = jsonify(error_code="INVALID_PARAMETER_VALUE", message=text)
    answer.status_code = 400
    return answer


def create_app(app: Flask = server):
    """The server with its login (mlflow.server.auth), which is asked first."""
    made = auth.create_app(app)
    app.before_request(refuse)
    return made
