# Deployments from the protected branch.
path "kv/data/infra/ci/deploy" {
  capabilities = ["read"]
}
path "kv/data/infra/ci/notes" {
  capabilities = ["read"]
}
