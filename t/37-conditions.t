#!/usr/bin/perl
# Routes that ask for more than host and path, and pools that share the requests of one.

use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($port, $split_port) = $t->ports(2);
my %origin = map { $_ => $t->origin($_) } qw(a b);

sub route {
    my ($name, $match, $when) = @_;
    return "      - {$match, when: $when, pool: a, response_headers: {set: {X-Route: $name}}}\n";
}
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - name: web
    listen: ["127.0.0.1:$port"]
    protocol: http
    response_headers: {set: {X-Route: plain}}
    routes:
      - {path: {prefix: /m}, pool: a}
@{[ route('method', 'path: {prefix: /m}', '[{method: [PUT, PATCH]}]') ]}
@{[ route('header', 'path: {prefix: /m}', '[{header: X-Canary, values: ["yes", "v?.*", "*-end"]}]') ]}
@{[ route('both', 'path: {exact: /both}', '[{header: X-A, values: "1"}, {header: X-B, values: ["2"]}]') ]}
      - {path: {prefix: /both}, pool: a}
@{[ route('query', 'path: {starts_with: /q}', '[{query: k, values: ["a b", "x*", ""]}]') ]}
@{[ route('cookie', 'path: {starts_with: /q}', '[{cookie: c, values: [one, two]}]') ]}
      - {path: {starts_with: /q}, pool: a}
      - {path: {starts_with: /}, pool: a, response_headers: {set: {X-Route: rest}}}
@{[ route('near', 'path: {regex: /s/}', '[{source: [127.0.0.0/8, "::1"]}]') =~ s{/s/}{'/s/'}r ]}
@{[ route('far', 'host: far.example', '[{source: 192.0.2.0/24}]') ]}
@{[ route('here', 'host: here.example', '[{source: 127.0.0.1}]') ]}
@{[ route('source', 'path: {exact: /source}', '[{source: [192.0.2.1]}]') ]}
    pool: a
  - name: split
    listen: ["127.0.0.1:$split_port"]
    protocol: http
    routes:
      - {path: {prefix: /nine}, split: [{pool: a, weight: 9}, {pool: b}]}
      - {path: {prefix: /zero}, split: [{pool: a, weight: 0}, {pool: b, weight: 3}]}
pools:
  - {name: a, servers: [{name: a, address: "@{[ $origin{a}->address ]}"}]}
  - {name: b, servers: [{name: b, address: "@{[ $origin{b}->address ]}"}]}
CONFIG

for my $case (
    [ 'plain', '/m', [] ],
    [ 'method', '/m', [], 'PUT' ],
    [ 'method', '/m/x', [ 'X-Canary' => 'yes' ], 'PATCH' ],
    [ 'plain', '/m', [], 'put' ],
    [ 'header', '/m', [ 'X-Canary' => 'yes' ] ],
    [ 'header', '/m', [ 'x-canary' => 'v2.7' ] ],
    [ 'header', '/m', [ 'X-Canary' => 'front-and-end' ] ],
    [ 'header', '/m', [ 'X-Canary' => 'no', 'X-Canary' => 'yes' ] ],
    [ 'plain', '/m', [ 'X-Canary' => 'Yes' ] ],
    [ 'plain', '/m', [ 'X-Canary' => 'v.7' ] ],
    [ 'plain', '/m', [ 'X-Canary' => 'yes, no' ] ],
    [ 'plain', '/m', [ 'X-Canary' => '' ] ],
    [ 'plain', '/m', [ 'X-Canar' => 'yes' ] ],
    [ 'both', '/both', [ 'X-A' => 1, 'X-B' => 2 ] ],
    [ 'plain', '/both', [ 'X-A' => 1 ] ],
    [ 'plain', '/both', [ 'X-B' => 2, 'X-A' => 12 ] ],
    [ 'query', '/q?k=a%20b', [] ],
    [ 'query', '/q?j=1&k=a+b', [] ],
    [ 'query', '/q1?k=xyz&k=no', [] ],
    [ 'query', '/q?k=no&%6b=x', [] ],
    [ 'query', '/q?k', [] ],
    [ 'query', '/q?k=', [] ],
    [ 'plain', '/q?k=%', [] ],
    [ 'plain', '/q?kk=x', [] ],
    [ 'plain', '/q?', [] ],
    [ 'plain', '/q/k=x', [] ],
    [ 'plain', '/q?k=' . 'x' x 2000, [] ],
    [ 'cookie', '/q', [ Cookie => 'a=b; c=one' ] ],
    [ 'cookie', '/q', [ Cookie => 'c="two"; d' ] ],
    [ 'cookie', '/q', [ Cookie => 'a', Cookie => 'c=one' ] ],
    [ 'plain', '/q', [ Cookie => 'cc=one; C=one; c=three; c' ] ],
    [ 'rest', '/other', [] ],
    [ 'rest', '/source', [] ],
    [ 'rest', '/s/', [] ],
    [ 'here', '/anything', [ Host => 'here.example' ] ],
    [ 'rest', '/anything', [ Host => 'far.example' ] ],
    ) {
    my ($route, $path, $headers, $method) = @$case;
    my $r = $t->http_get($port, $path, headers => $headers, method => $method // 'GET');
    my $what = join ' ', $method // 'GET', substr($path, 0, 30), @$headers;
    is($r->{headers}{'x-route'}, $route, "$what: $route");
}

# --- shares ---

my %got;
$got{ $t->http_get($split_port, '/nine')->{body} }++ for 1 .. 200;
cmp_ok($got{"b\n"} // 0, '>=', 10, 'a share of one in ten gets its requests');
cmp_ok($got{"b\n"} // 0, '<=', 30, 'and not many more');
is(($got{"a\n"} // 0) + ($got{"b\n"} // 0), 200, 'all are served');
%got = ();
$got{ $t->http_get($split_port, '/zero')->{body} }++ for 1 .. 20;
is_deeply(\%got, { "b\n" => 20 }, 'a share of 0 gets none');

# --- what is printed is read again, what is wrong is told ---

my $file = $t->write('printed.yaml', ($t->weir('-T', '-c', $weir->config_file))[1]);
my ($exit, $out, $err) = $t->weir('-T', '-c', $file);
is($exit, 0, 'weir -T prints what can be read') or diag $err;
is($out, $t->read('printed.yaml'), 'and it is the same');

sub faults {
    my ($route, $pattern, $what) = @_;
    my $bad = $t->write('bad.yaml', $t->config(<<"CONFIG"));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, routes: [{$route}]}
pools: [{name: a, servers: [{name: a, address: "127.0.0.1:1"}]}]
CONFIG
    my ($status, undef, $message) = $t->weir('-t', '-c', $bad);
    is($status, 1, "$what is refused");
    like($message, $pattern, "$what: the message says why");
}
faults('pool: a, when: [{}]', qr{condition: none of method, header, query, cookie and source is given; one is needed}, 'an empty condition');
faults('pool: a, when: [{method: [GET], cookie: a, values: [b]}]', qr{condition: several of .* are given}, 'a condition of two kinds');
faults('pool: a, when: [{header: a}]', qr{condition: values are missing}, 'a condition without values');
faults('pool: a, when: [{method: [GET], values: [b]}]', qr{values has no meaning here; it is allowed with header, query or cookie}, 'values of a method');
faults('pool: a, when: [{header: "a b", values: [b]}]', qr{header: "a b" is not the name of a field}, 'a name that is none');
faults('pool: a, when: [{source: [1.2.3.4/8]}]', qr{source: "1.2.3.4/8" has bits set behind its prefix}, 'a network that is none');
faults('split: []', qr{split: the list is too short|there is no target}, 'an empty split');
faults('split: [{pool: a, weight: 0}]', qr{split: all weights are 0; one at least must be more}, 'a split without weight');
faults('split: [{pool: x}]', qr{pool: there is no pool "x"}, 'a split to a pool that is not there');
faults('split: [{pool: a}], pool: a', qr{route: there is more than one target}, 'a split and a pool');

is($weir->stop, 0, 'weir ends well');
done_testing;
