#!/bin/sh
# GitLab's backup into the object store, and before it /etc/gitlab, which that does not contain:
# without the keys in gitlab-secrets.json a restored database cannot be read.
set -eu
# Readable by root alone; backup_keep_time counts for these, too.
gitlab-ctl backup-etc --delete-old-backups
set -- /etc/gitlab/config_backup/gitlab_config_*.tar # by their seconds, the last is the newest
shift $(($# - 1))
/opt/gitlab/embedded/bin/curl --silent --show-error --fail --retry 3 \
    --config /etc/datalab/store.curl --upload-file "$1"
# The registry's images are in the store already.
exec /opt/gitlab/bin/gitlab-backup create STRATEGY=copy SKIP=registry DIRECTORY=gitlab CRON=1
