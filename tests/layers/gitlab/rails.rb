# As much of GitLab as access.rb uses, over a world in a JSON file.
require 'date'
require 'json'

WORLD = JSON.parse(File.read(ENV.fetch('WORLD')))
# Every change is there at once; the process dies after as many as KILL_AT says.
def changed
  File.write(ENV.fetch('WORLD'), JSON.generate(WORLD))
  $changes = ($changes || 0) + 1
  Process.kill('KILL', Process.pid) if $changes == ENV['KILL_AT'].to_i
end

# The administrator.
class User
  attr_writer :password, :password_confirmation, :password_automatically_set

  def self.find_by_username(name)
    new if WORLD['users'].include?(name)
  end

  def id = 1
  def valid_password?(text) = WORLD['password'] == text

  def save!
    raise 'passwords differ' unless @password == @password_confirmation

    WORLD['password'] = @password
    changed
  end

  def personal_access_tokens = Tokens
end

# Rows of the table of tokens.
module Tokens
  def self.where(name:) = WORLD['tokens'].select { |t| t['name'] == name }.map { |t| PersonalAccessToken.new(t) }

  def self.build(name:, scopes:, expires_at:)
    PersonalAccessToken.new('name' => name, 'scopes' => scopes, 'expires_at' => expires_at.to_s, 'user' => 1)
  end
end

# One token.
class PersonalAccessToken
  def self.find_by_token(text)
    row = WORLD['tokens'].find { |t| t['token'] == text }
    row && new(row)
  end

  def initialize(row)
    @row = row
  end

  def user_id = @row['user']
  def revoked? = @row['revoked'] || false
  def scopes = @row['scopes'].map(&:to_sym)
  def expires_at = @row['expires_at'] && Date.parse(@row['expires_at'])

  def revoke!
    @row['revoked'] = true
    changed
  end

  def delete
    WORLD['tokens'].delete(@row)
    changed
  end

  def update!(expires_at:)
    @row['expires_at'] = expires_at.to_s
    changed
  end

  def set_token(text)
    @row['token'] = text
  end

  def save!
    raise 'has already been taken' if WORLD['tokens'].any? { |t| t['token'] == @row['token'] }
    raise 'expires too late' if expires_at > Date.today + 365

    WORLD['tokens'] << @row
    changed
  end
end

load ARGV.fetch(0)
