# Any project's job: its own records, its own requests, and how to reach the provisioner.
path "kv/data/projects/{{identity.entity.aliases.${accessor}.metadata.project_id}}/*" {
  capabilities = ["read"]
}
path "kv/data/projects/{{identity.entity.aliases.${accessor}.metadata.project_id}}/requests/*" {
  capabilities = ["create", "update", "read"]
}
path "kv/metadata/projects/{{identity.entity.aliases.${accessor}.metadata.project_id}}/requests/*" {
  # To say when a request goes by itself, before it is written.
  capabilities = ["create", "update", "delete"]
}
path "kv/data/shared/*" {
  capabilities = ["read"]
}
