# Users that Vault makes in the project's databases. The hyphen ends the id: 4 is not 42.
path "database/creds/project-{{identity.entity.aliases.${accessor}.metadata.project_id}}-*" {
  capabilities = ["read"]
}
