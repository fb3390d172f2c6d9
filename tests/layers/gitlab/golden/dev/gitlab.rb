external_url "http://gitlab.lab.home.arpa:8929"
registry_external_url "http://localhost:5050"
letsencrypt['enable'] = false
# For the longest name that DNS knows; with 64, the default, nginx takes no more than 46 characters.
nginx['server_names_hash_bucket_size'] = 512

gitlab_rails['initial_root_password'] = "it\u0027s \"\#{exit}\" \#@x \\ \u00fc"
gitlab_rails['gitlab_shell_ssh_port'] = 2222
gitlab_rails['usage_ping_enabled'] = false
gitlab_rails['initial_gitlab_product_usage_data'] = false

# The registry's blobs are in the lab's object store.
registry['storage'] = {
  's3_v2' => {
    'accesskey' => "gitlab",
    'secretkey' => "s3cret",
    'bucket' => 'gitlab-registry',
    'region' => "eu-west-1",
    'regionendpoint' => "https://store.lab.home.arpa:9000",
    'pathstyle' => true,
    # Checksums that the store does not know made pushes fail (gitlab-org/container-registry#2309).
    'checksum_disabled' => true
  },
  'delete' => { 'enabled' => true },
  # A client would be sent to the store's own address, which containers and laptops need not know.
  'redirect' => { 'disable' => true }
}

# `gitlab-backup create DIRECTORY=gitlab` puts its archive there.
gitlab_rails['backup_keep_time'] = 1209600
gitlab_rails['backup_upload_connection'] = {
  'provider' => 'AWS',
  'region' => "eu-west-1",
  'aws_access_key_id' => "gitlab",
  'aws_secret_access_key' => "s3cret",
  'endpoint' => "https://store.lab.home.arpa:9000",
  'path_style' => true,
  'enable_signature_v4_streaming' => false
}
gitlab_rails['backup_upload_remote_directory'] = 'backups'

# For 4 cores and 8 GiB (GitLab's documentation, "Running GitLab in a memory-constrained
# environment"): one process serves the web, half of the background jobs run at a time, and nobody
# watches metrics.
puma['worker_processes'] = 0
# GitLab's own rules for these count the host's cores and take a quarter of the host's memory, which
# in a container are not what it may use (omnibus-gitlab, attributes/default.rb).
nginx['worker_processes'] = 2
postgresql['shared_buffers'] = '2048MB'
sidekiq['concurrency'] = 10
prometheus_monitoring['enable'] = false
gitlab_kas['enable'] = false
gitlab_rails['env'] = { 'MALLOC_CONF' => 'dirty_decay_ms:1000,muzzy_decay_ms:1000' }
gitaly['env'] = {
  'MALLOC_CONF' => 'dirty_decay_ms:1000,muzzy_decay_ms:1000',
  'GITALY_COMMAND_SPAWN_MAX_PARALLEL' => '2'
}
gitaly['configuration'] = {
  concurrency: [
    { rpc: '/gitaly.SmartHTTPService/PostReceivePack', max_per_repo: 3 },
    { rpc: '/gitaly.SSHService/SSHUploadPack', max_per_repo: 3 }
  ]
}
