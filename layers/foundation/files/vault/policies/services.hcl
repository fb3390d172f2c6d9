# Layer 3: what CI jobs may do (layers/services/ci_access.py), PostgreSQL's users, and the records
# that both work with. Whoever is `services` decides which policies a job's login gets.
path "auth/jwt-gitlab/role/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/policies/acl/ci-*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/policies/acl/project" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/policies/acl/project-*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/policies/acl/provisioner" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/mounts/database" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/mounts/database/tune" {
  capabilities = ["read", "update"]
}
path "database/config/postgres" {
  capabilities = ["create", "read", "update", "delete"]
}
path "kv/data/infra/services/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "kv/metadata/infra/services/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "kv/data/infra/provision/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "kv/metadata/infra/provision/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "kv/data/infra/ci/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "kv/metadata/infra/ci/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "kv/data/shared/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "kv/metadata/shared/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "auth/token/create" {
  capabilities = ["update"]
}
