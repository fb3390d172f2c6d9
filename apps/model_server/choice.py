"""Which of several models answers a request."""

import hashlib
import math
import random
from collections.abc import Sequence

from .interface import Model


def choose(models: Sequence[Model], key: str | None) -> Model:
    """One of the models, by weight: at random, or for the same key always the same.

    By rendezvous hashing, of models as they were asked for: another weight or one more model moves
    only as many keys as it must, and an alias that points to another version moves none.
    """
    if len(models) == 1:
        return models[0]
    if key is None:
        return random.choices(models, [model.weight for model in models])[0]  # noqa: S311
    return max(models, key=lambda model: _score(model, key))


def _score(model: Model, key: str) -> float:
    if model.weight == 0:
        return -1.0
    # Names of models have no slash; a key may have anything, and is last.
    text = f"{model.name}/{model.version}/{key}".encode()
    number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
    return -model.weight / math.log((number + 0.5) / 2**64)
