"""Health check of the container."""

import os
import sys
from http.client import HTTPConnection

connection = HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8001")), timeout=4)
connection.request("GET", "/health")
sys.exit(connection.getresponse().status != 200)
