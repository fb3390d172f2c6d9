# Layer 2: the login of GitLab's jobs, which needs GitLab, and the platform's own records.
path "sys/auth" {
  capabilities = ["read"]
}
path "sys/auth/jwt-gitlab" {
  capabilities = ["create", "read", "update", "delete", "sudo"]
}
path "sys/mounts/auth/jwt-gitlab" {
  capabilities = ["read"]
}
path "sys/mounts/auth/jwt-gitlab/tune" {
  capabilities = ["read", "update"]
}
path "sys/auth/jwt-gitlab/tune" {
  capabilities = ["read", "update", "sudo"]
}
path "auth/jwt-gitlab/config" {
  capabilities = ["create", "read", "update", "delete"]
}
path "kv/data/infra/platform/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "kv/metadata/infra/platform/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "auth/token/create" {
  capabilities = ["update"]
}
