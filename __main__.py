"""The Pulumi program: a stack's name says which layer of which environment it is."""

import gc
import importlib
import os

import pulumi

from layers import LAYERS

# Nothing here lives long enough to be worth collecting; see docs/performance.md for both.
gc.disable()
if not os.environ.get("DATALAB_DEBUG"):
    # A blocking call to the engine for each of the SDK's four lines a resource (pulumi#17481).
    pulumi.log.debug = lambda *_, **__: None

from settings import program  # noqa: E402 - importing it is part of what takes long

environment, layer = program.split_stack(pulumi.get_stack(), LAYERS)
settings, secrets = program.configuration(environment)
importlib.import_module(f"layers.{layer}").deploy(environment, settings, secrets)
