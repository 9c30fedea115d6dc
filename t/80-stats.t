#!/usr/bin/perl
# The stats endpoint: every page, live counters, and requests that it must refuse.
use strict;
use warnings;
use IO::Socket::IP;
use JSON::PP ();
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($http, $raw) = $t->ports(2);
my $a = $t->origin('a');
my $echo = $t->tcp_echo('echo');
my $closed = $t->port;

# Names that JSON and the Prometheus format must escape.
my $config = $t->config(<<"CONFIG", workers => 2);
listeners:
  - {name: "default/web:80", listen: ["127.0.0.1:$http"], protocol: http, pool: "default/web:80"}
  - {name: raw, listen: ["127.0.0.1:$raw"], protocol: tcp, pool: raw}
pools:
  - name: "default/web:80"
    health: {type: tcp, interval: 100ms, timeout: 5s, rise: 1, fall: 1}
    servers:
      - {name: a, address: "@{[ $a->address ]}", weight: 7}
      - {name: gone, address: "127.0.0.1:$closed"}
    meta: {bandwidth_name: 'a "b" \\ c'}
  - name: raw
    protocol: tcp
    balance: weighted_least_connections
    servers: [{name: echo, address: "@{[ $echo->address ]}"}]
  - name: 'we"ird\\näme'
    servers: [{name: s, address: "127.0.0.1:$closed"}]
CONFIG
my $weir = $t->start_weir(config => $config);
my $port = $weir->stats_port;
my $json = JSON::PP->new->utf8;

$weir->wait_server('default/web:80', 'gone', 'down');
$weir->wait_server('default/web:80', 'a', 'up');

subtest 'pages' => sub {
    my $r = $weir->stats_get('/healthz');
    is($r->{status}, 200, '/healthz: 200');
    is($r->{body}, "ok\n", '/healthz: ok');
    like($r->{headers}{'content-type'}, qr{^text/plain}, '/healthz is text');
    is($r->{headers}{'cache-control'}, 'no-store', 'nothing is cached');
    like($r->{headers}{date}, qr/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/, 'with a date');
    is($r->{closes}, undef, 'the connection is kept');

    $r = $weir->stats_get('/readyz');
    is($r->{status}, 200, '/readyz: 200 once all workers serve');
    is($r->{body}, "ok: 2 of 2 workers run configuration 1\n", '/readyz says how many');

    $r = $weir->stats_get('/');
    is($r->{status}, 200, '/: 200');
    like($r->{headers}{'content-type'}, qr{^text/html}, '/ is HTML');
    like($r->{body}, qr{href="/metrics"}, 'and links to the rest');

    is($weir->stats_get('/stats.json')->{headers}{'content-type'}, 'application/json', '/stats.json is JSON');
    is($weir->stats_get('/metrics')->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8',
        '/metrics is what Prometheus expects');
    is($weir->stats_get('/healthz?x=1')->{status}, 200, 'a query is allowed');
    is($weir->stats_get("http://localhost:$port/healthz")->{status}, 200, 'so is the absolute form');
    for my $path ('/nope', '/stats.json/', '/healthz/..', '//', '/%2e', '/STATS.JSON') {
        is($weir->stats_get($path)->{status}, 404, "$path: 404");
    }
};

subtest 'HEAD has the head of GET and no body' => sub {
    for my $path (qw(/ /healthz /readyz)) {
        my ($get, $head) = map { $weir->stats_get($path, method => $_) } qw(GET HEAD);
        is($head->{status}, 200, "$path: 200");
        is($head->{headers}{'content-length'}, $get->{headers}{'content-length'}, "$path: the same length");
    }
    my $client = $t->client($port);
    is($client->request('HEAD', '/stats.json')->{status}, 200, '/stats.json: 200');
    is($client->get('/healthz')->{body}, "ok\n", 'what follows on the connection is the next response');
};

subtest 'counters of HTTP' => sub {
    is($t->http_get($http, "/bytes/1000")->{status}, 200, 'a good request') for 1 .. 3;
    is($t->http_get($http, '/status/404')->{status}, 404, 'one that is not found');
    is($t->http_get($http, '/status/500')->{status}, 500, 'one that fails');
    my $end = $t->wait_until(sub {
        my $l = $weir->stats_listener('default/web:80');
        return $l->{status_5xx} == 1 && $l->{active} == 0 && $l;
    }, 'the listener has counted');
    is($end->{requests}, 5, 'requests');
    is($end->{connections}, 5, 'connections');
    is($end->{status_2xx}, 3, 'responses 2xx');
    is($end->{status_4xx}, 1, 'responses 4xx');
    ok($end->{bytes_out} > 3000, 'bytes to clients');
    ok($end->{bytes_in} > 100, 'bytes from clients');
    my $pool = $weir->stats_pool('default/web:80');
    is($pool->{requests}, 5, 'requests of the pool');
    is($pool->{servers}[0]{requests}, 5, 'and of the server that got them');
    is($pool->{servers}[0]{status_2xx}, 3, 'with their responses');
    is($pool->{servers}[1]{requests}, 0, 'not of the other');
    $t->raw_exchange($http, "GET / HTTP/1.1\r\nHost : x\r\n\r\n");
    $t->wait_until(sub { $weir->stats_listener('default/web:80')->{bad_requests} == 1 }, 'a malformed request is counted');
    pass('a malformed request is counted');
};

subtest 'counters of TCP' => sub {
    my $client = $t->client($raw);
    $client->send('x' x 1000);
    is($client->read_bytes(1000), 'x' x 1000, 'a session');
    $t->wait_until(sub { $weir->stats_pool('raw')->{active} == 1 }, 'the session is active');
    is($weir->stats_listener('raw')->{active}, 1, 'its connection is open');
    $client->close;
    $t->wait_until(sub { $weir->stats_pool('raw')->{active} == 0 }, 'the session has ended');
    my $l = $t->wait_until(sub { my $l = $weir->stats_listener('raw'); return $l->{active} == 0 && $l }, 'it is closed');
    is($l->{connections}, 1, 'one connection');
    is($l->{bytes_in}, 1000, 'bytes in');
    is($l->{bytes_out}, 1000, 'bytes out');
};

subtest '/stats.json' => sub {
    my $s = $weir->stats;
    is($s->{pid}, $weir->pid, 'pid of the master');
    like($s->{version}, qr/^\d+\.\d+/, 'version');
    is($s->{generation}, 1, 'generation');
    is(scalar @{ $s->{workers} }, 2, 'both workers');
    is($s->{workers}[0]{state}, 'running', 'run');
    ok(kill(0, $s->{workers}[0]{pid}), 'and are there');
    is_deeply([ map { $_->{name} } @{ $s->{listeners} } ], [ 'default/web:80', 'raw' ], 'listeners in their order');
    is_deeply($s->{listeners}[0]{addresses}, ["127.0.0.1:$http"], 'with their addresses');
    is($s->{listeners}[1]{protocol}, 'tcp', 'and protocols');
    my ($web, $tcp, $weird) = @{ $s->{pools} };
    is($web->{balance}, 'weighted_round_robin', 'balance');
    is($tcp->{balance}, 'weighted_least_connections', 'of both pools');
    is($tcp->{protocol}, 'tcp', 'protocol of a pool');
    is($web->{meta}{bandwidth_name}, 'a "b" \\ c', 'texts of meta');
    is($weird->{name}, "we\"ird\\n\x{e4}me", 'a name with quotes, a backslash and a letter that is not ASCII');
    is($web->{checks}, 'tcp', 'how the servers are checked');
    is($web->{servers_usable}, 1, 'usable servers');
    my ($up, $down) = @{ $web->{servers} };
    is($up->{address}, $a->address, 'address of a server');
    is($up->{weight}, 7, 'weight');
    is("$up->{health} $up->{admin}", 'up ready', 'states');
    is($down->{last_check}, 'connection refused', 'the last result');
    ok($down->{since_s} >= 0, 'and how long it has been so');
    is($tcp->{servers}[0]{health}, 'unknown', 'health without checks');
    is($tcp->{servers}[0]{since_s}, undef, 'which never changed');
};

# The rules of the text format, and those of promtool check metrics for names.
sub check_metrics {
    my ($text) = @_;
    my (%type, %help, %done, %seen, @faults, $family);
    for my $line (split /\n/, $text) {
        if ($line =~ /^# HELP (\S+) (\S.*)$/) {
            push @faults, "second HELP of $1" if $help{$1}++;
            $done{$family} = 1 if defined $family;
            $family = $1;
            push @faults, "$1 comes in pieces" if $done{$1};
        } elsif ($line =~ /^# TYPE (\S+) (counter|gauge|histogram|summary)$/) {
            my ($name, $type) = ($1, $2);
            push @faults, "second TYPE of $name" if $type{$name};
            push @faults, "TYPE of $name without HELP" if !$help{$name};
            $type{$name} = $type;
            push @faults, "$type $name: suffix" if ($type eq 'counter') != ($name =~ /_total$/);
            push @faults, "name $name" if $name !~ /^weir_[a-z][a-z0-9_]*[a-z0-9]$/ || $name =~ /__/;
        } elsif ($line =~ /^([a-z_0-9]+)((?:\{.*\})?) (\d+(?:\.\d+)?)$/) {
            my ($name, $labels) = ($1, $2);
            my $short = $name =~ s/_(?:bucket|sum|count)$//r;
            $name = $short if ($type{$short} // '') =~ /histogram|summary/;
            push @faults, "sample of $name outside its family" if ($family // '') ne $name || !$type{$name};
            push @faults, "sample twice: $line" if $seen{ $line =~ s/ \S+$//r }++;
            my $label = qr/[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"/;
            push @faults, "labels $labels" if $labels ne '' && $labels !~ /^\{$label(?:,$label)*\}$/;
        } else {
            push @faults, "line '$line'";
        }
    }
    return @faults;
}

subtest '/metrics' => sub {
    my $text = $weir->metrics;
    is_deeply([ check_metrics($text) ], [], 'the text is well-formed');
    my $sample = sub {
        my ($name, @labels) = @_;
        my $labels = @labels ? '{' . join(',', @labels) . '}' : '';
        my ($value) = $text =~ /^\Q$name$labels\E (\d+)$/m;
        return $value;
    };
    my ($listener, $pool) = map { "$_=\"default/web:80\"" } qw(listener pool);
    is($sample->('weir_listener_requests_total', $listener), 5, 'requests of a listener') or diag $text;
    is($sample->('weir_listener_status_4xx_total', $listener), 2, 'responses by class');
    is($sample->('weir_pool_requests_total', $pool), 5, 'requests of a pool');
    is($sample->('weir_pool_servers_usable', $pool), 1, 'usable servers of a pool');
    is($sample->('weir_pool_servers', $pool), 2, 'of all its servers');
    is($sample->('weir_server_up', $pool, 'server="a"'), 1, 'a server that is up');
    is($sample->('weir_server_up', $pool, 'server="gone"'), 0, 'one that is down');
    is($sample->('weir_server_weight', $pool, 'server="a"'), 7, 'its weight');
    is($sample->('weir_server_up', 'pool="we\\"ird\\\\näme"', 'server="s"'), 1, 'labels are escaped');
    is($sample->('weir_process_workers', 'state="running"'), 2, 'workers');
    is($sample->('weir_process_config_generation'), 1, 'generation');
    like($text, qr/^weir_build_info\{version="[^"]+"\} 1$/m, 'build');
    ok(abs($sample->('weir_process_start_time_seconds') - time) < 3600, 'start time');
    my $row = $json->decode($weir->stats_get('/stats.json')->{body})->{listeners}[0];
    for my $name (grep { !ref $row->{$_} && $row->{$_} =~ /^\d+$/ } keys %$row) {
        like($text, qr/^weir_listener_${name}(?:_total)?\{/m, "listener counter $name is here too");
    }
};

subtest 'latencies' => sub {
    my $slow = $t->origin('slow', handler => sub { select undef, undef, undef, 0.12; return undef });
    my $at = $t->port;
    my $more = $config =~ s/^pools:\n/<<"MORE"/mer;
  - {name: slow, listen: ["127.0.0.1:$at"], protocol: http, pool: slow}
pools:
  - name: slow
    servers: [{name: s, address: "@{[ $slow->address ]}"}]
MORE
    $weir->reload($more);
    my $client = $t->client($at);
    is($client->get('/')->{status}, 200, 'a slow request') for 1 .. 3;
    $client->close;
    my $l = $t->wait_until(sub {
        my $l = $weir->stats_listener('slow');
        return $l->{latency}{total}{count} == 3 && $l;
    }, 'three were measured')->{latency};
    cmp_ok($l->{total}{p50_us}, '>=', 114_000, 'the median is not below what the server takes');
    cmp_ok($l->{total}{p50_us}, '<=', $l->{total}{p999_us}, 'percentiles rise');
    cmp_ok($l->{first_byte}{p50_us}, '>=', 114_000, 'so is the time to the first byte');
    is($l->{connect}, undef, 'a listener connects to nobody');
    my $pool = $weir->stats_pool('slow');
    is($pool->{latency}{connect}{count}, 1, 'one connection was made for the three');
    is($pool->{servers}[0]{latency}{total}{count}, 3, 'the server has them too');
    is($weir->stats_pool('raw')->{latency}{total}{p50_us}, undef, 'without requests there is no percentile');
    is($weir->stats_pool('raw')->{latency}{connect}{count}, 1, 'sessions of TCP are measured until they are connected');
    my $text = $weir->metrics;
    is_deeply([ check_metrics($text) ], [], 'the metrics are well-formed');
    like($text, qr/^weir_listener_total_seconds_bucket\{listener="slow",le="0\.1"\} 0$/m, 'none within 100 ms');
    like($text, qr/^weir_listener_total_seconds_bucket\{listener="slow",le="\+Inf"\} 3$/m, 'all in the last bucket');
    like($text, qr/^weir_pool_connect_seconds_count\{pool="slow"\} 1$/m, 'count of a pool');
    like($text, qr/^weir_server_total_seconds_sum\{pool="slow",server="s"\} 0\.\d+$/m, 'sum of a server');
    for my $family (qw(listener_total pool_first_byte)) {
        my %last;
        for ($text =~ /^(weir_${family}_seconds_bucket\{.*\} \d+)$/mg) {
            my ($name, $n) = /\{(.*?),le=.* (\d+)$/;
            fail("$_: less than the bucket before") if $n < ($last{$name} // 0);
            $last{$name} = $n;
        }
        ok(%last, "the buckets of $family rise");
    }
  SKIP: {
        my ($promtool) = grep { -x } map { "$_/promtool" } split /:/, $ENV{PATH};
        skip 'promtool is not installed', 1 if !$promtool;
        $t->write('metrics.txt', $text);
        my ($exit, $out, $err) = $t->run('sh', '-c', "'$promtool' check metrics <'@{[ $t->path('metrics.txt') ]}'");
        is("$exit$out$err", '0', 'promtool finds nothing');
    }
    $weir->reload($more);
    is($weir->stats_pool('slow')->{latency}{total}{count}, 3, 'a reload forgets none');
    $weir->reload($config);
};

subtest 'requests that are refused' => sub {
    my @cases = (
        [ 'POST', "POST /stats.json HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 405 ],
        [ 'DELETE', "DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", 405 ],
        [ 'OPTIONS *', "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405 ],
        [ 'lower-case method', "get / HTTP/1.1\r\nHost: x\r\n\r\n", 405 ],
        [ 'no Host', "GET / HTTP/1.1\r\n\r\n", 400 ],
        [ 'no Host, and close', "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400 ],
        [ 'two Hosts', "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400 ],
        [ 'a body', "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 400 ],
        [ 'a chunked body', "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 ],
        [ 'bare LF', "GET / HTTP/1.1\nHost: x\n\n", 400 ],
        [ 'bare CR', "GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n", 400 ],
        [ 'NUL', "GET / HTTP/1.1\r\nHost: x\0\r\n\r\n", 400 ],
        [ 'NUL before any line', "\0\0\0\0", 400 ],
        [ 'a TLS hello', "\x16\x03\x01\x02\x00\x01\x00", 400 ],
        [ 'control character', "GET / HTTP/1.1\r\nHost: x\x01\r\n\r\n", 400 ],
        [ 'folding', "GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", 400 ],
        [ 'space before the colon', "GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400 ],
        [ 'no colon', "GET / HTTP/1.1\r\nHost: x\r\nwhat\r\n\r\n", 400 ],
        [ 'two spaces', "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400 ],
        [ 'no target', "GET HTTP/1.1\r\nHost: x\r\n\r\n", 400 ],
        [ 'no version', "GET /\r\n\r\n", 400 ],
        [ 'a path without slash', "GET stats.json HTTP/1.1\r\nHost: x\r\n\r\n", 400 ],
        [ 'bytes that are not ASCII', "GET /\xe4 HTTP/1.1\r\nHost: x\r\n\r\n", 400 ],
        [ 'garbage', "\r\n\r\n\r\n", 400 ],
        [ 'HTTP/2', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 ],
        [ 'HTTP/3.7', "GET / HTTP/3.7\r\nHost: x\r\n\r\n", 505 ],
        [ 'HTTP/11', "GET / HTTP/11\r\nHost: x\r\n\r\n", 400 ],
        [ 'a long head', "GET / HTTP/1.1\r\nHost: x\r\nX: " . 'y' x 5000 . "\r\n\r\n", 431 ],
        [ 'a long request line', 'GET /' . 'y' x 5000 . " HTTP/1.1\r\nHost: x\r\n\r\n", 431 ],
    );
    for my $case (@cases) {
        my ($what, $bytes, $status) = @$case;
        my ($answer, $end) = $t->raw_exchange($port, $bytes);
        like($answer, qr{^HTTP/1\.1 $status .*\r\nConnection: close\r\n}s, "$what: $status");
        is($end, 'closed', "$what: the connection is closed");
        my $count = () = $answer =~ m{^HTTP/1}mg;
        is($count, 1, "$what: one answer");
    }
    my ($answer) = $t->raw_exchange($port, "PUT / HTTP/1.1\r\nHost: x\r\n\r\n");
    like($answer, qr/\r\nAllow: GET, HEAD\r\n/, '405 says what is allowed');
    is($weir->stats_get('/healthz')->{status}, 200, 'after all that it still answers');
};

subtest 'connections' => sub {
    my $client = $t->client($port);
    is($client->get('/healthz')->{status}, 200, 'one request after the other') for 1 .. 3;
    $client->send(join '', map { "GET $_ HTTP/1.1\r\nHost: x\r\n\r\n" } qw(/healthz /nope /readyz));
    is_deeply([ map { $client->response->{status} } 1 .. 3 ], [ 200, 404, 200 ], 'pipelined ones in their order');
    $client->send($_) for split //, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    is($client->response->{status}, 200, 'one that comes byte by byte');
    is($client->get('/healthz', headers => [ Connection => 'close' ])->{headers}{connection}, 'close', 'close is answered');
    $client->read_until_close;
    ok($client->is_closed, 'and done');
    my $old = $t->client($port);
    $old->send("GET /healthz HTTP/1.0\r\n\r\n");
    like($old->read_until_close, qr{^HTTP/1\.1 200 OK\r\n.*\r\n\r\nok\n$}s, 'HTTP/1.0 is answered and closed');
    my ($half) = $t->raw_exchange($port, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", half_close => 1);
    like($half, qr/ 200 OK.*ok\n$/s, 'a client that has stopped sending is answered');

    my @many = map { $t->client($port) } 1 .. 64;
    is($_->get('/healthz')->{status}, 200, 'of 64 connections each is served') for @many[ 0, 63 ];
    my $late = $t->client($port);
    $late->send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    $many[5]->close;
    is($late->response->{status}, 200, 'a further one is served when there is room');
    $_->close for @many;
};

subtest 'a client that reads slowly gets everything' => sub {
    my @servers = map { "      - {name: server-with-a-rather-long-name-$_, address: \"127.0.0.1:$closed\"}\n" } 1 .. 3000;
    $weir->reload($config . "  - name: large\n    servers:\n" . join '', @servers);
    my $sock = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port, Type => Socket::SOCK_STREAM())
        or die "connect: $!";
    setsockopt $sock, Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), pack 'i', 65536;
    print $sock "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    $sock->flush;
    my $client = $t->client($port);
    is($client->get('/healthz')->{body}, "ok\n", 'others are served meanwhile') for 1 .. 3;
    my $all = do { local $/; <$sock> };
    my ($length) = $all =~ /Content-Length: (\d+)/;
    my ($head, $body) = split /\r\n\r\n/, $all, 2;
    ok($length > 2_000_000, 'a large answer');
    is(length $body, $length, 'has come whole');
    is_deeply([ check_metrics($body) ], [], 'and is well-formed');
    $weir->reload($config);
};

subtest 'counters outlive a reload' => sub {
    my $s = $weir->stats;
    is($s->{generation}, 6, 'a new generation');
    is($s->{reloads}, 5, 'the reloads are counted');
    is($weir->stats_listener('default/web:80')->{requests}, 5, 'the counters went on');
    is($weir->stats_pool('raw')->{servers}[0]{bytes_in}, 1000, 'those of servers too');
};

subtest 'the endpoint is not reachable through a listener' => sub {
    my $r = $t->http_get($http, '/stats.json');
    is($r->{body}, "a\n", 'a listener passes /stats.json to its pool');
};

is($weir->stop, 0, 'weir ends');

subtest 'without an endpoint' => sub {
    my $quiet = $t->start_weir(config => $t->config(<<"CONFIG", stats => 0));
listeners:
  - {name: web, listen: ["127.0.0.1:$http"], protocol: http, pool: web}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $a->address ]}"}]
CONFIG
    ok(!eval { $t->client($port); 1 }, 'nobody listens there');
    is($t->http_get($http, '/')->{status}, 200, 'while traffic is served');
    is($quiet->stop, 0, 'weir ends');
};

done_testing;
