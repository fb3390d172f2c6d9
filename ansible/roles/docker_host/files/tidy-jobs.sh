#!/bin/sh
# Removes what CI jobs left in the engine: their containers and volumes, and images that no container
# uses. Nothing younger than AGE goes, as a job makes its things a moment before it uses them; an
# image that is gone is pulled again. Usage: datalab-tidy-jobs [AGE]
set -eu
limit=$(date --utc --date="${1:-24 hours} ago" +%FT%TZ)
mine=label=com.gitlab.gitlab-runner.managed=true # GitLab Runner's internal/labels/labels.go
docker container prune --force --filter "$mine" --filter "until=$limit"
# `docker volume prune` knows no age.
for volume in $(docker volume ls --quiet --filter dangling=true --filter "$mine"); do
    made=$(docker volume inspect --format '{{.CreatedAt}}' "$volume")
    if expr "$(date --utc --date="$made" +%FT%TZ)" '<=' "$limit" >/dev/null; then
        docker volume rm "$volume"
    fi
done
# What the lab builds for jobs stays: projects that may not pull it have it from here (docs/ci.md).
docker image prune --all --force --filter "until=$limit" --filter 'label!=org.datalab.keep'
