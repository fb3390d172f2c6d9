"""The object store: the server, and what is in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_minio as minio

from places import Container, File, Health, Place, Port, Role, Workload
from settings import images
from settings.common import STORE_ROOT_USER
from settings.foundation.object_store import ObjectStore as ObjectStoreSettings

# Bucket -> whether it keeps old versions: for state and backups they are the only undo.
BUCKETS = {
    "pulumi-state": True,
    "gitlab-registry": False,
    "mlflow": False,
    "lakehouse": False,
    "backups": True,
    "vault-snapshots": True,
}
STATE = "state"  # the consumer that Pulumi itself is
# Consumer -> bucket -> what it may touch there.
ACCESS: Mapping[str, Mapping[str, str]] = {
    STATE: {"pulumi-state": "*"},
    "state-reader": {"pulumi-state": "*"},
    "gitlab": {"gitlab-registry": "*", "backups": "gitlab/*"},
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


@dataclass(frozen=True, kw_only=True)
class ObjectStoreArgs:
    """The server's settings, region, root password and certificate (PEM)."""

    settings: ObjectStoreSettings
    place: Place
    region: str
    publish: str  # the address that containers publish ports on
    root_password: pulumi.Input[str]
    ca: pulumi.Input[str]
    certificate: pulumi.Input[str]
    key: pulumi.Input[str]


class ObjectStore(pulumi.ComponentResource):
    """The S3 server; `ready` is known once it is healthy."""

    ready: pulumi.Output[str]

    def __init__(
        self, name: str, args: ObjectStoreArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:foundation:ObjectStore", name, None, opts)
        workload = Workload(
            container=_container(args),
            machine=args.settings.machine,
            roles=[_role(args)],
        )
        self.ready = args.place.run(self, name, workload)
        self.register_outputs({"ready": self.ready})


def _container(args: ObjectStoreArgs) -> Container | None:
    size = args.settings.container
    if size is None:
        return None
    return Container(
        image=images.image(args.settings.flavour),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        command=["server", "/data", "--console-address", ":9001", "--certs-dir", "/certs"],
        environment={
            "MINIO_ROOT_USER": STORE_ROOT_USER,
            "MINIO_ROOT_PASSWORD_FILE": "/run/secrets/root-password",
            "MINIO_SITE_REGION": args.region,
            # For the health check's own client, which needs no credentials for it.
            "MC_HOST_local": "https://localhost:9000",
        },
        files={
            "/certs/public.crt": File(content=args.certificate),
            "/certs/private.key": File(content=args.key, mode="0600"),
            "/certs/CAs/lab.crt": File(content=args.ca),
            "/run/secrets/root-password": File(content=args.root_password, mode="0600"),
        },
        # A first start may be killed: format.json is renamed into place (cmd/format-erasure.go).
        volumes={"store-data": "/data"},
        ports=[
            Port(inside=9000, outside=args.settings.port, address=args.publish),
            Port(inside=9001, outside=args.settings.console_port, address=args.publish),
        ],
        # --insecure: it asks by the name localhost before it knows the lab's CA.
        health=Health(test=("CMD", "mc", "--insecure", "ready", "local")),
    )


def _role(args: ObjectStoreArgs) -> Role:
    return Role(
        name="object_store",
        variables={
            "object_store_flavour": args.settings.flavour,
            "object_store_download": images.download(args.settings.flavour).model_dump(),
            "object_store_port": args.settings.port,
            "object_store_console_port": args.settings.console_port,
            "object_store_region": args.region,
            "object_store_root_user": STORE_ROOT_USER,
            "object_store_root_password": args.root_password,
            "object_store_certificate": args.certificate,
            "object_store_key": args.key,
            "object_store_ca": args.ca,
        },
    )


@dataclass(frozen=True, kw_only=True)
class StoreContentsArgs:
    """secrets: consumer -> its secret key. noncurrent_days: how long old versions are kept.

    kept_days: bucket -> prefix of keys -> how long objects are kept, before they are old versions;
    only of buckets with versions.
    """

    secrets: Mapping[str, pulumi.Output[str]]
    noncurrent_days: int
    kept_days: Mapping[str, Mapping[str, int]]
    protect: bool


class StoreContents(pulumi.ComponentResource):
    """Buckets, and for each consumer a user that may touch its own bucket and nothing else."""

    def __init__(
        self, name: str, args: StoreContentsArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:foundation:StoreContents", name, None, opts)
        for bucket, versioned in BUCKETS.items():
            made = minio.S3Bucket(
                f"{bucket}-bucket",
                bucket=bucket,
                acl="private",
                opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
            )
            if versioned:
                self._keep_versions(bucket, args, made)
        for consumer, secret in args.secrets.items():
            # With the state in this store, the engine could not write down that its own user went.
            lasting = args.protect and consumer == STATE
            child = pulumi.ResourceOptions(parent=self, protect=lasting)
            user = minio.IamUser(f"{consumer}-user", name=consumer, secret=secret, opts=child)
            policy = minio.IamPolicy(
                f"{consumer}-policy",
                name=consumer,
                policy=json.dumps(access_policy(consumer)),
                opts=child,
            )
            minio.IamUserPolicyAttachment(
                f"{consumer}-access", user_name=user.name, policy_name=policy.name, opts=child
            )
        self.register_outputs({})

    def _keep_versions(self, bucket: str, args: StoreContentsArgs, made: minio.S3Bucket) -> None:
        after = pulumi.ResourceOptions(parent=self, depends_on=[made])
        versioning = minio.S3BucketVersioning(
            f"{bucket}-versioning",
            bucket=bucket,
            versioning_configuration=minio.S3BucketVersioningVersioningConfigurationArgs(
                status="Enabled"
            ),
            opts=after,
        )
        minio.IlmPolicy(
            f"{bucket}-lifecycle",
            bucket=bucket,
            rules=[
                minio.IlmPolicyRuleArgs(
                    id="old-versions",
                    noncurrent_version_expiration_days=args.noncurrent_days,
                ),
                *(
                    minio.IlmPolicyRuleArgs(
                        id=f"expire-{prefix.rstrip('/')}", filter=prefix, expiration=f"{days}d"
                    )
                    for prefix, days in sorted(args.kept_days.get(bucket, {}).items())
                ),
            ],
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[versioning],
                # The provider's update hides its errors (aminueza minioUpdateILMPolicy), and
                # backups would go by the old days; its creation does not. Meanwhile nothing goes.
                replace_on_changes=["rules"],
                delete_before_replace=True,
            ),
        )


def access_policy(consumer: str) -> dict[str, object]:
    """The IAM policy of a consumer of ACCESS."""
    buckets = ACCESS[consumer]
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
                "Action": sorted(READ if consumer in READERS else READ + WRITE),
                "Resource": [f"arn:aws:s3:::{bucket}/{part}" for bucket, part in buckets.items()],
            },
            {
                # A restricted account could mint an unrestricted one (CVE-2025-62506).
                "Effect": "Deny",
                "Action": ["admin:CreateServiceAccount"],
            },
        ],
    }
