"""What the package cache serves where the settings do not say otherwise."""

from typing import Any

UBUNTU = {"kind": "apt", "url": "http://archive.ubuntu.com/ubuntu"}
ALPINE = {"kind": "apk", "url": "https://dl-cdn.alpinelinux.org/alpine"}
HASHICORP = {"kind": "apt", "url": "https://apt.releases.hashicorp.com"}
PULUMI = {"kind": "pulumi", "url": "https://get.pulumi.com/releases/plugins"}
# Where GitLab's archive sends for the files; another host would show as 502 in fetch.json.
GITLABS = ["https://d20rj4el6vkp4c.cloudfront.net", "https://storage.googleapis.com"]

DOCKER: dict[str, Any] = {
    "ubuntu": UBUNTU,
    "alpine": ALPINE,
    "hashicorp": HASHICORP,
    "pulumi": PULUMI,
}
PROXMOX: dict[str, Any] = {
    "ubuntu": UBUNTU,
    "alpine": ALPINE,
    # What has no url here has it in images.yaml.
    "docker": {"kind": "apt"},
    "gitlab": {"kind": "apt", "redirects": GITLABS},
    "gitlab-runner": {"kind": "apt", "redirects": GITLABS},
    "nvidia": {"kind": "apt"},
    "hashicorp": HASHICORP,
    # Hosts of images.yaml's downloads and keys; each comes this way where a url is its beginning.
    "hashicorp-releases": {"kind": "files", "url": "https://releases.hashicorp.com"},
    "nvidia-drivers": {"kind": "files", "url": "https://us.download.nvidia.com"},
    "nvidia-key": {"kind": "files", "url": "https://nvidia.github.io/libnvidia-container"},
    "gitlab-key": {"kind": "files", "url": "https://packages.gitlab.com", "redirects": GITLABS},
    "pulumi": PULUMI,
    "github": {  # providers that others publish, and silo
        "kind": "pulumi",
        "url": "https://github.com",
        "redirects": [
            "https://release-assets.githubusercontent.com",
            "https://objects.githubusercontent.com",
        ],
    },
    "docker-hub": {"kind": "oci", "url": "https://registry-1.docker.io", "registry": "docker.io"},
    "ghcr": {"kind": "oci", "url": "https://ghcr.io", "registry": "ghcr.io"},
}
