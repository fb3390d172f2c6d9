#!/bin/sh
# A new version refuses the schema of an older one; on an empty database this makes the first.
set -eu
mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"
python "${0%/*}/users.py"
# Signs the forms of its own pages: the same in all workers, and nothing outlives a start.
MLFLOW_FLASK_SERVER_SECRET_KEY=$(python -c 'import secrets; print(secrets.token_hex(32))')
export MLFLOW_FLASK_SERVER_SECRET_KEY
exec mlflow server --app-name datalab
