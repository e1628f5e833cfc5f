#!/usr/bin/env ruby
# jobs.rb - a job log: what was asked for and what was done, and so what is left to do
#
#     jobs.rb DIR add            takes jobs in, one from each line of the standard input
#     jobs.rb DIR work [SECONDS] does what is left, one job after the other; each takes that long
#     jobs.rb DIR list           shows every job and its state, also beside a worker
#
# A job is done once it is written down that it is. A worker that is killed in the middle of one does that one again; it
# never forgets one, and never does one again that was written down.
#
# SPDX-License-Identifier: MIT
begin
  require "walrus"
rescue LoadError # not installed: take the one of this source tree
  require_relative "../../bindings/ruby/walrus"
end

# Entries are "add TEXT", whose index is the job's number, and "done NUMBER".
class Jobs
  def initialize(log)
    @log = log
    @jobs = {} # number => [text, state]
    log.each { |entry| replay(entry) }
  end

  def add(text)
    number = @log.append("add #{text}")
    @jobs[number] = [text, "waits"]
    puts "job #{number}: #{text}"
  end

  def work(seconds)
    @jobs.each do |number, job|
      next if job[1] == "done"

      puts "doing #{number}: #{job[0]}"
      sleep seconds # the job itself
      @log.append("done #{number}")
      job[1] = "done"
    end
  end

  def list
    @jobs.each { |number, (text, state)| puts "#{number} #{state}: #{text}" }
  end

  private

  def replay(entry)
    verb, rest = entry.data.force_encoding(Encoding::UTF_8).split(" ", 2)
    case verb
    when "add" then @jobs[entry.index] = [rest, "waits"]
    when "done" then @jobs[Integer(rest)][1] = "done"
    end
  end
end

$stdout.sync = true
directory, command, seconds = ARGV
unless directory && %w[add work list].include?(command)
  abort "usage: jobs.rb DIR add | work [SECONDS] | list"
end

begin
  Walrus.open(directory, read_only: command == "list") do |log|
    report = log.recovery_report
    warn "jobs: #{report.message}" unless report.reason == :clean || command == "list"
    jobs = Jobs.new(log)
    case command
    when "add" then $stdin.each_line(chomp: true) { |line| jobs.add(line) }
    when "work" then jobs.work(Float(seconds || 0))
    when "list" then jobs.list
    end
  end
rescue Walrus::LockedError
  abort "jobs: another worker has #{directory} open: wait until it ends, or stop it"
rescue Walrus::Error => error
  abort "jobs: #{error.message}"
rescue ArgumentError
  abort "jobs: #{seconds} is no number of seconds"
rescue Interrupt
  exit 130 # what was done is written down
end
