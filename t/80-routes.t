#!/usr/bin/perl
# What is counted of routes and of certificates: names, counters, latencies, over reloads, and past the limit.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use Weir::Test;
use Weir::Test::Script;
use Weir::Test::TLS qw(client_hello);

my $t = Weir::Test->new;
my ($http, $https, $sni) = $t->ports(3);
my $a = $t->origin('a');
my $echo = $t->tcp_echo('echo');
my $json = JSON::PP->new->utf8;
# A server that switches protocols, and then echoes.
my $switching = Weir::Test::Script->new($t, { chat => { answer => sub {
    my ($c) = @_;
    $c->send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");
    while (length $c->{in} || $c->fill) {
        my $bytes = $c->{in};
        $c->{in} = '';
        $c->send($bytes);
    }
    return 0;
} } });
$t->make_cert($t->path('certs'), $_, ["$_.example.com"]) for qw(one two);

sub config {
    my ($routes) = @_;
    return $t->config(<<"CONFIG", workers => 2);
listeners:
  - name: web
    listen: ["127.0.0.1:$http"]
    protocol: http
    routes:
$routes
  - name: secure
    listen: ["127.0.0.1:$https"]
    protocol: https
    tls: {certificate: one, server_names: [{name: two.example.com, certificate: two}]}
    pool: p
  - name: by-name
    listen: ["127.0.0.1:$sni"]
    protocol: tcp
    server_names: [{name: one.example.com, pool: raw}]
    pool: raw
pools:
  - {name: p, servers: [{name: a, address: "@{[ $a->address ]}"}]}
  - {name: gone, health: {type: off}, servers: [{name: g, address: "127.0.0.1:@{[ $t->port ]}"}]}
  - {name: chat, servers: [{name: c, address: "@{[ $switching->address ]}"}]}
  - {name: raw, protocol: tcp, servers: [{name: e, address: "@{[ $echo->address ]}"}]}
CONFIG
}

my $routes = <<"ROUTES";
      - {host: api.example.com, path: {prefix: /v1}, pool: p}
      - {host: api.example.com, path: {exact: /v1}, pool: p}
      - {host: api.example.com, path: {prefix: /v1}, when: [{method: [PUT, POST]}, {header: x-canary, values: ["1"]}], pool: p}
      - {host: "*.example.org", path: {starts_with: /st}, respond: {status: 204}}
      - {path: {regex: "/r[0-9]+"}, pool: gone}
      - {path: {prefix: /limited}, limit: {requests: 1}, pool: p}
      - {name: given, path: {prefix: /given}, pool: p}
      - {name: given, path: {prefix: /also}, pool: p}
      - {path: {prefix: /chat}, pool: chat}
      - {path: {prefix: /@{[ 'l' x 300 ]}}, pool: p}
      - {path: {prefix: /@{[ 'l' x 300 ]}x}, pool: p}
ROUTES
my $weir = $t->start_weir(config => config($routes));

sub route {
    my ($name, $listener) = @_;
    my @found = grep { $_->{name} eq $name && $_->{listener} eq ($listener // 'web') } @{ $weir->stats->{routes} };
    return @found == 1 ? $found[0] : undef;
}

sub counted {
    my ($name, $count, %o) = @_;
    return $t->wait_until(sub { my $r = route($name, $o{listener}); $r && $r->{active} == 0 && $r->{requests} == $count && $r },
        "$name has $count");
}

sub ask {
    my ($host, $path, @args) = @_;
    return ($t->curl('-o', '/dev/null', '-w', '%{http_code}', '-H', "Host: $host", @args, "http://127.0.0.1:$http$path"))[1];
}

subtest 'names' => sub {
    my @names = map { $_->{name} } grep { $_->{listener} eq 'web' } @{ $weir->stats->{routes} };
    is_deeply([ @names[ 0 .. 6 ] ], [
        'api.example.com/v1/*', 'api.example.com/v1', 'api.example.com/v1/*+method=PUT,POST+header:x-canary=1',
        '*.example.org/st*', '~/r[0-9]+', '/limited/*', 'given',
    ], 'are made of host, path and conditions, or given');
    is(scalar @names, 11, 'two routes of one name are one');
    is($names[10], '(none)', 'the last is what no route is for');
    is(route('given')->{routes}, 2, 'it has two routes');
    like($names[8], qr{^/l{150}~[0-9a-f]{8}$}, 'a long name is cut, and ends with a hash');
    isnt($names[8], $names[9], 'which tells it from another');
};

subtest 'counters' => sub {
    is(ask('api.example.com', '/v1/a'), 200, 'a prefix') for 1 .. 3;
    is(ask('api.example.com', '/v1/a', '-X', 'POST', '-H', 'X-Canary: 1'), 200, 'with conditions');
    is(ask('api.example.com', '/v1'), 200, 'exactly');
    is(ask('x.example.org', '/style'), 204, 'a fixed response');
    is(ask('x', '/r1'), 503, 'no server can be reached');
    is(ask('x', '/given'), 200, 'a given name');
    is(ask('x', '/also/status/404'), 200, 'twice');
    is(ask('x', '/nothing'), 404, 'no route');
    is(counted('api.example.com/v1/*', 3)->{status_2xx}, 3, 'responses of the prefix');
    is(counted('api.example.com/v1/*+method=PUT,POST+header:x-canary=1', 1)->{status_2xx}, 1, 'of conditions');
    is(counted('api.example.com/v1', 1)->{status_2xx}, 1, 'of the exact path');
    my $gone = counted('~/r[0-9]+', 1);
    is($gone->{status_5xx}, 1, 'a failure');
    is_deeply($gone->{ends}, { 'connect-failed' => 1 }, 'with its reason');
    is_deeply($weir->stats_pool('gone')->{ends}, { 'connect-failed' => 1 }, 'which the pool has too');
    counted('given', 2);
    is(counted('(none)', 1)->{status_4xx}, 1, 'what no route is for');
    my $r = route('api.example.com/v1/*');
    is($r->{latency}{total}{count}, 3, 'latency');
    ok($r->{latency}{first_byte}{p99_us} > 0, 'with percentiles');
    ok($r->{bytes_in} > 0 && $r->{bytes_out} > 0, 'bytes');
    my @statuses = map { ask('x', '/limited') } 1 .. 3;
    ok((grep { $_ == 503 } @statuses) >= 1, "the limit is reached: @statuses");
    is(counted('/limited/*', 3)->{over_limit}, scalar(grep { $_ == 503 } @statuses), 'and counted for its route');
};

subtest 'a session that switched protocols stays active' => sub {
    my $client = $t->client($http);
    $client->send("GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    is($client->response_head->{status}, 101, 'switched');
    my $before = $t->wait_until(sub { my $r = route('/chat/*'); $r->{status_1xx} == 1 && $r }, 'the response is counted');
    is($before->{active}, 1, 'it is active');
    $client->send('x' x 1000);
    is($client->read_bytes(1000), 'x' x 1000, 'bytes both ways');
    $client->close;
    my $r = counted('/chat/*', 1);
    is($r->{bytes_in}, $before->{bytes_in} + 1000, 'bytes in count');
    is($r->{bytes_out}, $before->{bytes_out} + 1000, 'bytes out, too');
};

subtest 'access log' => sub {
    my $line = $t->wait_until(sub { ($t->read($t->path('access.log')) =~ /^(.*"target":"\/v1\/a".*)$/m)[0] }, 'a line');
    is($json->decode($line)->{route}, 'api.example.com/v1/*', 'names the route');
    my ($none) = $t->wait_until(sub { ($t->read($t->path('access.log')) =~ /^(.*"target":"\/nothing".*)$/m)[0] }, 'one without');
    is($json->decode($none)->{route}, undef, 'unless there is none');
};

subtest 'TLS that is passed through' => sub {
    my $client = $t->client($sni);
    my $hello = client_hello(name => 'one.example.com');
    $client->send($hello);
    $client->read_bytes(length $hello);
    is(route('one.example.com', 'by-name')->{active}, 1, 'a session of the name is active');
    $client->close;
    my $r = counted('one.example.com', 1, listener => 'by-name');
    is($r->{bytes_in}, length $hello, 'its bytes count');
    $client = $t->client($sni);
    $client->send(client_hello(name => 'two.example.com'));
    $client->fill;
    $client->close;
    counted('(none)', 1, listener => 'by-name');
    pass('another name has no route');
};

subtest 'certificates' => sub {
    my $connect = sub {
        my ($name, @args) = @_;
        return ($t->openssl('s_client', '-connect', "127.0.0.1:$https", '-servername', $name, @args))[0] == 0;
    };
    ok($connect->('two.example.com'), 'a handshake by name') for 1 .. 3;
    ok($connect->('other.example.com'), 'one with the default');
    ok(!$connect->('two.example.com', '-tls1_2', '-cipher', 'AES128-SHA'), 'one that fails');
    my $of = sub { my $id = shift; return (grep { $_->{id} eq $id } @{ $weir->stats->{certificates} })[0] };
    $t->wait_until(sub { $of->('two')->{tls_failures} == 1 }, 'the failure is counted');
    is($of->('two')->{tls_handshakes}, 3, 'handshakes of a certificate');
    is($of->('one')->{tls_handshakes}, 1, 'of the other');
    is($of->('one')->{tls_failures}, 0, 'which never failed');
    is_deeply($of->('two')->{listeners}, ['secure'], 'who shows it');
    like($weir->metrics, qr/^weir_certificate_tls_handshakes_total\{certificate="two"\} 3$/m, '/metrics');
    my $session = $t->path('session');
    ok($connect->('two.example.com', '-tls1_2', '-sess_out', $session), 'a session is kept');
    ok($connect->('two.example.com', '-tls1_2', '-sess_in', $session), 'and resumed');
    $t->wait_until(sub { $of->('two')->{tls_resumed} >= 1 }, 'a resumption is counted');
    ok($of->('two')->{tls_resumed} >= 1, 'resumptions');
};

subtest '/metrics' => sub {
    my $text = $weir->metrics;
    like($text, qr{^weir_route_requests_total\{listener="web",route="api.example.com/v1/\*"\} 3$}m, 'requests');
    like($text, qr{^weir_route_total_seconds_bucket\{listener="web",route="api.example.com/v1/\*",le="\+Inf"\} 3$}m, 'a histogram');
    like($text, qr{^weir_route_ends_total\{listener="web",route="~/r\[0-9\]\+",end="connect-failed"\} 1$}m, 'why requests failed');
    like($text, qr{^weir_pool_ends_total\{pool="gone",end="connect-failed"\} 1$}m, 'of pools too');
    like($text, qr{^weir_server_ends_total\{pool="gone",server="g",end="connect-failed"\} 1$}m, 'and of servers');
    SKIP: {
        skip 'promtool is not installed', 1 if system('command -v promtool >/dev/null') != 0;
        my ($exit, $out, $err) = $t->run('promtool', 'check', 'metrics', { stdin => $text });
        is("$exit$out$err", 0, 'promtool has nothing to say');
    }
};

subtest 'weirctl routes' => sub {
    my @base = ('-S', $weir->control_socket);
    my ($exit, $out) = $t->weirctl(@base, 'routes', 'web');
    like($out, qr{^LISTENER\s+ROUTE\s+ACTIVE\s+REQUESTS\s.*MEDIAN}m, 'a table');
    like($out, qr{^web\s+api\.example\.com/v1/\*\s+0\s+3\s.*\d+\.\d\dms}m, 'with its row');
    unlike($out, qr{^by-name}m, 'of this listener alone');
    my $list = $json->decode(($t->weirctl(@base, '-o', 'json', 'routes'))[1]);
    is(scalar(grep { $_->{listener} eq 'by-name' } @$list), 2, 'of all as JSON');
    ($exit, $out, my $err) = $t->weirctl(@base, 'routes', 'wbe');
    is($exit, 1, 'an unknown listener');
    like($err, qr/no listener "wbe"; did you mean "web"\?/, 'with a proposal');
    like(($t->weirctl(@base, 'certs'))[1], qr/^two\s.*\bsecure\s+5\s+1\s+1$/m, 'certs say who shows them');
};

subtest 'reloads' => sub {
    # Other places in the file, one gone, one new.
    $routes = <<"ROUTES";
      - {path: {prefix: /new}, pool: p}
      - {name: given, path: {prefix: /given}, pool: p}
      - {host: api.example.com, path: {prefix: /v1}, pool: p}
ROUTES
    $weir->reload(config($routes));
    is(route('api.example.com/v1/*')->{requests}, 3, 'counters stay with their names');
    ok(route('given')->{requests} >= 2, 'given ones too');
    is(route('/new/*')->{requests}, 0, 'a new one begins at 0');
    is(route('api.example.com/v1'), undef, 'one that is gone is not shown');
    is(ask('api.example.com', '/v1/a'), 200, 'a request');
    is(counted('api.example.com/v1/*', 4)->{latency}{total}{count}, 4, 'goes on where it was');
};

subtest 'past the limit' => sub {
    my $text = config($routes);
    $text =~ s/stats: \{/stats: {routes: 2, / or die $text;
    my ($exit, $out, $err) = $t->weir('-t', '-c', $t->write('limited.yaml', $text));
    is($exit, 0, 'a limit is no error');
    like("$out$err", qr/warning: 2 routes are past the first 2 and are counted together/, 'it is told');
    $weir->reload($text);
    is(ask('api.example.com', '/v1/a'), 200, 'a request');
    is(counted('(others)', 1)->{routes}, 1, 'is counted with the others');
    is($weir->stats->{routes_together}, 2, 'how many are');
    ok(route('given'), 'the first ones are as they were');
    $text =~ s/routes: 2, /routes: 0, / or die;
    $weir->reload($text);
    is_deeply($weir->stats->{routes}, [], '0: none is counted');
    is(ask('api.example.com', '/v1/a'), 200, 'and all go on');
    unlike($weir->metrics, qr/weir_route_requests/, 'no series are shown');
};

done_testing;
