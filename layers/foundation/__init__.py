"""Layer 1: certificates, object store, Vault, package cache; in `dev` the network too.

It needs nothing, and exports FoundationOutputs.
"""

from functools import partial

import pulumi

from layers.context import LayerContext
from layers.foundation.cache import PackageCache
from layers.foundation.certificates import Certificates
from layers.foundation.object_store import StoreContents, access, key
from layers.foundation.vault import IDENTITIES, VaultContents
from layers.outputs import FoundationOutputs, secret_map
from settings import Settings
from settings.foundation.cache import Cache
from settings.foundation.object_store import BUCKETS, ObjectStore, user
from settings.mirrors import for_machines
from settings.program import Given


def deploy(environment: str, settings: Settings, given: Given) -> None:
    """Bring up layer 1 and export its outputs."""
    context = LayerContext("foundation", environment, settings, given)
    certificates = context.issuer = context.component(Certificates)
    cache = context.component(PackageCache)
    # The machines that come after it install through it.
    context.mirrors = cache.urls.apply(partial(for_machines, context.get(Cache)))
    context.component(StoreContents)
    context.component(VaultContents)
    context.deploy()
    own, consumers = context.get(ObjectStore).buckets, access(context.get(ObjectStore))
    store, vault = context.endpoint("store"), context.endpoint("vault")
    FoundationOutputs(
        object_store=pulumi.Output.from_input(
            {
                "endpoint": store.url,
                "inner_endpoint": store.inner_url,
                "region": settings.common.region,
                "buckets": [*BUCKETS, *own],
            }
        ),
        credentials=secret_map(
            {name: {"access_key": name, "secret_key": key(context, name)} for name in consumers}
        ),
        ca_certificate=certificates.ca,
        certificates=secret_map(certificates.leaves),
        vault=pulumi.Output.from_input({"address": vault.url, "inner_address": vault.inner_url}),
        vault_identities=secret_map(
            {
                layer: {"username": layer, "password": context.secret(f"vault-{layer}")}
                for layer in IDENTITIES
            }
        ),
        cache=cache.urls,
        network=context.network,
        logins=context.logins(
            {
                f"bucket/{bucket}": {
                    "url": f"{store.url}/{bucket}",
                    "user": user(bucket),
                    "password": key(context, user(bucket)),
                }
                for bucket in own
            }
        ),
    ).export()
