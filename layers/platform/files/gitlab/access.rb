# Gives GitLab's administrator the password and the API token that Pulumi made. Run by
# `gitlab-rails runner` with LAB_ROOT_PASSWORD and LAB_TOKEN in the environment; says what it
# changed, and nothing when all is as it should be.

NAME = 'datalab'
SCOPES = %w[api read_repository write_repository read_registry write_registry].freeze
# GitLab refuses an expiry over a year away; each run moves it when less than half is left.
DAYS = 360

root = User.find_by_username('root') or abort 'there is no user root'
password = ENV.fetch('LAB_ROOT_PASSWORD')
token = ENV.fetch('LAB_TOKEN')

unless root.valid_password?(password)
  root.password = password
  root.password_confirmation = password
  root.password_automatically_set = false
  root.save!
  puts 'set the password of root'
end

expiry = Date.today + DAYS
found = PersonalAccessToken.find_by_token(token)
abort 'the API token belongs to another user' if found && found.user_id != root.id

if found.nil? || found.revoked? || found.scopes.map(&:to_s).sort != SCOPES.sort
  root.personal_access_tokens.where(name: NAME).each { |old| old.revoke! unless old.revoked? }
  found&.delete
  made = root.personal_access_tokens.build(name: NAME, scopes: SCOPES, expires_at: expiry)
  made.set_token(token)
  made.save!
  puts 'set the API token'
elsif found.expires_at.nil? || found.expires_at < Date.today + (DAYS / 2)
  found.update!(expires_at: expiry)
  puts 'prolonged the API token'
end
