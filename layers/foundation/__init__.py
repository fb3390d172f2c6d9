"""Layer 1: certificates, object store, Vault, package cache; in `dev` the network too.

It needs nothing. It hands up FoundationOutputs.
"""

from collections.abc import Mapping
from functools import partial

import pulumi
import pulumi_minio as minio

from layers.foundation.cache import PackageCache, PackageCacheArgs
from layers.foundation.certificates import Certificates, CertificatesArgs, Leaf
from layers.foundation.object_store import (
    ACCESS,
    BUCKETS,
    ObjectStore,
    ObjectStoreArgs,
    StoreContents,
    StoreContentsArgs,
)
from layers.foundation.vault import (
    IDENTITIES,
    SNAPSHOT,
    Snapshots,
    Vault,
    VaultArgs,
    VaultContents,
    VaultContentsArgs,
)
from layers.ground import Ground, basic_providers, ground, mirrors
from layers.outputs import FoundationOutputs, login, secret_map
from layers.secrets import Passwords
from layers.vault import vault_provider
from places.trust import trust_file
from settings import Settings
from settings.common import STORE_ROOT_USER
from settings.declarations import LISTENERS
from settings.names import certificate_names, endpoints
from settings.program import Given


def deploy(environment: str, settings: Settings, given: Given) -> None:
    """Bring up layer 1 and export its outputs."""
    providers = basic_providers()
    certificates = Certificates(
        "certificates",
        CertificatesArgs(
            leaves=leaves(settings),
            lifetimes=settings.common.certificates,
            protect=settings.common.protect,
        ),
        pulumi.ResourceOptions(providers=providers),
    )
    base = ground("foundation", settings, given, providers, ca=certificates.ca)
    passwords = Passwords("passwords", settings.common, base.options())
    where, node = endpoints(settings), settings.common.target
    cache = PackageCache(
        "cache",
        PackageCacheArgs(
            settings=settings.foundation.cache,
            passwords=given.upstream_passwords,
            place=base.place,
            publish=base.publish,
            address=where["cache"],
            nameservers=node.nameservers if node.kind == "proxmox" else (),
        ),
        base.options(),
    )
    base = base.behind(cache.urls.apply(partial(mirrors, settings.foundation.cache)))
    root = passwords.make("object-store-root")
    keys = {consumer: passwords.make(f"object-store-{consumer}") for consumer in ACCESS}
    FoundationOutputs(
        object_store=pulumi.Output.from_input(
            {
                "endpoint": where["store"].url,
                "inner_endpoint": where["store"].inner_url,
                "region": settings.common.region,
                "buckets": list(BUCKETS),
            }
        ),
        credentials=_object_store(settings, base, certificates, keys, root),
        ca_certificate=certificates.ca,
        certificates=secret_map(certificates.leaves),
        vault=pulumi.Output.from_input(
            {"address": where["vault"].url, "inner_address": where["vault"].inner_url}
        ),
        vault_identities=_vault(settings, base, certificates, passwords, keys["vault"]),
        cache=cache.urls,
        network=pulumi.Output.from_input(base.network),
        logins=secret_map({"object-store": login(where["store-console"], STORE_ROOT_USER, root)}),
    ).export()


def leaves(settings: Settings) -> dict[str, Leaf]:
    """Every certificate that the environment needs, by name."""
    present = endpoints(settings)
    found = {}
    for name, (_, listener) in LISTENERS.items():
        if listener.certificate and name in present:
            dns_names, addresses = certificate_names(settings, name)
            found[name] = Leaf(dns_names=dns_names, addresses=addresses)
    if "docker" in present:
        found["docker-client"] = Leaf(client=True)
    return found


def _object_store(
    settings: Settings,
    base: Ground,
    certificates: Certificates,
    keys: Mapping[str, pulumi.Output[str]],
    root: pulumi.Output[str],
) -> pulumi.Output[dict[str, dict[str, str]]]:
    """The store and its contents; the credentials of its consumers."""
    store = ObjectStore(
        "store",
        ObjectStoreArgs(
            settings=settings.foundation.object_store,
            place=base.place,
            region=settings.common.region,
            publish=base.publish,
            root_password=root,
            ca=certificates.ca,
            certificate=certificates.leaves["store"]["certificate"],
            key=certificates.leaves["store"]["key"],
        ),
        base.options(),
    )
    endpoint = endpoints(settings)["store"]
    provider = minio.Provider(
        "minio",
        minio_server=store.ready.apply(lambda _: f"{endpoint.address}:{endpoint.port}"),
        minio_user=STORE_ROOT_USER,
        minio_password=root,
        minio_region=settings.common.region,  # the store refuses what another one signed
        minio_ssl=True,  # plain HTTP without it
        minio_cacert_file=trust_file(certificates.ca, settings.common.trust_path),
    )
    StoreContents(
        "store-contents",
        StoreContentsArgs(
            secrets=keys,
            noncurrent_days=settings.foundation.object_store.noncurrent_days,
            # GitLab itself deletes backups on its own disk only.
            kept_days={
                "backups": {
                    ACCESS["gitlab"]["backups"].rstrip("*"): settings.platform.gitlab.backup_days
                }
            },
            protect=settings.common.protect,
        ),
        pulumi.ResourceOptions(providers=[provider]),
    )
    return secret_map({name: {"access_key": name, "secret_key": key} for name, key in keys.items()})


def _vault(
    settings: Settings,
    base: Ground,
    certificates: Certificates,
    passwords: Passwords,
    store_key: pulumi.Output[str],
) -> pulumi.Output[dict[str, dict[str, str]]]:
    """Vault and its contents; the identities of the layers above."""
    own = passwords.make("vault-foundation")
    where = endpoints(settings)
    snapshots = None
    if settings.foundation.vault.machine is not None:
        snapshots = Snapshots(
            password=passwords.make("vault-snapshot"),
            endpoint=where["store"].inner_url,
            region=settings.common.region,
            access_key="vault",
            secret_key=store_key,
        )
    server = Vault(
        "vault",
        VaultArgs(
            settings=settings.foundation.vault,
            place=base.place,
            publish=base.publish,
            host=where["vault"].inner_host,
            password=own,
            ca=certificates.ca,
            certificate=certificates.leaves["vault"]["certificate"],
            key=certificates.leaves["vault"]["key"],
            snapshots=snapshots,
        ),
        base.options(),
    )
    provider = vault_provider(
        settings, certificates.ca, {"username": "foundation", "password": own}, server.ready
    )
    given: Mapping[str, pulumi.Output[str]] = {
        layer: passwords.make(f"vault-{layer}") for layer in IDENTITIES
    }
    VaultContents(
        "vault-contents",
        VaultContentsArgs(
            passwords={**given, **({SNAPSHOT: snapshots.password} if snapshots else {})},
            protect=settings.common.protect,
        ),
        pulumi.ResourceOptions(providers=[provider]),
    )
    return secret_map(
        {layer: {"username": layer, "password": value} for layer, value in given.items()}
    )
