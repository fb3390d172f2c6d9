# Layer 4: its own records.
path "kv/data/infra/apps/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "kv/metadata/infra/apps/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "auth/token/create" {
  capabilities = ["update"]
}
