#!/usr/bin/perl
# Limits of connections, and the queue of those that they keep out: HTTP/1, HTTP/2 and TCP, several workers.
use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $o = $t->origin('o');
my $p = $t->origin('p');
my $echo = $t->tcp_echo('echo');
my ($web, $tight, $nowait, $tcp, $tls, $sticky, $brief, $single) = $t->ports(8);
$t->make_cert($t->path('certs'), 'id1', ['localhost']);
my $config = $t->config(<<"CONFIG", workers => 3);
listeners:
  - {name: web, listen: ["127.0.0.1:$web"], protocol: http, pool: web}
  - {name: tls, listen: ["127.0.0.1:$tls"], protocol: https, tls: {certificate: id1, alpn: [h2, http/1.1]}, pool: web}
  - {name: tight, listen: ["127.0.0.1:$tight"], protocol: http, pool: tight}
  - {name: nowait, listen: ["127.0.0.1:$nowait"], protocol: http, pool: nowait}
  - {name: tcp, listen: ["127.0.0.1:$tcp"], protocol: tcp, pool: tcp}
  - {name: sticky, listen: ["127.0.0.1:$sticky"], protocol: http, pool: sticky}
  - {name: brief, listen: ["127.0.0.1:$brief"], protocol: http, pool: brief}
  - {name: single, listen: ["127.0.0.1:$single"], protocol: http, pool: single}
pools:
  - {name: single, max_connections: 1, queue: {size: 100, timeout: 1h}, servers: [{name: a, address: "@{[ $o->address ]}"}]}
  - name: web
    queue: {size: 3, timeout: 1h}
    servers:
      - {name: a, address: "@{[ $o->address ]}", max_connections: 1}
      - {name: b, address: "@{[ $o->address ]}", max_connections: 2}
  - {name: tight, max_connections: 2, queue: {size: 2, timeout: 300ms}, servers: [{name: a, address: "@{[ $o->address ]}"}]}
  - {name: nowait, servers: [{name: a, address: "@{[ $o->address ]}", max_connections: 2}]}
  - {name: tcp, protocol: tcp, max_connections: 2, queue: {size: 1, timeout: 1h}, servers: [{name: a, address: "@{[ $echo->address ]}"}]}
  - name: sticky
    sticky: {by: source_ip, timeout: 1h}
    queue: {timeout: 1h}
    servers:
      - {name: a, address: "@{[ $o->address ]}", max_connections: 1}
      - {name: b, address: "@{[ $p->address ]}", max_connections: 1}
  - {name: brief, max_connections: 4, queue: {size: 1000, timeout: 1h}, servers: [{name: a, address: "@{[ $p->address ]}"}]}
CONFIG
my $weir = $t->start_weir(config => $config);

sub pool { return $weir->stats_pool($_[0]) }

sub wait_pool {
    my ($name, %want) = @_;
    $t->wait_until(sub {
        my $pool = pool($name);
        return !grep { $pool->{$_} != $want{$_} } keys %want;
    }, "$name: " . join ', ', map { "$_ $want{$_}" } sort keys %want);
    return 1;
}

# A request that is sent, and whose answer is waited for later.
sub ask {
    my ($port, $path) = @_;
    my $c = $t->client($port);
    $c->send("GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    return $c;
}

subtest 'servers with limits, several workers' => sub {
    $o->hold;
    my @c = map { ask($web, "/$_") } 1 .. 3;
    ok(wait_pool('web', active => 3), 'three places, three requests');
    is($weir->stats_server('web', 'a')->{active}, 1, 'one is with a');
    is($weir->stats_server('web', 'b')->{active}, 2, 'two with b');
    is($weir->stats_server('web', 'b')->{max_connections}, 2, 'the limit is shown');
    my @w;
    for my $n (1 .. 3) {
        push @w, ask($web, "/w$n");
        wait_pool('web', queued => $n);
    }
    is($o->request_count, 3, 'the server sees none of those that wait');
    my $over = $t->http_get($web, '/over');
    is($over->{status}, 503, 'one more is refused');
    is($over->{headers}{'proxy-status'}, 'weir; error=connection_limit_reached', 'and told why')
        or diag explain $over->{headers};
    is(pool('web')->{queue_full}, 1, 'and counted');

    # Clients that go away leave the queue.
    (splice @w, 1, 1)->close;
    ok(wait_pool('web', queued => 2), 'a client that goes away leaves the queue');
    my $reset = ask($web, '/reset');
    wait_pool('web', queued => 3);
    $reset->reset;
    ok(wait_pool('web', queued => 2), 'also by a reset');

    # HTTP/2 waits as well, and leaves when the client does.
    my $hasty = $t->spawn(sub { exec 'curl', qw(-q -sk --noproxy * --http2 --max-time 2), "https://127.0.0.1:$tls/hasty" });
    ok(wait_pool('web', queued => 3), 'an HTTP/2 stream waits');
    $t->reap($hasty);
    ok(wait_pool('web', queued => 2), 'and leaves with its client');
    my ($pid) = $t->spawn(sub {
        exec 'sh', '-c', "curl -q -sk --noproxy '*' --http2 --max-time 30 -w '%{http_code} %{http_version}' https://127.0.0.1:$tls/h2 > " . $t->path('h2.out');
    });
    ok(wait_pool('web', queued => 3), 'another one');
    my ($exit, $out) = $t->curl('-k', '--http2', '-i', "https://127.0.0.1:$tls/h2-over");
    like($out, qr{^HTTP/2 503}, 'a further one is refused');
    like($out, qr/proxy-status: weir; error=connection_limit_reached/, 'with the same words');

    $o->release;
    is($_->response->{status}, 200, 'an answer') for @c, @w;
    $t->reap($pid);
    like($t->read('h2.out'), qr/200 2$/, 'the stream has its answer');
    ok(wait_pool('web', active => 0, queued => 0), 'nothing is left');
    is(pool('web')->{queue_timeouts}, 0, 'nobody waited in vain');
};

subtest 'first come, first served' => sub {
    $o->hold->forget;
    my $c = ask($single, '/first');
    wait_pool('single', active => 1);
    my @w;
    for my $n (1 .. 8) {
        push @w, ask($single, "/w$n");
        wait_pool('single', queued => $n);
        select undef, undef, undef, 0.02;    # further apart than what workers tolerate
    }
    $o->release;
    is($_->response->{status}, 200, 'an answer') for $c, @w;
    is_deeply([ map { $_->{path} } $o->requests ], [ '/first', map { "/w$_" } 1 .. 8 ], 'whichever workers they are with');
};

subtest 'a limit of the pool, and waiting in vain' => sub {
    $o->hold;
    my @c = map { ask($tight, "/$_") } 1 .. 2;
    wait_pool('tight', active => 2);
    my @w = map { ask($tight, "/w$_") } 1 .. 2;
    wait_pool('tight', queued => 2);
    for my $w (@w) {
        my $r = $w->response;
        is($r->{status}, 503, 'no place in time');
        is($r->{headers}{'proxy-status'}, 'weir; error=connection_limit_reached', 'and told why');
    }
    is(pool('tight')->{queue_timeouts}, 2, 'counted');
    is(pool('tight')->{queued}, 0, 'they have left');
    $o->release;
    is($_->response->{status}, 200, 'the others are served') for @c;
    $t->wait_until(sub { $t->read('access.log') =~ /"end":"queue-timeout"/ }, 'the log');
    like($t->read('access.log'), qr/"status":503,"pool":"tight".*"end":"queue-timeout"/, 'the log has it');
};

subtest 'without a queue' => sub {
    $o->hold;
    my @c = map { ask($nowait, "/$_") } 1 .. 2;
    wait_pool('nowait', active => 2);
    is($t->http_get($nowait, '/over')->{status}, 503, 'refused at once');
    $o->release;
    is($_->response->{status}, 200, 'an answer') for @c;
    wait_pool('nowait', active => 0);
    is($t->http_get($nowait, '/again')->{status}, 200, 'then there is room again');
};

subtest 'TCP' => sub {
    my @c = map { $t->client($tcp) } 1 .. 2;
    for my $c (@c) {
        $c->send('x');
        is($c->read_bytes(1), 'x', 'a session');
    }
    my $w = $t->client($tcp);
    $w->send('y');
    wait_pool('tcp', queued => 1);
    my $over = $t->client($tcp);
    $t->wait_until(sub { $over->is_closed }, 'one more is closed');
    is(pool('tcp')->{queue_full}, 1, 'and counted');
    $w->close;
    ok(wait_pool('tcp', queued => 0), 'one that goes away leaves the queue');
    $w = $t->client($tcp);
    $w->send('z');
    wait_pool('tcp', queued => 1);
    $c[0]->close;
    is($w->read_bytes(1), 'z', 'the next has its turn when a session ends');
    $_->close for $w, $c[1];
    ok(wait_pool('tcp', active => 0), 'nothing is left');
};

subtest 'stickiness' => sub {
    my $name = $t->http_get($sticky, '/')->{body} =~ s/\n//r;
    my $known = $name eq 'o' ? $o : $p;
    $known->hold;
    my $c = ask($sticky, '/');
    wait_pool('sticky', active => 1);
    my $w = ask($sticky, '/');
    ok(wait_pool('sticky', queued => 1, active => 1), 'a client waits for its server, though another is free');
    $known->release;
    is($_->response->{body}, "$name\n", 'and gets it') for $c, $w;
};

subtest 'under load' => sub {
    my $load = $t->load(port => $brief, clients => 32);
    $load->wait_ok(2000);
    my $result = $load->stop;
    is($result->{failed}, 0, 'nothing fails') or diag explain $result->{reasons};
    ok(wait_pool('brief', active => 0, queued => 0), 'all places and the queue are empty again');
};

subtest 'a worker that dies holds no place' => sub {
    $o->hold;
    my @c = map { ask($web, "/d$_") } 1 .. 3;
    wait_pool('web', active => 3);
    my @w = map { ask($web, "/dw$_") } 1 .. 3;
    wait_pool('web', queued => 3);
    kill 'KILL', map { $_->{pid} } @{ $weir->stats->{workers} };
    $t->wait_until(sub { $weir->stats->{worker_deaths} == 3 }, 'all workers have died');
    $o->release;
    my @again = map { ask($web, "/e$_") } 1 .. 3;
    is($_->response->{status}, 200, 'all places are free again') for @again;
    ok(wait_pool('web', active => 0, queued => 0), 'nothing is left');
};

subtest 'a reload' => sub {
    $o->hold;
    my @c = map { ask($web, "/r$_") } 1 .. 3;
    wait_pool('web', active => 3);
    my $w = ask($web, '/rw');
    wait_pool('web', queued => 1);
    $weir->reload($config);
    my $new = ask($web, '/rn');
    ok(wait_pool('web', active => 3, queued => 2), 'old and new workers share the limits');
    $o->release;
    is($_->response->{status}, 200, 'an answer') for @c, $w, $new;
    is($weir->stop, 0, 'weir ends');
};

subtest 'what is wrong in a configuration' => sub {
    my ($exit, undef, $err) = $t->weir('-t', '-c', $t->write('bad.yaml', $t->config(<<"CONFIG")));
pools:
  - {name: a, queue: {}, servers: [{name: x, address: "127.0.0.1:1"}]}
  - {name: b, protocol: udp, max_connections: 1, queue: {}}
  - {name: c, max_connections: 0}
  - {name: d, max_connections: 1, queue: {size: 0, timeout: 2h}}
CONFIG
    is($exit, 1, 'refused');
    like($err, qr/pool "a" has a queue and no max_connections/, 'a queue for nothing');
    like($err, qr/pool "b" has protocol udp and a queue/, 'datagrams');
    like($err, qr/max_connections: "0" is too small/, 'no connection');
    like($err, qr/size: "0" is too small/, 'no place');
    like($err, qr/timeout: "2h" is too big/, 'too long');
};

done_testing;
