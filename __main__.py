"""The Pulumi program: a stack's name says which layer of which environment it is."""

import importlib
import os

import pulumi

from layers import LAYERS
from layers.refusals import refusals
from layers.speed import settle, speed_up
from settings import program

speed_up(debug=bool(os.environ.get("DATALAB_DEBUG")))
with refusals():
    environment, layer = program.split_stack(pulumi.get_stack(), LAYERS)
    settings, given = program.configuration(environment)
    importlib.import_module(f"layers.{layer}").deploy(environment, settings, given)
    pulumi.run(settle)
