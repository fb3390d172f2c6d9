"""Prints as JSON what a container and its layer are under mocks: ENVIRONMENT LAYER NAME."""

import json
import sys

from tests.harness.deploy import deploy

environment, layer, name = sys.argv[1:]
world = deploy(environment, {"common.unpinned_downloads": "allow"})
made = world[layer]
container = made.one("Container", f"{name}-container")
print(
    json.dumps(
        {
            "inputs": container.inputs,
            "secret": sorted(container.secret),
            "outputs": {
                key: made.outputs[key] for key in made.outputs.keys() - made.secret_outputs
            },
            "volumes": [r.name for r in made.all("Volume") if name in r.name],
            "certificates": sorted(world["foundation"].outputs["certificates"]),
            "passwords": [r.name for r in made.all("RandomPassword")],
            "parent": container.parent,
        }
    )
)
