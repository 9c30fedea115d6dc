#!/usr/bin/perl
# The connections of health checks: how they end, those that serve several checks, and when checks begin.
use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $port = $t->port;

sub config {
    my ($health, @servers) = @_;
    my $list = join '', map { "      - {name: $_->{name}, address: \"@{[ $_->address ]}\"}\n" } @servers;
    return $t->config(<<"CONFIG", level => 'debug');
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
pools:
  - name: web
    health: {interval: 100ms, timeout: 20s, rise: 1, fall: 1, $health}
    servers:
$list
CONFIG
}

sub failed { my ($weir, $name) = @_; return $weir->stats_server('web', $name)->{checks_failed} }

subtest 'a connection for each check' => sub {
    my $a = $t->origin('each');
    my $weir = $t->start_weir(config => config('type: http', $a));
    $a->wait_requests(5);
    my ($request) = $a->requests;
    is($request->{headers}{connection}, 'close', 'it is said');
    my @connections = map { $_->{connection} } $a->requests;
    is_deeply(\@connections, [ 1 .. @connections ], 'none serves two');
    is(failed($weir, 'each'), 0, 'none fails');
    is($weir->stop, 0, 'weir ends');
};

subtest 'a TCP check leaves nothing behind' => sub {
    my $a = $t->tcp_server('quiet', sub { $_[0]->read_until_close });
    my $weir = $t->start_weir(config => config('type: tcp', $a));
    $t->wait_until(sub { $weir->stats_server('web', 'quiet')->{checks_ok} >= 10 }, 'ten checks over sockets that are used again');
    my $hex = sprintf '0100007F:%04X', $a->port;
    my @waiting = grep { my @f = split; ($f[2] // '') eq $hex && $f[3] eq '06' } split /\n/, $t->read('/proc/net/tcp');
    is(scalar @waiting, 0, 'no connection waits in TIME_WAIT');
    is(failed($weir, 'quiet'), 0, 'none fails');
    $a->stop;
    is($weir->wait_server('web', 'quiet', 'down')->{last_check}, 'connection refused', 'a socket that was used before tells a refusal');
    $a->start;
    is($weir->wait_server('web', 'quiet', 'up')->{last_check}, 'connected', 'and one that was refused an acceptance');
    is($weir->stop, 0, 'weir ends');
};

subtest 'one connection for several checks' => sub {
    my $a = $t->origin('kept');
    my $weir = $t->start_weir(config => config('type: http, keepalive: 1h', $a));
    $a->wait_requests(8);
    my @requests = $a->requests;
    is_deeply([ map { $_->{connection} } @requests ], [ (1) x @requests ], 'all over the first');
    is($requests[1]{headers}{connection}, 'keep-alive', 'it is said');
    is($weir->stats_server('web', 'kept')->{last_check}, '200', 'with the same result');
    # The server ends it between two checks, and goes on.
    $a->stop;
    $weir->wait_server('web', 'kept', 'down');
    $a->start;
    $weir->wait_server('web', 'kept', 'up');
    my $count = $a->forget->connection_count;
    $a->wait_requests(5);
    is($a->connection_count, $count, 'a new one is kept in its place');
    is($weir->stop, 0, 'weir ends');
};

# One byte more: who reads sees whole ones.
sub append {
    my ($file) = @_;
    open my $out, '>>', $t->path($file) or die "$file: $!";
    print $out '.';
    close $out or die "$file: $!";
    return;
}

# What each server answers; whether one connection serves several checks.
my @kept = (
    [ 'chunks', "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1 ],
    [ 'nothing', "Content-Length: 0\r\n\r\n", 1 ],
    [ 'close', "Connection: close\r\nContent-Length: 2\r\n\r\nok", 0 ],
    [ 'until-close', "\r\nok", 0 ],
    [ 'excess', "Content-Length: 1\r\n\r\nok", 0 ],
    [ 'unfinished', "Content-Length: 3\r\n\r\nok", 0 ],
    [ 'bad-chunk', "Transfer-Encoding: chunked\r\n\r\nx\r\n", 0 ],
);

subtest 'what ends a kept connection' => sub {
    my @servers = map {
        my ($name, $answer) = @$_;
        $t->tcp_server($name, sub {
            my ($conn) = @_;
            my $served = 0;
            while ($conn->read_match(qr/\r\n\r\n/)) {
                append("$name.again") if $served++ > 0;
                $conn->send("HTTP/1.1 200 OK\r\n$answer");
            }
        });
    } @kept;
    $t->write("$_->[0].again", '') for @kept;
    my $weir = $t->start_weir(config => config('type: http, keepalive: 1h', @servers));
    for my $case (@kept) {
        my ($name, undef, $again) = @$case;
        $t->wait_until(sub { $weir->stats_server('web', $name)->{checks_ok} >= 4 }, "four checks of $name");
        if ($again) {
            ok($t->wait_until(sub { (-s $t->path("$name.again") || 0) >= 3 }, "$name is asked again"), "$name: a connection serves several checks");
        } else {
            is(-s $t->path("$name.again") || 0, 0, "$name: a connection serves one check");
        }
        is(failed($weir, $name), 0, "$name: all pass");
    }
    is($weir->stop, 0, 'weir ends');
};

subtest 'a server that ends kept connections is not down for that' => sub {
    my $a = $t->tcp_server('impatient', sub {
        my ($conn) = @_;
        # The second request on a connection meets its end, as if it had crossed it on the way.
        $conn->read_match(qr/\r\n\r\n/);
        $conn->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        $conn->read_match(qr/\r\n\r\n/);
        $conn->reset;
    });
    my $weir = $t->start_weir(config => config('type: http, keepalive: 1h', $a));
    $t->wait_until(sub { $weir->stats_server('web', 'impatient')->{checks_ok} >= 6 }, 'six checks');
    is(failed($weir, 'impatient'), 0, 'the check is made over a new connection');
    is($weir->stop, 0, 'weir ends');

    my $b = $t->tcp_server('half', sub {
        my ($conn) = @_;
        $conn->read_match(qr/\r\n\r\n/);
        $conn->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        $conn->read_match(qr/\r\n\r\n/);
        $conn->send("HTTP/1.1 50");
        $conn->end_sending;
        $conn->read_until_close;
    });
    $weir = $t->start_weir(config => config('type: http, keepalive: 1h', $b));
    $weir->wait_log(qr/server half: health check failed: truncated response/);
    pass('one that begins an answer and breaks off has failed');
    is($weir->stop, 0, 'weir ends');
};

subtest 'a server that accepts nothing new is noticed in time' => sub {
    my $a = $t->tcp_server('closing', sub {
        my ($conn) = @_;
        while ($conn->read_match(qr/\r\n\r\n/)) {
            $conn->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    my $weir = $t->start_weir(config => config('type: http, keepalive: 500ms', $a));
    $t->wait_until(sub { $weir->stats_server('web', 'closing')->{checks_ok} >= 12 }, 'checks go on');
    cmp_ok($a->connection_count, '>=', 2, 'a connection that is old enough gives way to a new one');
    is(failed($weir, 'closing'), 0, 'without a failure');
    is($weir->stop, 0, 'weir ends');
};

subtest 'checks do not march in step' => sub {
    my $a = $t->origin('paced');
    my @many = map { my $s = bless { %$a, name => "s$_" }, ref $a; $s } 1 .. 40;
    my $weir = $t->start_weir(config => config('type: http, path: /step', @many));
    $t->wait_until(sub { !grep { $_->{checks_ok} < 20 } @{ $weir->stats_pool('web')->{servers} } }, 'twenty checks of each');
    my %count = map { $_->{checks_ok} => 1 } @{ $weir->stats_pool('web')->{servers} };
    cmp_ok(scalar keys %count, '>', 1, 'servers that were first checked at once have drifted apart');
    is($weir->stop, 0, 'weir ends');
};

subtest 'what is wrong in a configuration' => sub {
    my ($exit, undef, $err) = $t->weir('-t', '-c', $t->write('bad.yaml', $t->config(<<"CONFIG")));
pools:
  - {name: a, protocol: tcp, health: {type: tcp, keepalive: 5s}, servers: []}
  - {name: b, health: {type: http, keepalive: 2h}, servers: []}
  - {name: c, health: {type: http, keepalive: soon}, servers: []}
CONFIG
    is($exit, 1, 'refused');
    like($err, qr/keepalive has no meaning here; it is allowed with type http or grpc/, 'TCP checks have no requests');
    like($err, qr/keepalive.*2h/, 'too long');
    like($err, qr/keepalive.*soon/, 'no time');
};

done_testing;
