"""Health check: does the API answer to the name that people use?

/health would not tell, as it answers to every name while the API refuses unlisted ones with 403.
"""

import http.client
import os
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["MLFLOW_PORT"]), timeout=4)
connection.request(
    "GET",
    "/api/3.0/mlflow/server-info",  # which alone of the API asks for no login
    headers={"Host": os.environ["HEALTH_HOST"]},
)
sys.exit(connection.getresponse().status != http.client.OK)
