#!/usr/bin/perl
# What becomes of sessions whose server goes down or leaves the configuration, with and without a drain timeout.
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $echo = $t->tcp_echo('echo');
my $other = $t->tcp_echo('other');
my $check = $t->origin('check');    # health is asked of another port, so that sessions go on while the server is "down"
my $upgrade = $t->tcp_server('upgrade', sub {
    my ($c) = @_;
    $c->read_match(qr/\r\n\r\n/);
    $c->send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    while (1) {
        $c->send($c->read_bytes(1));
    }
});

sub answers {
    my ($c, $word) = @_;
    return eval { $c->send($word); $c->read_bytes(length $word) eq $word };
}

sub health { return "health: {type: http, port: @{[ $check->port ]}, interval: 100ms, timeout: 2s, rise: 1, fall: 1}" }

sub websocket {
    my ($port) = @_;
    my $c = $t->client($port);
    $c->send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    $c->read_match(qr/\r\n\r\n/);
    return $c;
}

subtest 'a server goes down' => sub {
    my ($now, $soon, $late, $http, $http_drain, $udp) = $t->ports(6);
    my $servers = 'servers: [{name: a, address: "' . $echo->address . '"}]';
    my $web = 'servers: [{name: a, address: "' . $upgrade->address . '"}]';
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: now, listen: ["127.0.0.1:$now"], protocol: tcp, pool: now}
  - {name: soon, listen: ["127.0.0.1:$soon"], protocol: tcp, pool: soon}
  - {name: late, listen: ["127.0.0.1:$late"], protocol: tcp, pool: late}
  - {name: http, listen: ["127.0.0.1:$http"], protocol: http, pool: http}
  - {name: http-drain, listen: ["127.0.0.1:$http_drain"], protocol: http, pool: http-drain}
pools:
  - {name: now, protocol: tcp, $servers, @{[ health() ]}}
  - {name: soon, protocol: tcp, $servers, drain: {timeout: 1500ms}, @{[ health() ]}}
  - {name: late, protocol: tcp, $servers, drain: {timeout: 1h}, @{[ health() ]}}
  - {name: http, $web, @{[ health() ]}}
  - {name: http-drain, $web, drain: {timeout: 1500ms}, @{[ health() ]}}
CONFIG
    my @pools = qw(now soon late http http-drain);
    $weir->wait_server($_, 'a', 'up') for @pools;
    my %c = (now => $t->client($now), soon => $t->client($soon), late => $t->client($late), http => websocket($http),
        'http-drain' => websocket($http_drain));
    ok(answers($c{$_}, 'x'), "$_: a session") for @pools;
    $check->stop;
    $weir->wait_server($_, 'a', 'down') for @pools;
    ok(answers($c{soon}, 'y'), 'with a drain timeout it goes on');
    ok(answers($c{'http-drain'}, 'y'), 'so does a WebSocket');
    $t->wait_until(sub { $c{now}->is_closed }, 'without one it is cut');
    pass('without a drain timeout it is cut');
    $t->wait_until(sub { $c{soon}->is_closed }, 'with one it is cut later');
    $t->wait_until(sub { $c{'http-drain'}->is_closed }, 'and a WebSocket');
    pass('after the timeout it is cut');
    ok(answers($c{late}, 'z'), 'with a long timeout it still goes on');
    ok(answers($c{http}, 'z'), 'without one a WebSocket goes on');
    like($weir->log, qr/sessions cut, because their servers have left/, 'the log has it');
    $check->start;
    $weir->wait_server($_, 'a', 'up') for @pools;
    ok(answers($c{late}, 'z'), 'a server that comes back keeps its sessions');
    ok(answers($t->client($now), 'z'), 'and gets new ones');
    is($weir->stop, 0, 'weir ends');
    like($t->read('access.log'), qr/"listener":"now".*"end":"server-left"/, 'so has the access log');
};

for my $way ('the same workers', 'new workers') {
subtest "a server leaves the configuration, $way" => sub {
    my $turn = 0;
    my ($now, $late) = $t->ports(2);
    my $config = sub {
        my ($server) = @_;
        $turn++ if $way eq 'new workers';
        return $t->config(<<"CONFIG", workers => 1);
listeners:
  - {name: now, listen: ["127.0.0.1:$now"], protocol: tcp, pool: now}
  - {name: late, listen: ["127.0.0.1:$late"], protocol: tcp, pool: late}
pools:
  - {name: now, protocol: tcp, servers: [$server], meta: {turn: "$turn"}}
  - {name: late, protocol: tcp, drain: {timeout: 2s}, servers: [$server]}
CONFIG
    };
    my $a = '{name: a, address: "' . $echo->address . '"}';
    my $b = '{name: b, address: "' . $other->address . '"}';
    my $weir = $t->start_weir(config => $config->($a));
    my ($c1, $c2) = ($t->client($now), $t->client($late));
    ok(answers($c1, 'x') && answers($c2, 'x'), 'two sessions');
    $weir->reload($config->("$a, $b"));
    ok(answers($c1, 'x') && answers($c2, 'x'), 'a reload that keeps their server keeps them');
    $weir->reload_fails($config->("$a, {name: b}"));
    select undef, undef, undef, 0.6;    # two looks of the worker
    ok(answers($c1, 'x') && answers($c2, 'x'), 'so does one that fails');
    my $c3 = $t->client($now);
    my $c4 = $t->client($now);
    ok(answers($c3, 'x') && answers($c4, 'x'), 'two more, one on each server');
    $weir->reload($config->($b));
    ok(answers($c2, 'y'), 'with a drain timeout a session outlives its server\'s leaving');
    $t->wait_until(sub { $c1->is_closed }, 'without one it is cut');
    pass('without one it is cut');
    $t->wait_until(sub { $c3->is_closed || $c4->is_closed }, 'that of a worker between, too');
    ok(answers($c3, 'z') || answers($c4, 'z'), 'sessions with the server that stays go on');
    $t->wait_until(sub { $c2->is_closed }, 'the timeout is over');
    pass('until the timeout is over');
    is($weir->stop, 0, 'weir ends');
};
}

subtest 'what is wrong in a configuration' => sub {
    my ($exit, undef, $err) = $t->weir('-t', '-c', $t->write('bad.yaml', $t->config(<<"CONFIG")));
pools:
  - {name: a, protocol: tcp, drain: {}}
  - {name: b, protocol: tcp, drain: {timeout: 0s}}
  - {name: c, protocol: tcp, drain: 30s}
CONFIG
    is($exit, 1, 'refused');
    like($err, qr/bad.yaml:\d+:\d+: error: key "timeout" is missing in drain; it must be given/, 'no timeout');
    like($err, qr/timeout: "0s" is too small/, 'none at all');
    like($err, qr/drain: a scalar is given; allowed: a mapping/, 'no mapping');
};

done_testing;
