# The machine itself, each night (snapshot.sh): everything, as sealed as it is on disk.
path "sys/storage/raft/snapshot" {
  capabilities = ["read"]
}
