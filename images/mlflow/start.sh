#!/bin/sh
# A new version refuses the schema of an older one; on an empty database this makes the first.
set -eu
mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"
exec mlflow server
