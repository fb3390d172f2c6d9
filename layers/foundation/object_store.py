"""The object store: the server, and what is in it."""

import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_minio as minio

from layers.context import Component, LayerContext
from settings import images
from settings.foundation.object_store import BUCKETS, ROOT_USER, user
from settings.foundation.object_store import ObjectStore as Settings
from settings.platform.gitlab import GitLab
from targets import Container, File, Health, Role, Workload

# GitLab itself deletes backups on its own disk only, so the store does it here.
BACKUPS = "gitlab/*"
STATE = "state"  # the consumer that Pulumi itself is
# Consumer -> bucket -> what it may touch there.
ACCESS: Mapping[str, Mapping[str, str]] = {
    STATE: {"pulumi-state": "*"},
    "state-reader": {"pulumi-state": "*"},
    "gitlab": {"gitlab-registry": "*", "backups": BACKUPS},
    "mlflow": {"mlflow": "*"},
    "lakehouse": {"lakehouse": "*"},
    "backup": {"backups": "*"},
    "vault": {"vault-snapshots": "*"},
}
# Consumers that change nothing: previews take no lock and write no history, so they need no more.
READERS = frozenset({"state-reader"})
READ = ("s3:GetObject",)
WRITE = (
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
)


class ObjectStore(Component):
    """The S3 server; `ready` is known once it is healthy."""

    TYPE = "datalab:foundation:ObjectStore"

    ready: pulumi.Output[str]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        workload = Workload(
            container=_container(context),
            machine=context.get(Settings).machine,
            roles=[_role(context)],
        )
        self.ready = context.place(self, name, workload)
        self.register_outputs({"ready": self.ready})


def _container(context: LayerContext) -> Container | None:
    settings, server = context.get(Settings), context.certificate("store")
    size = settings.container
    if size is None:
        return None
    return Container(
        image=context.image(Settings),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        command=["server", "/data", "--console-address", ":9001", "--certs-dir", "/certs"],
        environment={
            "MINIO_ROOT_USER": ROOT_USER,
            "MINIO_ROOT_PASSWORD_FILE": "/run/secrets/root-password",
            "MINIO_SITE_REGION": context.settings.common.region,
            # For the health check's own client, which needs no credentials for it.
            "MC_HOST_local": "https://localhost:9000",
        },
        files={
            "/certs/public.crt": File(content=server["certificate"]),
            "/certs/private.key": File(content=server["key"], mode="0600"),
            "/certs/CAs/lab.crt": File(content=context.ca),
            "/run/secrets/root-password": File(
                content=context.secret("object-store-root"), mode="0600"
            ),
        },
        # A first start may be killed: format.json is renamed into place (cmd/format-erasure.go).
        capabilities=(),
        volumes={"store-data": "/data"},
        ports=[*context.ports("store"), *context.ports("store-console")],
        # --insecure: it asks by the name localhost before it knows the lab's CA.
        health=Health(test=("CMD", "mc", "--insecure", "ready", "local")),
    )


def _role(context: LayerContext) -> Role:
    settings, server = context.get(Settings), context.certificate("store")
    return Role(
        name="object_store",
        variables={
            "object_store_flavour": settings.flavour,
            "object_store_download": images.download(settings.flavour).model_dump(),
            "object_store_port": settings.port,
            "object_store_console_port": settings.console_port,
            "object_store_region": context.settings.common.region,
            "object_store_root_user": ROOT_USER,
            "object_store_root_password": context.secret("object-store-root"),
            "object_store_certificate": server["certificate"],
            "object_store_key": server["key"],
            "object_store_ca": context.ca,
        },
    )


class StoreContents(Component):
    """Buckets, and for each consumer a user that may touch its own bucket and nothing else."""

    TYPE = "datalab:foundation:StoreContents"
    NAME = "store-contents"

    @classmethod
    def providers(cls, context: LayerContext) -> Sequence[pulumi.ProviderResource]:
        """The store's own, once it answers."""
        store, endpoint = context.component(ObjectStore), context.endpoint("store")
        provider = minio.Provider(
            "minio",
            minio_server=store.ready.apply(lambda _: endpoint.reached),
            minio_user=ROOT_USER,
            minio_password=context.secret("object-store-root"),
            minio_region=context.settings.common.region,  # it refuses what another one signed
            minio_ssl=True,  # plain HTTP without it
            minio_cacert_file=context.trust,
        )
        return [provider]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        own = context.get(Settings).buckets
        kept = {"backups": {BACKUPS.rstrip("*"): context.get(GitLab).backup_days}}
        kept |= {
            b: {"": wanted.retention_days} for b, wanted in own.items() if wanted.retention_days
        }
        for bucket in (*BUCKETS, *own):
            versioned = own[bucket].versioning if bucket in own else BUCKETS[bucket]
            made = minio.S3Bucket(
                f"{bucket}-bucket",
                bucket=bucket,
                acl="private",
                # Protected, so it goes by `down --data` only, which failed where it had objects
                # (aminueza minioDeleteBucket).
                force_destroy=True,
                opts=pulumi.ResourceOptions(parent=self, protect=context.protect),
            )
            if versioned or bucket in kept:
                self._keep(bucket, context, kept.get(bucket, {}), made, versioned=versioned)
        for consumer, buckets in access(context.get(Settings)).items():
            # With the state in this store, the engine could not write down that its own user went.
            lasting = context.protect and consumer == STATE
            child = pulumi.ResourceOptions(parent=self, protect=lasting)
            made_user = minio.IamUser(
                f"{consumer}-user", name=consumer, secret=key(context, consumer), opts=child
            )
            made_policy = minio.IamPolicy(
                f"{consumer}-policy",
                name=consumer,
                policy=json.dumps(policy(buckets, READ if consumer in READERS else READ + WRITE)),
                opts=child,
            )
            minio.IamUserPolicyAttachment(
                f"{consumer}-access",
                user_name=made_user.name,
                policy_name=made_policy.name,
                opts=child,
            )
        self.register_outputs({})

    def _keep(
        self,
        bucket: str,
        context: LayerContext,
        kept: Mapping[str, int],
        made: minio.S3Bucket,
        *,
        versioned: bool,
    ) -> None:
        """Keep old versions, or objects, for their time; `kept` has the days of each prefix."""
        settings = context.get(Settings)
        after: list[pulumi.Resource] = [made]
        if versioned:
            versioning = minio.S3BucketVersioning(
                f"{bucket}-versioning",
                bucket=bucket,
                versioning_configuration=minio.S3BucketVersioningVersioningConfigurationArgs(
                    status="Enabled"
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=after),
            )
            after = [versioning]
        minio.IlmPolicy(
            f"{bucket}-lifecycle",
            bucket=bucket,
            rules=[
                *(
                    minio.IlmPolicyRuleArgs(
                        id="old-versions",
                        noncurrent_version_expiration_days=settings.noncurrent_days,
                    )
                    for _ in range(versioned)
                ),
                *(
                    minio.IlmPolicyRuleArgs(
                        id=f"expire-{prefix.rstrip('/')}" if prefix else "expire",
                        filter=prefix or None,
                        expiration=f"{days}d",
                    )
                    for prefix, days in sorted(kept.items())
                ),
            ],
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=after,
                # The provider's update hides its errors (aminueza minioUpdateILMPolicy), and
                # backups would go by the old days; its creation does not. Meanwhile nothing goes.
                replace_on_changes=["rules"],
                delete_before_replace=True,
            ),
        )


def access(settings: Settings) -> dict[str, Mapping[str, str]]:
    """Every consumer, the users of buckets of one's own among them, and what it may touch."""
    return {**ACCESS, **{user(bucket): {bucket: "*"} for bucket in settings.buckets}}


def key(context: LayerContext, consumer: str) -> pulumi.Output[str]:
    """The secret key of a consumer."""
    return context.secret(f"object-store-{consumer}" if consumer in ACCESS else consumer)


def access_policy(consumer: str) -> dict[str, object]:
    """The IAM policy of a consumer of ACCESS."""
    return policy(ACCESS[consumer], READ if consumer in READERS else READ + WRITE)


def policy(buckets: Mapping[str, str], actions: Sequence[str]) -> dict[str, object]:
    """The IAM policy of who may do this with a part of each bucket."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [
                    "s3:GetBucketLocation",
                    "s3:ListBucket",
                    "s3:ListBucketMultipartUploads",
                ],
                "Resource": [f"arn:aws:s3:::{bucket}" for bucket in buckets],
            },
            {
                "Effect": "Allow",
                "Action": sorted(actions),
                "Resource": [f"arn:aws:s3:::{bucket}/{part}" for bucket, part in buckets.items()],
            },
            {
                # A restricted account could mint an unrestricted one (CVE-2025-62506).
                "Effect": "Deny",
                "Action": ["admin:CreateServiceAccount"],
            },
        ],
    }


COMPONENT = ObjectStore
