"""An artifact store plugin for MLflow: S3 by way of the server alone.

With its own S3 repository the server (3.17.2) tells clients to fetch artifacts at presigned
addresses of the object store. Those are names of the containers' network, under a certificate that
no client has: downloads hang. What can neither presign nor split uploads is not offered.
"""

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository


class ProxiedS3(ArtifactRepository):
    """Artifacts at proxied-s3://BUCKET/PATH, which is s3://BUCKET/PATH to the server."""

    def __init__(self, artifact_uri, tracking_uri=None, registry_uri=None):
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._store = S3ArtifactRepository(artifact_uri.removeprefix("proxied-"))

    def log_artifact(self, local_file, artifact_path=None):
        """Store one file."""
        self._store.log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir, artifact_path=None):
        """Store a folder."""
        self._store.log_artifacts(local_dir, artifact_path)

    def list_artifacts(self, path=None):
        """What is in a folder."""
        return self._store.list_artifacts(path)

    def _download_file(self, remote_file_path, local_path):
        self._store._download_file(remote_file_path, local_path)

    def delete_artifacts(self, artifact_path=None):
        """Remove a file or folder."""
        self._store.delete_artifacts(artifact_path)
