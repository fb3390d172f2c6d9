# Previews in merge requests. Whoever may push a branch can read what this policy gives.
path "kv/data/infra/ci/preview" {
  capabilities = ["read"]
}
path "kv/data/infra/ci/notes" {
  capabilities = ["read"]
}
