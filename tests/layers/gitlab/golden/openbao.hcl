# The server, in a container and in an LXC alike. Secrets are not in here.
ui            = true
api_addr      = "https://vault.lab.home.arpa:8200"
cluster_addr  = "https://127.0.0.1:8201"
# raft maps its file into memory: with mlock all of it would stay there, and an unprivileged LXC
# may not lock memory at all. The machine has no swap instead.
disable_mlock = true

storage "raft" {
  path    = "/var/lib/vault/raft"
  node_id = "vault"
  # There is nobody else to wait for: the first election takes 2 s instead of 10.
  performance_multiplier = 1
}

listener "tcp" {
  address         = "0.0.0.0:8200"
  cluster_address = "127.0.0.1:8201"
  tls_cert_file   = "/etc/vault/tls.crt"
  tls_key_file    = "/etc/vault/tls.key"
}

# For bootstrap.sh, which asks for a root token with the unseal key: OpenBao takes that from nobody
# without a token by default, as anybody on the network could disturb it.
listener "tcp" {
  address         = "127.0.0.1:8202"
  cluster_address = "127.0.0.1:8203"
  tls_cert_file   = "/etc/vault/tls.crt"
  tls_key_file    = "/etc/vault/tls.key"
  disable_unauthed_generate_root_endpoints = false
}

# Five wrong passwords, which anybody can send without a token, would lock an identity for 15 minutes
# and stop the next `up` (#10). The passwords are long and random: no lock is needed against guesses.
# "all" is userpass and the other methods that lock, approle and ldap.
user_lockout "all" {
  disable_lockout = "true"
}

# OpenBao takes audit devices from here only; in Vault bootstrap.sh makes the same one. The log goes
# to the container's or the machine's journal, which rotate: a full disk would stop every request.
audit "file" "stdout" {
  options {
    file_path = "stdout"
  }
}
