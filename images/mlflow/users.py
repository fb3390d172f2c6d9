"""Gives the lab's own users the passwords of MLFLOW_AUTH_CONFIG_PATH, before the server starts.

MLflow itself reads the administrator's once, for an empty database: a new one would never arrive.
People's own users stay as they are.
"""

import configparser
import os
from pathlib import Path

from mlflow.server.auth.config import read_auth_config
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

given = configparser.ConfigParser(interpolation=None)
given.read_string(Path(os.environ["MLFLOW_AUTH_CONFIG_PATH"]).read_text(encoding="utf-8"))
config = read_auth_config()
store = SqlAlchemyStore()
store.init_db(config.database_uri)
users = {config.admin_username: config.admin_password, **given["users"]}
for name, password in users.items():
    admin = name == config.admin_username
    if store.has_user(name):
        store.update_user(name, password=password, is_admin=admin)
    else:
        store.create_user(name, password, is_admin=admin)
