#!/usr/bin/perl
# Sockets that a service manager opens before weir runs.
use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();
use Socket qw(SOL_SOCKET SO_REUSEPORT);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($port, $other) = $t->ports(2);
my $a = $t->origin('a');

sub listening {
    my ($at, %o) = @_;
    return IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $at, Listen => 64, Proto => 'tcp',
        ReusePort => $o{reuse} // 1, ReuseAddr => 1) // die "port $at: $!";
}

my $config = $t->write('weir.yaml', $t->config(<<"CONFIG", workers => 3));
listeners: [{name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}]
pools: [{name: web, servers: [{name: a, address: "@{[ $a->address ]}"}]}]
CONFIG

# As systemd does it: descriptors from 3 on, and the environment.
sub activate {
    my ($log, %o) = @_;
    my @fds = map { ref $_ ? fileno $_ : $_ } @{ $o{sockets} };
    return $t->spawn(sub {
        my @high = map { POSIX::dup2($_, 100 + $_) } @fds;
        for my $i (0 .. $#high) {
            POSIX::dup2($high[$i], 3 + $i);
            POSIX::close($high[$i]);
        }
        $^F = 255;
        $ENV{LISTEN_FDS} = @fds;
        $ENV{LISTEN_PID} = $o{pid} // $$;
        exec $t->program('weir'), '-c', $config;
    }, $log);
}

subtest 'a socket that is configured' => sub {
    my $socket = listening($port);
    my $early = $t->client($port);
    $early->send("GET /early HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    my $pid = activate('log', sockets => [$socket]);
    like($early->response->{body}, qr/^a$/m, 'a client that came before weir is served');
    my $load = $t->load(port => $port, requests_per_connection => 1);
    $load->wait_ok(50);
    kill 'HUP', $pid;
    $t->wait_until(sub { $t->read('log') =~ /configuration 2 .* is in force/ }, 'a reload');
    $load->wait_ok(50);
    is($load->stop->{failed}, 0, 'all are served, over a reload too');
    is($t->end_process($pid, 'TERM'), 0, 'weir ends');
    my $waits = $t->client($port);
    ok($waits, 'the socket is still there: the next client waits');
    $pid = activate('log2', sockets => [$socket]);
    $waits->send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    is($waits->response->{status}, 200, 'for the next weir');
    kill 'USR2', $pid;
    my $new = $t->wait_until(sub { my ($n) = $t->read('run/weir.pid') =~ /^(\d+)$/; return $n && $n != $pid && $n }, 'an upgrade');
    is($t->reap($pid), 0, 'the old one ends');
    is($t->http_get($port, '/')->{status}, 200, 'the new one serves');
    kill 'QUIT', $new;
    $t->wait_until(sub { waitpid $new, POSIX::WNOHANG(); return !kill 0, $new }, 'a graceful end');
    $waits = $t->client($port);
    $waits->send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    $pid = activate('log2', sockets => [$socket]);
    is($waits->response->{status}, 200, 'after a graceful end too clients wait for the next one');
    is($t->end_process($pid, 'TERM'), 0, 'weir ends');
    $socket->close;
};

subtest 'others' => sub {
    my $socket = listening($other);
    my $pid = activate('log3', sockets => [$socket]);
    $t->wait_until(sub { eval { $t->http_get($port, '/')->{status} == 200 } }, 'weir serves its own address');
    pass('a socket that is not configured does not matter');
    is($t->end_process($pid, 'TERM'), 0, 'weir ends');

    $pid = activate('log4', sockets => [$socket], pid => 1);
    $t->wait_until(sub { eval { $t->http_get($port, '/')->{status} == 200 } }, 'weir serves');
    unlike($t->read('log4'), qr/service manager/, 'sockets for another process are not looked at');
    is($t->end_process($pid, 'TERM'), 0, 'weir ends');

    my $single = listening($t->port, reuse => 0);
    is($t->reap(activate('log5', sockets => [$single])), 1, 'one that workers cannot share: no start');
    like($t->read('log5'), qr/socket 1 of the service manager cannot be used: its socket unit needs ReusePort=yes/, 'and why');
    open my $file, '<', '/dev/null';
    is($t->reap(activate('log6', sockets => [ $socket, $file ])), 1, 'something else: no start');
    like($t->read('log6'), qr/socket 2 of the service manager cannot be used: neither TCP nor UDP/, 'and why');
};

done_testing;
