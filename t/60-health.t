#!/usr/bin/perl
# Health checks: what they ask, what they take for an answer, when a server goes down and comes back, and who knows.
use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;

sub listener {
    my ($name, $port, $protocol) = @_;
    return "  - {name: $name, listen: [\"127.0.0.1:$port\"], protocol: " . ($protocol // 'http') . ", pool: $name}\n";
}

# One request on a connection of its own, as often as it takes to meet every worker; what servers answered.
sub bodies {
    my ($port, $count) = @_;
    my %seen;
    $seen{ $t->http_get($port, '/')->{body} }++ for 1 .. $count;
    return join ' ', map { s/\n//r } sort keys %seen;
}

subtest 'a server that dies is avoided, and used again when it is back' => sub {
    my ($http, $tcp) = $t->ports(2);
    my $a = $t->origin('a');
    my $b = $t->origin('b');
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 2));
listeners:
@{[ listener('web', $http) ]}@{[ listener('raw', $tcp, 'tcp') ]}pools:
  - name: web
    health: {type: http, path: /healthz, interval: 100ms, timeout: 2s, rise: 2, fall: 2}
    servers:
      - {name: a, address: "@{[ $a->address ]}"}
      - {name: b, address: "@{[ $b->address ]}"}
  - name: raw
    protocol: tcp
    health: {type: tcp, interval: 100ms, timeout: 2s, rise: 2, fall: 2}
    servers:
      - {name: b, address: "@{[ $b->address ]}"}
CONFIG
    $weir->wait_server('web', $_, 'up') for qw(a b);
    is($weir->wait_server('web', 'a', 'up')->{last_check}, '200', 'the status is the result of an HTTP check');
    is($weir->wait_server('raw', 'b', 'up')->{last_check}, 'connected', 'a connection is the result of a TCP check');
    is(bodies($http, 20), 'a b', 'both servers get requests');
    my ($probe) = grep { $_->{path} eq '/healthz' } $a->requests;
    is($probe->{method}, 'GET', 'a check is a GET');
    is($probe->{version}, 'HTTP/1.1', 'of HTTP/1.1');
    is($probe->{headers}{host}, $a->address, 'for the address of the server');
    is($probe->{headers}{'user-agent'}, 'weir-health', 'and says who asks');
    is($probe->{headers}{connection}, 'close', 'once');

    $b->stop;
    my $down = $weir->wait_server('web', 'b', 'down');
    is($down->{last_check}, 'connection refused', 'the reason is told');
    is($down->{transitions}, 1, 'the change is counted');
    ok(!$down->{usable}, 'it is not usable');
    ok($down->{checks_failed} >= 2, 'and so are the failed checks');
    $weir->wait_server('raw', 'b', 'down');
    like($weir->log, qr/warn control\[\d+\]: pool web server b: health check failed: connection refused \(2 of 2\), now down/,
        'the change is logged');
    like($weir->log, qr/pool raw: all its servers are down/, 'a pool without servers is logged');
    is(bodies($http, 20), 'a', 'no worker sends it requests');
    is($weir->stats_pool('web')->{servers_usable}, 1, 'one server of the pool is usable');
    my ($bytes, $end) = $t->raw_exchange($tcp, 'hello');
    is($bytes, '', 'a TCP client gets nothing without a server');
    isnt($end, 'timeout', 'and its connection is closed');

    $b->start;
    $weir->wait_server($_, 'b', 'up') for qw(web raw);
    like($weir->log, qr/info control\[\d+\]: pool web server b: health check passed: 200 \(2 of 2\), now up/,
        'its return is logged');
    like($weir->log, qr/pool raw: has a server again/, 'that of the pool too');
    is(bodies($http, 20), 'a b', 'it gets requests again');

    $_->stop for $a, $b;
    $weir->wait_server('web', $_, 'down') for qw(a b);
    is($t->http_get($http, '/')->{status}, 503, 'all servers down: 503');
    ok($weir->stats_pool('web')->{no_server} >= 1, 'which is counted');
    is($weir->stop, 0, 'weir ends');
};

subtest 'rise and fall are counted exactly' => sub {
    my $port = $t->port;
    my @script = (200, 500, 500, 200, 500, 500, 500, 200, 500, 200, 200);
    my $a = $t->origin('scripted', handler => sub { my $r = shift; return { status => $script[ $r->{connection} - 1 ] // 200 } });
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", level => 'debug'));
listeners:
@{[ listener('web', $port) ]}pools:
  - name: web
    health: {type: http, interval: 100ms, timeout: 2s, rise: 2, fall: 3}
    servers: [{name: a, address: "@{[ $a->address ]}"}]
CONFIG
    $weir->wait_log(qr/now up/);
    my @lines = map { /server a: health check (.*)/ ? $1 : () } split /\n/, $weir->log;
    is_deeply(\@lines, [
        'passed: 200, is up',
        'failed: 500, not in 200-299 (1 of 3)',
        'failed: 500, not in 200-299 (2 of 3)',
        'failed: 500, not in 200-299 (1 of 3)',
        'failed: 500, not in 200-299 (2 of 3)',
        'failed: 500, not in 200-299 (3 of 3), now down',
        'passed: 200 (1 of 2)',
        'passed: 200 (1 of 2)',
        'passed: 200 (2 of 2), now up',
    ], 'a result of the other kind starts the count again');
    my $server = $weir->stats_server('web', 'a');
    is($server->{transitions}, 2, 'down and up are two transitions');
    is($server->{checks_failed}, 6, 'all failures are counted');
    $weir->stop;
};

subtest 'the first failures of a new server count towards fall' => sub {
    my ($port, $closed) = $t->ports(2);
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", level => 'debug'));
listeners:
@{[ listener('web', $port) ]}pools:
  - name: web
    health: {type: tcp, interval: 100ms, timeout: 2s, fall: 3}
    servers: [{name: a, address: "127.0.0.1:$closed"}]
CONFIG
    $weir->wait_server('web', 'a', 'down');
    my @lines = map { /server a: health check (.*)/ ? $1 : () } split /\n/, $weir->log;
    is_deeply([ @lines[ 0 .. 2 ] ], [
        'failed: connection refused (1 of 3)', 'failed: connection refused (2 of 3)',
        'failed: connection refused (3 of 3), now down',
    ], 'three in a row');
    $weir->stop;
};

subtest 'what is taken for an answer' => sub {
    my $port = $t->port;
    my $ok = "Content-Length: 0\r\nConnection: close\r\n\r\n";
    my @cases = (
        [ 'http10', "HTTP/1.0 200 OK\r\n\r\n", 'up', '200' ],
        [ 'bare', "HTTP/1.1 204\r\n$ok", 'up', '204' ],
        [ 'noreason', "HTTP/1.1 200 \r\n$ok", 'up', '200' ],
        [ 'interim', "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n$ok", 'up', '200' ],
        [ 'interimbad', "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Oh\r\n$ok", 'down', '503, not in 200-299,418' ],
        [ 'teapot', "HTTP/1.1 418 Teapot\r\n$ok", 'up', '418' ],
        [ 'redirect', "HTTP/1.1 302 Found\r\nLocation: /\r\n$ok", 'down', '302, not in 200-299,418' ],
        [ 'switch', "HTTP/1.1 101 Switching Protocols\r\n\r\n", 'down', '101, not in 200-299,418' ],
        [ 'barelf', "HTTP/1.1 200 OK\n\n", 'down', 'malformed response' ],
        [ 'version', "HTTP/2 200 OK\r\n$ok", 'down', 'malformed response' ],
        [ 'fourdigits', "HTTP/1.1 2000 OK\r\n$ok", 'down', 'malformed response' ],
        [ 'letters', "HTTP/1.1 2x0 OK\r\n$ok", 'down', 'malformed response' ],
        [ 'small', "HTTP/1.1 099 OK\r\n$ok", 'down', 'malformed response' ],
        [ 'large', "HTTP/1.1 600 OK\r\n$ok", 'down', 'malformed response' ],
        [ 'control', "HTTP/1.1 200 O\x01K\r\n$ok", 'down', 'malformed response' ],
        [ 'nul', "HTTP/1.1 200 O\0K\r\n$ok", 'down', 'malformed response' ],
        [ 'ssh', "SSH-2.0-OpenSSH_9.2\r\n", 'down', 'malformed response' ],
        [ 'space', " HTTP/1.1 200 OK\r\n$ok", 'down', 'malformed response' ],
        [ 'endless', 'HTTP/1.1 200 ' . 'O' x 70000, 'down', 'response head too large' ],
        [ 'hints', "HTTP/1.1 103 Early Hints\r\n\r\n" x 1000, 'down', 'too many interim responses' ],
        [ 'field', "HTTP/1.1 200 OK\r\nA : b\r\n$ok", 'down', 'malformed response' ],
        [ 'truncated', 'HTTP/1.1 200 O', 'down', 'truncated response' ],
        [ 'silent', '', 'down', 'closed without a response' ],
    );
    my @servers;
    for my $case (@cases) {
        my ($name, $answer) = @$case;
        my $server = $t->tcp_server("odd-$name", sub {
            my ($conn) = @_;
            $conn->read_match(qr/\r\n\r\n/);
            # In two pieces, so that the reader must wait in the middle.
            my $half = int(length($answer) / 2);
            $conn->send(substr $answer, 0, $half);
            select undef, undef, undef, 0.02;
            $conn->send(substr $answer, $half);
            $conn->end_sending;
            $conn->read_until_close;
        });
        push @servers, "      - {name: $name, address: \"@{[ $server->address ]}\"}\n";
    }
    my $hung = $t->tcp_server('odd-hung', sub { $_[0]->read_until_close });
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
@{[ listener('web', $port) ]}pools:
  - name: web
    health: {type: http, interval: 300s, timeout: 20s, rise: 1, fall: 1, status: [2xx, 418]}
    servers:
@{[ join '', @servers ]}
  - name: hung
    health: {type: http, interval: 300s, timeout: 300ms, rise: 1, fall: 1}
    servers: [{name: hung, address: "@{[ $hung->address ]}"}]
CONFIG
    for my $case (@cases) {
        my ($name, undef, $state, $text) = @$case;
        is($weir->wait_server('web', $name, $state)->{last_check}, $text, "$name: $state, $text");
    }
    is($weir->wait_server('hung', 'hung', 'down')->{last_check}, 'timeout', 'a server that does not answer: timeout');
    $weir->stop;
};

subtest 'method, host, path, port and status are those of the configuration' => sub {
    my $port = $t->port;
    my $site = $t->origin('site');
    my $probed = $t->origin('probed', handler => sub { return { status => 404 } });
    my $six = -e '/proc/net/if_inet6' && eval { $t->origin('six', host => '::1') };
    my $six_pool = $six ? <<"POOL" : '';
  - name: six
    health: {type: http, interval: 300s}
    servers: [{name: s, address: "@{[ $six->address ]}"}]
POOL
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
@{[ listener('web', $port) ]}pools:
  - name: web
    health: {type: http, interval: 300s, method: HEAD, host: "www.example.com:8080", path: "/up?a=b", port: @{[ $probed->port ]}, status: [404]}
    servers: [{name: a, address: "@{[ $site->address ]}"}]
$six_pool
CONFIG
    is($weir->wait_server('web', 'a', 'up')->{last_check}, '404', 'the accepted status counts');
    my $probe = $probed->last_request;
    is("$probe->{method} $probe->{path}", 'HEAD /up?a=b', 'method and path');
    is($probe->{headers}{host}, 'www.example.com:8080', 'host');
    is($site->connection_count, 0, 'the port of the server itself is not asked');
    is($t->http_get($port, '/')->{body}, "site\n", 'but serves the requests');
    SKIP: {
        skip 'no IPv6', 1 if !$six;
        $weir->wait_server('six', 's', 'up');
        is($six->last_request->{headers}{host}, $six->address, 'an IPv6 address stands in brackets');
    }
    $weir->stop;
};

subtest 'a text in the body' => sub {
    my $port = $t->port;
    my @cases = (
        [ 'length', "Content-Length: 5\r\n\r\nready", 'up', '200, with the text' ],
        [ 'close', "\r\nnot yet ready", 'up', '200, with the text' ],
        [ 'chunks', "Transfer-Encoding: chunked\r\n\r\n2\r\nre\r\n1;x=y\r\na\r\n2\r\ndy\r\n0\r\n\r\n", 'up', '200, with the text' ],
        [ 'other', "Content-Length: 4\r\n\r\nrea\n", 'down', '200, without the text' ],
        [ 'behind', "Content-Length: 2\r\n\r\nready", 'down', '200, without the text' ],
        [ 'empty', "Content-Length: 0\r\n\r\n", 'down', '200, without the text' ],
        [ 'head', "X: ready\r\nContent-Length: 0\r\n\r\n", 'down', '200, without the text' ],
        [ 'short', "Content-Length: 9\r\n\r\nrea", 'down', 'truncated response' ],
        [ 'badchunk', "Transfer-Encoding: chunked\r\n\r\nx\r\nready\r\n", 'down', 'malformed response' ],
        [ 'cut', "Transfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n", 'down', 'truncated response' ],
        [ 'long', "Content-Length: 50000\r\n\r\n" . 'r' x 40000 . 'ready' . 'r' x 9995, 'down', '200, without the text' ],
    );
    my @servers = map {
        my ($name, $answer) = @$_;
        my $server = $t->tcp_server("body-$name", sub {
            my ($conn) = @_;
            $conn->read_match(qr/\r\n\r\n/);
            $conn->send("HTTP/1.1 200 OK\r\n" . substr $answer, 0, -4);
            select undef, undef, undef, 0.02;
            $conn->send(substr $answer, -4);
            $conn->end_sending;
            $conn->read_until_close;
        });
        "      - {name: $name, address: \"@{[ $server->address ]}\"}\n";
    } @cases;
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
@{[ listener('web', $port) ]}pools:
  - name: web
    health: {type: http, interval: 300s, timeout: 20s, rise: 1, fall: 1, body: ready}
    servers:
@{[ join '', @servers ]}
CONFIG
    is($weir->wait_server('web', $_->[0], $_->[2])->{last_check}, $_->[3], "$_->[0]: $_->[2], $_->[3]") for @cases;
    $weir->stop;
};

subtest 'an HTTP/1.0 check, and a faster one while the state is in doubt' => sub {
    my $port = $t->port;
    my $a = $t->origin('a', handler => sub { return { status => 500 } });
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
@{[ listener('web', $port) ]}pools:
  - name: web
    health: {type: http, version: 1.0, interval: 300s, fast_interval: 100ms, timeout: 5s, rise: 3, fall: 5}
    servers: [{name: a, address: "@{[ $a->address ]}"}]
CONFIG
    $weir->wait_server('web', 'a', 'down');
    is($a->last_request->{version}, 'HTTP/1.0', 'the version is the configured one');
    like($weir->log, qr/500, not in 200-299 \(5 of 5\), now down/, 'five failures do not wait for the long interval');
    my $count = $a->request_count;
    is($count, 5, 'a state that is sure is asked about at leisure');
    $weir->stop;
};

subtest 'a new server is not used before a check has passed, where so configured' => sub {
    my $port = $t->port;
    my ($a, $b) = (map { $t->origin($_) } qw(first second));
    $_->hold for $a, $b;
    my $config = sub { $t->config(<<"CONFIG", workers => 2) };
listeners:
@{[ listener('web', $port) ]}pools:
  - name: web
    health: {type: http, interval: 100ms, timeout: 60s, rise: 3, initial: down}
    servers:
@{[ join '', map { "      - {name: $_->{name}, address: \"@{[ $_->address ]}\"}\n" } @_ ]}
CONFIG
    my $weir = $t->start_weir(config => $config->($a));
    is($weir->stats_server('web', 'first')->{health}, 'down', 'nothing is known of it');
    is($t->http_get($port, '/')->{status}, 503, 'it gets no request');
    $a->release;
    is($weir->wait_server('web', 'first', 'up')->{checks_ok}, 1, 'one check that passes is enough');
    is($t->http_get($port, '/')->{body}, "first\n", 'now it does');
    $weir->configure($config->($a, $b))->signal('HUP');
    $weir->wait_server('web', 'second', 'down');
    is(bodies($port, 10), 'first', 'one that is added later waits too');
    is($weir->stats_server('web', 'first')->{health}, 'up', 'one that was there does not');
    $b->release;
    $weir->wait_server('web', 'second', 'up');
    is(bodies($port, 10), 'first second', 'and then takes part');
    $weir->stop;
};

subtest 'one check of a server at a time' => sub {
    my $port = $t->port;
    my $slow = $t->origin('slow')->hold;
    my $clock = $t->origin('clock');
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
@{[ listener('web', $port) ]}pools:
  - name: web
    health: {type: http, interval: 100ms, timeout: 60s}
    servers:
      - {name: slow, address: "@{[ $slow->address ]}"}
      - {name: clock, address: "@{[ $clock->address ]}"}
CONFIG
    $slow->wait_requests(1);
    $clock->forget->wait_requests(10);
    is($slow->connection_count, 1, 'a check that takes longer than the interval is not joined by another');
    is($weir->stats_server('web', 'slow')->{health}, 'unknown', 'and nothing is concluded meanwhile');
    $slow->release;
    $slow->wait_requests(3);
    is($weir->wait_server('web', 'slow', 'up')->{last_check}, '200', 'afterwards it goes on');
    $weir->stop;
};

subtest 'states outlive a reload' => sub {
    my $port = $t->port;
    my $a = $t->origin('a');
    my $b = $t->origin('b', stopped => 1);
    my $config = sub {
        my ($health, $workers) = @_;
        return $t->config(<<"CONFIG", workers => $workers);
listeners:
@{[ listener('web', $port) ]}pools:
  - name: web
    health: $health
    servers:
      - {name: a, address: "@{[ $a->address ]}"}
      - {name: b, address: "@{[ $b->address ]}"}
CONFIG
    };
    my $weir = $t->start_weir(config => $config->('{type: http, interval: 300s, rise: 10, fall: 1}', 2));
    my $before = $weir->wait_server('web', 'b', 'down');
    $b->start;
    $weir->reload($config->('{type: http, interval: 300s, rise: 10, fall: 1}', 3));
    my $after = $t->wait_until(sub {
        my $server = $weir->stats_server('web', 'b');
        return $server->{checks_ok} > 0 && $server;
    }, 'the new control process has checked');
    is($after->{health}, 'down', 'a server that was down stays down until it rises');
    is($after->{transitions}, $before->{transitions}, 'the reload is no transition');
    is(bodies($port, 20), 'a', 'the new workers know it too');
    $weir->reload($config->('{type: off}', 2));
    $weir->wait_server('web', 'b', 'unknown');
    is($weir->stats_server('web', 'b')->{last_check}, '', 'a result that nobody renews is forgotten');
    is(bodies($port, 20), 'a b', 'without checks all servers are used');
    $weir->stop;
};

subtest 'a server in maintenance is left alone' => sub {
    my $port = $t->port;
    my $a = $t->origin('a');
    my $b = $t->origin('b');
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
@{[ listener('web', $port) ]}pools:
  - name: web
    health: {type: http, path: /check, interval: 100ms, timeout: 5s, rise: 1, fall: 1}
    servers:
      - {name: a, address: "@{[ $a->address ]}"}
      - {name: b, address: "@{[ $b->address ]}"}
CONFIG
    $weir->wait_server('web', $_, 'up') for qw(a b);
    my @ctl = ('-S', $weir->control_socket);
    is(($t->weirctl(@ctl, 'server', 'web/b', 'maint'))[0], 0, 'maintenance begins');
    my $count = $b->request_count;
    $a->forget->wait_requests(10);
    ok($b->request_count <= $count + 1, 'it is not checked');
    $b->stop;
    $a->forget->wait_requests(10);
    is($weir->stats_server('web', 'b')->{health}, 'up', 'what happens to it then changes nothing');
    $b->start;
    $b->forget;
    is(($t->weirctl(@ctl, 'server', 'web/b', 'ready'))[0], 0, 'maintenance ends');
    ok($b->wait_requests(3), 'it is checked again');
    is($weir->stats_server('web', 'b')->{health}, 'up', 'and is up');
    $weir->stop;
};

done_testing;
