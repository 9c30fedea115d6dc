#!/usr/bin/perl
# Which route a request takes, and what a route can do: pools, redirects, fixed responses, rewritten paths.

use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $port = $t->port;
my $origin = $t->origin('o', handler => sub {
    my ($r) = @_;
    return { status => 200, headers => [ 'Content-Type' => 'text/plain' ], body => "$r->{path}\n" };
});

# Each pool is told by a field that its route adds.
sub route {
    my ($name, $match, $more) = @_;
    return "      - {$match, pool: p, response_headers: {set: {X-Route: $name}}" . ($more ? ", $more" : '') . "}\n";
}

my $many = join '', map { route("many$_", "path: {prefix: /many/$_}") . route("text$_", "path: {starts_with: /t/$_}") } 1 .. 1500;
my $routes = route('host', 'host: a.example')
    . route('exact', 'host: a.example, path: {exact: /x}')
    . route('prefix', 'host: a.example, path: {prefix: /v1/}')
    . route('longer', 'host: a.example, path: {prefix: /v1/deep}')
    . route('text', 'host: a.example, path: {starts_with: /foo}')
    . route('text2', 'host: a.example, path: {starts_with: /foobar/b}')
    . route('regex', q(host: a.example, path: {regex: '/r/[0-9]+'}))
    . route('regex2', q(host: a.example, path: {regex: '/r/[0-9]+/[a-z]+$'}))
    . route('wild', 'host: "*.example"')
    . route('wildpath', 'host: "*.example", path: {prefix: /w}')
    . route('only', 'host: b.example, path: {exact: /only}')
    . route('default', 'path: {prefix: /d}')
    . route('rewrite', 'host: r.example, path: {prefix: /api}', 'rewrite: /v2')
    . route('strip', 'host: r.example, path: {starts_with: /strip}', 'rewrite: /')
    . route('slash', 'host: r.example, path: {prefix: /s/}', 'rewrite: /')
    . route('whole', 'host: r.example, path: {exact: /one}', 'rewrite: /two%3F')
    . route('groups', q(host: r.example, path: {regex: '/u/([^/]+)/(.*)'}), q(rewrite: '/$2/of/$1/$$'))
    . <<'ROUTES' . $many;
      - {host: redirect.example, redirect: {scheme: https, port: 8443, status: 308}}
      - {host: redirect.example, path: {prefix: /u}, redirect: {url: 'https://new.example:${listen_port}/${host}${path}${query}', status: 302}}
      - {host: redirect.example, path: {regex: '/g/(\w+)'}, redirect: {url: 'http://$1.example/', status: 307}}
      - {host: fixed.example, respond: {status: 403, content_type: application/json, body: '{"no": true}'}}
      - {host: limit.example, path: {exact: /all}, limit: {requests: 3}, respond: {body: yes}}
      - {host: limit.example, path: {exact: /source}, limit: {per_source: 1, burst: 2}, pool: p}
      - {host: limit.example, path: {prefix: /}, in_order: on, when: [{header: X-First, values: [1]}], respond: {body: first}}
      - {host: fixed.example, path: {exact: /empty}, respond: {status: 204}}
      - {host: fixed.example, path: {exact: /plain}, respond: {body: "two\nlines\n"}, response_headers: {add: {X-Fixed: 'yes ${path}'}}}
      - {host: slow.example, path: {regex: '/(a+)+$'}, pool: p}
      - {host: fence.example, path: {regex: '.*(//|/\.\.?(/|$)|\\|%(2[EeFf]|5[Cc]|00|[46][1-9A-Fa-f]|[57][0-9Aa]))'}, in_order: on, respond: {status: 400}}
      - {host: fence.example, path: {prefix: /admin}, respond: {status: 403}}
      - {host: fence.example, respond: {status: 204}}
ROUTES

my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
  - name: web
    listen: ["127.0.0.1:$port"]
    protocol: http
    routes:
$routes
pools:
  - name: p
    servers: [{name: o, address: "@{[ $origin->address ]}"}]
CONFIG

sub get {
    my ($host, $path, %o) = @_;
    return $t->http_get($port, $path, headers => [ Host => $host ], %o);
}

my @cases = (
    # host, path, route (undef: 404)
    [ 'a.example', '/', 'host' ],
    [ 'A.Example:80', '/', 'host' ],
    [ 'a.example.', '/', 'host' ],
    [ 'a.example', '/x', 'exact' ],
    [ 'a.example', '/x?q=/v1', 'exact' ],
    [ 'a.example', '/x/', 'host' ],
    [ 'a.example', '/X', 'host' ],
    [ 'a.example', '/v1', 'prefix' ],
    [ 'a.example', '/v1/', 'prefix' ],
    [ 'a.example', '/v1?a', 'prefix' ],
    [ 'a.example', '/v1/deepest', 'prefix' ],
    [ 'a.example', '/v1/deep/er', 'longer' ],
    [ 'a.example', '/v10', 'host' ],
    [ 'a.example', '/v1' . '/a' x 10_000, 'prefix' ],
    [ 'a.example', '/v1/deep' . '/' x 10_000, 'longer' ],
    [ 'a.example', '/v1' . '/' x 10_000 . 'deep', 'prefix' ],
    [ 'a.example', '/v1/dee' . '/p' x 10_000, 'prefix' ],
    [ 'a.example', '/a' x 10_000, 'host' ],
    [ 'a.example', '/foo', 'text' ],
    [ 'a.example', '/foobar', 'text' ],
    [ 'a.example', '/foobar/a', 'text' ],
    [ 'a.example', '/foobar/baz', 'text2' ],
    [ 'a.example', '/foobar/c', 'text' ],
    [ 'a.example', '/fo', 'host' ],
    [ 'a.example', '/r/12', 'regex' ],
    [ 'a.example', '/r/12/ab', 'regex2' ],
    [ 'a.example', '/r/12/ab/', 'regex' ],
    [ 'a.example', '/r/', 'host' ],
    [ 'a.example', '/z/r/12', 'host' ],
    [ 'z.example', '/', 'wild' ],
    [ 'z.example', '/w/1', 'wildpath' ],
    [ 'y.z.example', '/', undef ],
    [ 'b.example', '/only', 'only' ],
    [ 'b.example', '/other', 'wild' ],
    [ 'b.example', '/w', 'wildpath' ],
    [ 'other.test', '/d/1', 'default' ],
    [ 'other.test', '/', undef ],
    [ '', '/d', 'default' ],
    [ 'other.test', '/many/1500/a', 'many1500' ],
    [ 'other.test', '/many/15000', undef ],
    [ 'other.test', '/many/15', 'many15' ],
    [ 'other.test', '/t/150', 'text150' ],
    [ 'other.test', '/t/1507', 'text150' ],
    [ 'other.test', '/t/1500/9', 'text1500' ],
    [ 'other.test', '/t/', undef ],
);
for my $case (@cases) {
    my ($host, $path, $route) = @$case;
    my $r = get($host, $path);
    is($r->{headers}{'x-route'} // $r->{status}, $route // 404, "$host " . substr($path, 0, 40) . " goes " . ($route // 'nowhere'));
}

for my $case (
    [ '/api', '/v2', 'a prefix alone' ],
    [ '/api/', '/v2/', 'its slash stays' ],
    [ '/api/a/b?c=d', '/v2/a/b?c=d', 'the rest and the query stay' ],
    [ '/strip/x', '/x', 'a prefix is taken away' ],
    [ '/stripped', '/ped', 'a prefix by text' ],
    [ '/strip', '/', 'all of the path' ],
    [ '/s/a', '/a', 'a prefix with a slash' ],
    [ '/s', '/', 'and without it' ],
    [ '/one?y', '/two%3F?y', 'an exact path' ],
    [ '/u/ann/a/b?q', '/a/b/of/ann/$?q', 'groups of an expression' ],
    [ '/u/ann/', '//of/ann/$', 'an empty group' ],
    ) {
    my ($path, $seen, $what) = @$case;
    is(get('r.example', $path)->{body}, "$seen\n", "rewrite: $what");
}

for my $case ([ '/all', 3 ], [ '/source', 2 ]) {
    my ($path, $at_least) = @$case;
    my %seen;
    $seen{ get('limit.example', $path)->{status} }++ for 1 .. 60;
    is(join(' ', sort keys %seen), '200 503', "limit: $path passes some, and the others get 503");
    cmp_ok($seen{200}, '>=', $at_least, "$at_least at least");
}
cmp_ok($weir->stats_listener('web')->{over_limit}, '>', 0, 'which is counted');
is(get('limit.example', '/all', headers => [ Host => 'limit.example', 'X-First' => 1 ])->{body}, 'first', 'in_order: before more specific ones');

my $r = get('redirect.example', '/a?b');
is("$r->{status} $r->{headers}{location}", '308 https://redirect.example:8443/a?b', 'a route redirects');
$r = get('redirect.example', '/u/x?y=1');
is("$r->{status} $r->{headers}{location}", "302 https://new.example:$port/redirect.example/u/x?y=1", 'to a URL with variables');
$r = get('redirect.example', '/g/shop');
is("$r->{status} $r->{headers}{location}", '307 http://shop.example/', 'and with groups');

$r = get('fixed.example', '/');
is("$r->{status} $r->{headers}{'content-type'} $r->{body}", '403 application/json {"no": true}', 'a route responds');
is($r->{headers}{'proxy-status'}, undef, 'which is no error of weir');
$r = get('fixed.example', '/empty');
is($r->{status}, 204, 'a response without a body');
is($r->{headers}{'content-length'}, undef, 'has no length');
$r = get('fixed.example', '/plain');
is("$r->{status} $r->{headers}{'content-type'} $r->{body}", "200 text/plain two\nlines\n", 'defaults of a response');
is($r->{headers}{'x-fixed'}, 'yes /plain', 'fields are added to it');
$r = get('fixed.example', '/plain', method => 'HEAD');
is("$r->{headers}{'content-length'} $r->{body}", '10 ', 'HEAD gets the length alone');
is_deeply([ grep { $_->{path} =~ /plain|empty|shop/ } $origin->requests ], [], 'nothing of that reached a server');

$r = get('slow.example', '/' . 'a' x 40 . 'b');
is($r->{status}, 500, 'a path that needs too many steps is refused');
$weir->wait_log(qr/listener web: a path needs too many steps/);
is(get('slow.example', '/aaa')->{body}, "/aaa\n", 'a harmless one is served');

# Paths are taken as they come; the expression of doc/http.md refuses what a server might resolve.
for my $case ([ '/admin', 403 ], [ '/admin/', 403 ], [ '/admin/x?y', 403 ], [ '/administer', 204 ], [ '/a', 204 ], [ '/a..b/.c', 204 ], [ '/%20%c3%bc', 204 ],
    [ '/a?b=../c//d%2f', 204 ], map { [ $_, 400 ] } '/a/../admin', '//admin', '/./admin', '/%61dmin', '/a\\..\\admin', '/a/..', '/%2e%2e/admin', '/.%2E/admin',
    '/a%2f..%2fadmin', '/%5cadmin', '/admin%00') {
    my ($path, $status) = @$case;
    is(get('fence.example', $path)->{status}, $status, "$path: $status");
}
{
    my $doc = do { open my $in, '<', ($ENV{WEIR_SRCDIR} // '.') . '/doc/http.md' or die "doc/http.md: $!"; local $/; <$in> };
    my ($expression) = $routes =~ /fence.example, path: \{regex: '([^']+)'\}, in_order/;
    ok(index($doc, "{path: {regex: '$expression'}, in_order: on, respond: {status: 400}}") > 0, 'which stands there as it is here');
}

for my $path (qw(/% /%4 /%zz /a%2 /x%%20 /%0g?a)) {
    is(get('a.example', $path)->{status}, 400, "$path has a broken escape");
}
for my $path (qw(/%41 /x/%c3%BC /d?%zz)) {
    is(get('a.example', $path)->{headers}{'x-route'}, 'host', "$path is sound");
}

is($weir->stop, 0, 'weir ends well');

# --- what is refused at load ---

sub faults {
    my ($route, $pattern, $what) = @_;
    my $file = $t->write('bad.yaml', $t->config(<<"CONFIG"));
listeners:
  - name: web
    listen: ["127.0.0.1:$port"]
    protocol: http
    routes:
      - {$route}
pools:
  - {name: p, servers: [{name: o, address: "127.0.0.1:1"}]}
CONFIG
    my ($exit, undef, $err) = $t->weir('-t', '-c', $file);
    is($exit, 1, "$what is refused");
    like($err, $pattern, "$what: the message says why");
}

faults(q[path: {regex: '/(a'}, pool: p], qr{bad\.yaml:\d+:24: error: regex: "/\(a" is not an expression \(at byte 3: missing closing parenthesis\)}, 'a bad expression');
faults(q(path: {regex: '/a'}, pool: p, rewrite: '/$1'), qr{:\d+:\d+: error: rewrite: \$1 is used, but there is no regex with groups}, 'a group too many');
faults(q(path: {prefix: /a}, pool: p, rewrite: 'x'), qr{rewrite: "x" does not start with a slash}, 'a rewrite that is no path');
faults(q(path: {prefix: /a}, pool: p, rewrite: '/${host}'), qr{has a variable \(only \$1 to \$9}, 'a variable in a path');
faults(q(path: {prefix: /a}), qr{route: there is no target; pool, split, redirect or respond is needed}, 'a route without a target');
faults(q(pool: p, respond: {}), qr{route: there is more than one target}, 'a route with two targets');
faults(q(respond: {}, rewrite: /a), qr{rewrite has no meaning here}, 'rewrite without a pool');
faults(q(respond: {status: 204, body: x}), qr{a response with status 204 has no body}, 'a body where none can be');
faults(q(respond: {status: 600}), qr{status: "600" is too big}, 'a status that is none');
faults(q(redirect: {url: 'ftp://x'}), qr{url: "ftp://x" starts neither with http:// nor with https://}, 'another scheme');
faults(q(redirect: {url: 'http://x', port: 1}), qr{port has no meaning here; it is allowed without url}, 'a URL and a port');
faults(q(redirect: {url: 'http://x/${client_ip}'}), qr{has an unknown variable}, 'a variable that URLs do not have');
faults(q(path: {prefix: /a, regex: /b}, pool: p), qr{path: both prefix and regex are given}, 'two kinds of path');

# --- the example of the manual ---

{
    open my $in, '<', ($ENV{WEIR_SRCDIR} // '.') . '/doc/http.md' or die "doc/http.md: $!";
    my ($yaml) = do { local $/; <$in> } =~ /^```yaml\n(.*?)^```/ms;
    mkdir $t->path('errors');
    $yaml =~ s{/etc/weir/errors}{$t->path('errors')}e;
    my ($exit, undef, $err) = $t->weir('-T', '-c', $t->write('example.yaml', $yaml));
    is($exit, 0, 'the example of doc/http.md is accepted') or diag $err;
}

done_testing;
