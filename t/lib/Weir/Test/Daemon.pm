package Weir::Test::Daemon;

# A running weir.  Made by Weir::Test's start_weir(); the API is in that file's POD.

use strict;
use warnings;
use Carp qw(croak);
use JSON::PP ();
use POSIX ();
use Scalar::Util qw(weaken);
use Time::HiRes qw(time sleep);

my $count = 0;

sub new {
    my ($class, $test, %o) = @_;
    my $n = $count++;
    my $self = bless { test => $test, log_file => $test->path("weir-$n.log"), args => $o{args} // [], env => $o{env} },
        $class;
    weaken($self->{test});
    $self->{config_file} = $o{file} // $test->path("weir-$n.yaml");
    $self->configure($o{config}) if defined $o{config};
    $self->read_config;
    $self->start;
    return $self;
}

sub start {
    my ($self) = @_;
    my $test = $self->{test};
    my $pid = fork // croak "fork: $!";
    if ($pid == 0) {
        Weir::Test::die_with_parent(POSIX::SIGTERM());
        alarm 0;
        $SIG{$_} = 'DEFAULT' for qw(ALRM TERM INT HUP PIPE);
        delete @ENV{qw(NOTIFY_SOCKET LISTEN_FDS LISTEN_PID WATCHDOG_USEC WATCHDOG_PID)};
        %ENV = (%ENV, %{ $self->{env} // {} });
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{log_file}.out";
        open STDERR, '>>', $self->{log_file};
        no warnings 'exec';
        exec $test->program('weir'), '-c', $self->{config_file}, @{ $self->{args} }
            or print STDERR 'exec ' . $test->program('weir') . ": $!\n";
        POSIX::_exit(127);
    }
    $test->{processes}{$pid} = 1;
    delete $self->{exit};
    $self->{pid} = $self->{started_pid} = $pid;
    return $self;
}

sub configure {
    my ($self, $text) = @_;
    $self->{test}->write($self->{config_file}, $text);
    $self->read_config;
    return $self;
}

# What the test must know of the configuration, read from its text.  What a broken one does not say stays as it runs.
sub read_config {
    my ($self) = @_;
    my $text = $self->{test}->read($self->{config_file});
    $self->{pid_file} = $1 if $text =~ /^\s*pid_file:\s*"?([^\s"]+)/m;
    $self->{control_socket} = $1 if $text =~ /control:\s*\{?\s*socket:\s*"?([^\s"}]+)/;
    $self->{stats_port} = $1 if $text =~ /stats:\s*\{?\s*listen:\s*"?[^\s"}]*?:(\d+)"?/;
    $self->{stats_port} = undef if $text =~ /stats:\s*\{?\s*listen:\s*"?off\b/;
    $self->{listen} = [ map { /"([^"\s]+:\d+)"/g } $text =~ /^\s*-?.*\blisten:\s*\[([^\n]*?:\d+"?)\]/mg ];
    return;
}

# The pid file is there, and the stats endpoint says that it is ready (or, without one, the listeners accept).
sub wait_ready {
    my ($self) = @_;
    my $test = $self->{test};
    eval {
        $test->wait_until(sub {
            die "weir ended with status $self->{exit}\n" if !$self->is_running;
            return 0 if defined $self->{pid_file} && !-s $self->{pid_file};
            return eval { $self->stats_get('/readyz')->{status} == 200 } if $self->{stats_port};
            for my $address (@{ $self->{listen} }) {
                my ($host, $port) = $address =~ /^\[?(.*?)\]?:(\d+)$/;
                $host = '127.0.0.1' if $host eq '*' || $host eq '0.0.0.0';
                $host = '::1' if $host eq '::';
                return 0 if !eval { $test->client($port, host => $host)->close; 1 };
            }
            return 1;
        }, 'weir is ready', 30);
        1;
    } or croak "weir did not start: $@" . $self->log;
    return $self;
}

sub pid { return $_[0]{pid} }
sub control_socket { return $_[0]{control_socket} }
sub stats_port { return $_[0]{stats_port} }
sub config_file { return $_[0]{config_file} }
sub log { my ($self) = @_; return $self->{test}->read($self->{log_file}) }

sub wait_log {
    my ($self, $re, $seconds) = @_;
    $self->{test}->wait_until(sub { $self->log =~ $re }, "the log has $re", $seconds);
    return $self->log;
}

sub signal {
    my ($self, $name) = @_;
    CORE::kill($name, $self->{pid}) or croak "kill $name $self->{pid}: $!";
    return $self;
}

sub is_running {
    my ($self) = @_;
    return 0 if defined $self->{exit};
    if ($self->{pid} != $self->{started_pid}) {
        # After an upgrade: orphaned processes become children of the test.
        waitpid $self->{pid}, POSIX::WNOHANG();
        return CORE::kill(0, $self->{pid});
    }
    my $got = waitpid $self->{pid}, POSIX::WNOHANG();
    return 1 if $got == 0;
    $self->{exit} = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    delete $self->{test}{processes}{ $self->{pid} };
    return 0;
}

sub wait_exit {
    my ($self, $seconds) = @_;
    $self->{test}->wait_until(sub { !$self->is_running }, 'weir ends', $seconds // 30);
    return $self->{exit};
}

sub stop { my ($self) = @_; $self->signal('TERM') if $self->is_running; return $self->wait_exit }
sub quit { my ($self) = @_; $self->signal('QUIT') if $self->is_running; return $self->wait_exit }
sub kill { my ($self) = @_; CORE::kill('KILL', $self->{pid}) if $self->is_running; return $self->wait_exit }

# After an upgrade (USR2): the pid file names the new master.
sub follow_pid_file {
    my ($self) = @_;
    my $old = $self->{pid};
    $self->{test}->wait_until(sub {
        my ($pid) = $self->{test}->read($self->{pid_file}) =~ /^(\d+)/;
        $self->{pid} = $pid if $pid;
        return $self->{pid} != $old;
    }, 'the pid file names a new master');
    return $self->{pid};
}

# --- stats ---

sub stats_get {
    my ($self, $path, %o) = @_;
    croak 'this configuration has no stats endpoint' if !$self->{stats_port};
    return $self->{test}->http_get($self->{stats_port}, $path, %o);
}

sub stats {
    my ($self) = @_;
    my $r = $self->stats_get('/stats.json');
    croak "/stats.json: status $r->{status}" if $r->{status} != 200;
    return JSON::PP->new->utf8->decode($r->{body});
}

sub metrics { return $_[0]->stats_get('/metrics')->{body} }

sub find_named {
    my ($list, $name) = @_;
    my ($found) = grep { $_->{name} eq $name } @{ $list // [] };
    return $found;
}

sub stats_listener { my ($self, $name) = @_; return find_named($self->stats->{listeners}, $name) }
sub stats_pool { my ($self, $name) = @_; return find_named($self->stats->{pools}, $name) }

sub stats_server {
    my ($self, $pool, $name) = @_;
    my $found = $self->stats_pool($pool) or return;
    return find_named($found->{servers}, $name);
}

sub wait_server {
    my ($self, $pool, $name, $state, $seconds) = @_;
    return $self->{test}->wait_until(sub {
        my $server = $self->stats_server($pool, $name);
        return $server && $server->{health} eq $state && $server;
    }, "server $name of pool $pool is $state", $seconds);
}

# --- reload ---

sub generation { return $_[0]->stats->{generation} }

sub reload {
    my ($self, $text) = @_;
    my $before = $self->generation;
    $self->configure($text) if defined $text;
    $self->signal('HUP');
    $self->{test}->wait_until(sub { (eval { $self->generation } // 0) > $before }, 'the new generation runs', 30);
    return $self;
}

sub reload_fails {
    my ($self, $text) = @_;
    my $before = $self->stats->{reload_failures};
    $self->configure($text) if defined $text;
    $self->signal('HUP');
    $self->{test}->wait_until(sub { $self->stats->{reload_failures} > $before }, 'the reload is refused', 30);
    return $self;
}

# --- processes ---

# Direct children of the master.
sub children {
    my ($self) = @_;
    my @pids;
    for my $stat (glob '/proc/[0-9]*/stat') {
        open my $in, '<', $stat or next;
        my $line = <$in> // next;
        my ($pid, $state, $parent) = $line =~ /^(\d+) \(.*\) (\S) (\d+)/s or next;
        push @pids, $pid if $parent == $self->{pid} && $state ne 'Z';
    }
    my @sorted = sort { $a <=> $b } @pids;
    return @sorted;
}

# The workers that accept clients; with an argument, those in that state (running, draining).
sub workers {
    my ($self, $state) = @_;
    return map { $_->{pid} } grep { $_->{state} eq ($state // 'running') } @{ $self->stats->{workers} };
}

# Called at the end of the test: an orderly stop, by force when that takes too long.
sub finish {
    my ($self) = @_;
    eval {
        $self->stop if $self->is_running;
        1;
    } and return;
    my @family = Weir::Test::descendants($self->{pid});
    CORE::kill('KILL', $self->{pid}, @family);
    eval { $self->wait_exit(5) };
    return;
}

1;
