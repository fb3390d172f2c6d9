#!/bin/sh
# Runs access.rb with its secrets in the environment: GitLab's own user may not read their files.
set -eu
LAB_ROOT_PASSWORD=$(cat /etc/datalab/root-password)
LAB_TOKEN=$(cat /etc/datalab/token)
export LAB_ROOT_PASSWORD LAB_TOKEN
exec gitlab-rails runner /etc/datalab/access.rb
