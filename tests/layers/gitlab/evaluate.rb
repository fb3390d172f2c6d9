# Evaluates a gitlab.rb as Omnibus does, and prints what it set as JSON.
require 'json'

# Names of gitlab.rb that are functions; every other name is a hash of settings.
class Configuration
  attr_reader :set

  def initialize
    @set = {}
  end

  def external_url(url)
    @set['external_url'] = url
  end

  def registry_external_url(url)
    @set['registry_external_url'] = url
  end

  def method_missing(name, *arguments)
    raise ArgumentError, "#{name} unknown setting" unless arguments.empty?

    @set[name.to_s] ||= {}
  end

  def respond_to_missing?(*)
    true
  end
end

configuration = Configuration.new
configuration.instance_eval($stdin.read, 'gitlab.rb')
puts JSON.generate(configuration.set)
