"""Layer 2: the Docker host, GitLab, its runner."""
