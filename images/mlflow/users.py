"""Gives the lab's own users the passwords of MLFLOW_AUTH_CONFIG_PATH, before the server starts.

MLflow itself reads the administrator's once, for an empty database: a new one would never arrive.
People's own users stay as they are.
"""

import configparser
import os
from pathlib import Path

from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

given = configparser.ConfigParser(interpolation=None)
given.read_string(Path(os.environ["MLFLOW_AUTH_CONFIG_PATH"]).read_text(encoding="utf-8"))
server, store = given["mlflow"], SqlAlchemyStore()
store.init_db(server["database_uri"])
administrator = server["admin_username"]
for name, password in {administrator: server["admin_password"], **given["users"]}.items():
    admin = name == administrator
    if store.has_user(name):
        store.update_user(name, password=password, is_admin=admin)
    else:
        store.create_user(name, password, is_admin=admin)
