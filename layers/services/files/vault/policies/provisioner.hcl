# The lab's provisioning jobs: they read what projects ask for and write what projects get.
path "kv/data/projects/+/requests/+" {
  # To write the outcome beside what was asked, for the job that waits.
  capabilities = ["read", "update"]
}
path "kv/data/projects/+/postgres/+" {
  capabilities = ["create", "update", "read"]
}
path "kv/data/projects/+/postgres-roles/+" {
  capabilities = ["create", "update", "read"]
}
path "kv/data/projects/+/postgres-dynamic/+" {
  capabilities = ["create", "update", "read"]
}
path "kv/data/projects/+/kafka/+" {
  capabilities = ["create", "update", "read"]
}
# A model's name has up to two slashes.
path "kv/data/projects/+/ollama/*" {
  capabilities = ["create", "update", "read"]
}
path "kv/data/infra/provision/*" {
  capabilities = ["read"]
}
path "kv/data/infra/provision/claims/*" {
  capabilities = ["create", "update", "read"]
}
# One of two names that go together is given back where the other was lost.
path "kv/metadata/infra/provision/claims/*" {
  capabilities = ["delete"]
}
path "database/roles/project-*" {
  capabilities = ["create", "update", "read"]
}
