# Any project's job: its own records, its own requests, and how to reach the provisioner.
path "kv/data/projects/{{identity.entity.aliases.${accessor}.metadata.project_id}}/*" {
  capabilities = ["read"]
}
path "kv/data/projects/{{identity.entity.aliases.${accessor}.metadata.project_id}}/requests/*" {
  capabilities = ["create", "update", "read"]
}
path "kv/metadata/projects/{{identity.entity.aliases.${accessor}.metadata.project_id}}/requests/*" {
  capabilities = ["delete"]
}
path "kv/data/shared/*" {
  capabilities = ["read"]
}
