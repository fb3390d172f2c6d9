# Layer 1: the key-value store, and an identity with a policy for each layer above. bootstrap.sh
# writes this policy; nobody else may change it.
path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/mounts/kv" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/mounts/kv/tune" {
  capabilities = ["read", "update"]
}
path "kv/config" {
  capabilities = ["create", "read", "update"]
}
path "sys/policies/acl/foundation" {
  capabilities = ["read"]
}
path "sys/policies/acl/platform" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/policies/acl/services" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/policies/acl/apps" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/policies/acl/snapshot" {
  capabilities = ["create", "read", "update", "delete"]
}
path "auth/userpass/users/platform" {
  capabilities = ["create", "read", "update", "delete"]
}
path "auth/userpass/users/services" {
  capabilities = ["create", "read", "update", "delete"]
}
path "auth/userpass/users/apps" {
  capabilities = ["create", "read", "update", "delete"]
}
path "auth/userpass/users/snapshot" {
  capabilities = ["create", "read", "update", "delete"]
}
path "kv/data/infra/foundation/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "kv/metadata/infra/foundation/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
# bootstrap.sh looks whether there is an audit device.
path "sys/audit" {
  capabilities = ["read", "sudo"]
}
# The provider works with a child of its login's token.
path "auth/token/create" {
  capabilities = ["update"]
}
