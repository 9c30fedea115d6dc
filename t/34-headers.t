#!/usr/bin/perl
# Fields that are set, added and removed; Forwarded and its kin; request IDs; what errors look like.

use strict;
use warnings;
use JSON::PP ();
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($port, $other_port, $all_port, $late_port, $moved_port, $log) = ($t->ports(5), $t->path('access.log'));
my $origin = $t->origin('o', handler => sub {
    return { headers => [ 'X-Old' => 'a', 'x-old' => 'b', Server => 'hidden', 'Set-Cookie' => 'k=v' ], body => "ok\n" };
});
mkdir $t->path('pages');
$t->write('pages/503.html', '<p>Sorry, ${request_id} ${other}</p>');
$t->write('pages/5xx.json', '{"sorry": "${request_id}${request_id}"}');
$t->write('pages/4xx.html', 'not here');

my $weir = $t->start_weir(config => $t->config(<<"CONFIG", access => $log, global => "errors: {dir: @{[ $t->path('pages') ]}}\n"));
listeners:
  - name: web
    listen: ["127.0.0.1:$port"]
    protocol: http
    request_headers:
      set: {X-Client: '\${client_ip}', X-Url: '\${scheme}://\${host}\${path}\${query} \${method} \$\$1', User-Agent: weir}
      add: {X-More: two}
      remove: [X-Secret, accept-language]
    response_headers: {set: {X-Old: new}, add: {X-Via: 'weir \${listen_port}'}, remove: [server]}
    routes:
      - {path: {prefix: /route}, request_headers: {set: {X-Client: route, host: 'inner.example:81'}, remove: [User-Agent]}, response_headers: {set: {X-Via: route}}, pool: p}
      - {path: {prefix: /none}, pool: none}
      - {path: {prefix: /moved}, redirect: {}}
    pool: p
  - name: elsewhere
    listen: ["127.0.0.1:$moved_port"]
    protocol: http
    redirect: {url: 'https://[2001:db8::1]:444/\${host}\${path}\${query}', status: 307}
  - name: other
    listen: ["127.0.0.1:$other_port"]
    protocol: http
    forwarded: {for: replace, proto: on}
    request_id: {pass: on, trust: on, header: X-Trace}
    routes:
      - {path: {prefix: /none}, pool: none}
      - {path: {prefix: /p}, pool: p}
  - name: all
    listen: ["127.0.0.1:$all_port", "127.0.0.1:$late_port"]
    protocol: http
    forwarded: {port: on, client_port: on, host: on, real_ip: on, slb_port: on, client_src_port: on, rfc7239: on}
    request_id: {pass: on}
    pool: p
pools:
  - {name: p, servers: [{name: o, address: "@{[ $origin->address ]}"}]}
  - {name: none, servers: []}
CONFIG

sub seen {
    my ($to, $path, @headers) = @_;
    my $n = $origin->request_count;
    my $r = $t->http_get($to, $path, headers => \@headers);
    $origin->wait_requests($n + 1);
    return ($origin->last_request, $r);
}

# All values of a field in the bytes of a head.
sub values_of {
    my ($message, $name) = @_;
    my ($head) = $message->{raw} =~ /\A(.*?\r\n)\r\n/s;
    return join '|', $head =~ /^\Q$name\E: (.*?)\r$/mgi;
}

my ($request, $response) = seen($port, '/a/b?c=d', Host => 'Shop.example:81', 'X-Client' => 'lie', 'x-more' => 'one',
    'X-Secret' => 's', 'X-SECRET' => 't', 'Accept-Language' => 'en', 'User-Agent' => 'test', 'X-Client-2' => 'kept');
is(values_of($request, 'X-Client'), '127.0.0.1', 'a field is set in place of what came');
is(values_of($request, 'X-Client-2'), 'kept', 'others are not touched');
is(values_of($request, 'X-Url'), 'http://Shop.example:81/a/b?c=d GET $1', 'values have variables');
is(values_of($request, 'X-More'), 'one|two', 'a field is added');
is(values_of($request, 'X-Secret'), '', 'a field is removed, however often and however written');
is(values_of($request, 'Accept-Language'), '', 'and another one');
is(values_of($request, 'User-Agent'), 'weir', 'known fields too');
is(values_of($request, 'X-Forwarded-For'), '127.0.0.1', 'X-Forwarded-For is there as ever');
my ($bytes) = $t->raw_exchange($port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
$response = { raw => $bytes };
is(values_of($response, 'X-Old'), 'new', 'responses: set');
is(values_of($response, 'X-Via'), "weir $port", 'responses: add, with a variable');
is(values_of($response, 'Server'), '', 'responses: remove');
is(values_of($response, 'Set-Cookie'), 'k=v', 'responses: others stay');

($request, $response) = seen($port, '/route/x', Host => 'a', 'User-Agent' => 'test');
is(values_of($request, 'X-Client'), 'route', "a route's rule wins over its listener's");
is(values_of($request, 'Host'), 'inner.example:81', 'Host may be set');
is(values_of($request, 'User-Agent'), '', 'and may remove what that one sets');
is(values_of($request, 'X-More'), 'two', 'the others hold');
is($response->{headers}{'x-via'}, 'route', 'in responses likewise');
is($response->{headers}{'x-old'}, 'new', 'and the others hold there too');

for my $head ("GET http://outer.example/route HTTP/1.1\r\nHost: other\r\n", "GET /route HTTP/1.0\r\n") {
    $t->raw_exchange($port, "${head}Connection: close\r\n\r\n");
    is(values_of($origin->last_request, 'Host'), 'inner.example:81', 'and is the only one then');
}

my $r = $t->http_get($port, '/moved', headers => [ Host => 'a' ]);
is("$r->{status} $r->{headers}{'x-via'} $r->{headers}{'x-old'}", "301 weir $port new", "weir's own answers get the fields");
$r = $t->http_get($port, '/none');
is($r->{headers}{'x-via'}, "weir $port", 'errors too');

# A body behind the head, and a head that grows beyond its place.
$r = $t->http_get($port, '/big', method => 'POST', body => 'x' x 100_000, headers => [ 'X-Long' => 'y' x 9000 ]);
is($r->{status}, 200, 'a long head and a body pass');
is($origin->last_request->{body}, 'x' x 100_000, 'the body is the same');
is(values_of($origin->last_request, 'X-Long'), 'y' x 9000, 'and the long field');
$r = $t->http_get($port, '/' . 'p' x 14_000, headers => [ Host => 'a' ]);
is(length values_of($origin->last_request, 'X-Url'), 14_000 + length 'http://a/ GET $1', 'a long value is made');

$r = $t->http_get($moved_port, '/a?b', headers => [ Host => 'old.example' ]);
is("$r->{status} $r->{headers}{location}", '307 https://[2001:db8::1]:444/old.example/a?b', 'a listener redirects to a URL');

# --- forwarded ---

($request) = seen($all_port, '/', Host => 'shop.example', 'X-Forwarded-Port' => 1, 'X-Forwarded-For-Port' => 2, 'X-Forwarded-Host' => 'lie',
    'X-Real-IP' => '9.9.9.9', 'XForwardedFor_SLBPORT' => 3, 'xforwardedfor_clientsrcport' => 4, Forwarded => 'for=9.9.9.9',
    'X-Forwarded-For' => '8.8.8.8', 'X-Request-ID' => 'lie');
is(values_of($request, 'X-Forwarded-Port'), $all_port, 'X-Forwarded-Port');
my $client_port = values_of($request, 'X-Forwarded-For-Port');
like($client_port, qr/^\d{4,5}$/, 'X-Forwarded-For-Port');
is(values_of($request, 'X-Forwarded-Host'), 'shop.example', 'X-Forwarded-Host');
is(values_of($request, 'X-Real-IP'), '127.0.0.1', 'X-Real-IP');
is(values_of($request, 'XForwardedFor_SLBPORT'), $all_port, 'XForwardedFor_SLBPORT');
is(values_of($request, 'XForwardedFor_ClientSrcPort'), $client_port, 'XForwardedFor_ClientSrcPort');
is(values_of($request, 'Forwarded'), 'for=127.0.0.1;host="shop.example";proto=http', 'Forwarded');
is(values_of($request, 'X-Forwarded-For'), '8.8.8.8, 127.0.0.1', 'X-Forwarded-For is appended to');
like(values_of($request, 'X-Request-ID'), qr/^[0-9a-f]{16}$/, 'X-Request-ID is ours');
like($request->{raw}, qr/XForwardedFor_SLBPORT: /, 'the spelling is kept');
($request) = seen($late_port, '/');
is(values_of($request, 'X-Forwarded-Port'), $late_port, 'a listener with two ports tells the right one');

($request) = seen($other_port, '/p', Forwarded => 'for=9.9.9.9', 'X-Forwarded-Port' => 1, 'X-Trace' => 'my-id/1');
is(values_of($request, 'Forwarded'), 'for=9.9.9.9', 'what is off is passed');
is(values_of($request, 'X-Forwarded-Proto'), 'http', 'X-Forwarded-Proto');
is(values_of($request, 'X-Trace'), 'my-id/1', "a trusted client's ID is passed");

# --- request IDs ---

for my $case ([ 'a' x 128, 1 ], [ 'a' x 129, 0 ], [ 'a b', 0 ], [ 'a"b', 0 ], [ '', 0 ]) {
    my ($id, $good) = @$case;
    ($request) = seen($other_port, '/p', 'X-Trace' => $id);
    my $got = values_of($request, 'X-Trace');
    $good ? is($got, $id, 'an ID is taken') : like($got, qr/^[0-9a-f]{16}$/, 'what is none is replaced: ' . substr $id, 0, 10);
}
($request) = seen($other_port, '/p', 'X-Trace' => 'one', 'X-Trace' => 'two');
like(values_of($request, 'X-Trace'), qr/^[0-9a-f]{16}$/, 'two IDs are none');
$r = $t->http_get($other_port, '/none', headers => [ 'X-Trace' => 'trace-7' ]);
is($r->{headers}{'x-request-id'}, 'trace-7', 'an error tells it');
is($r->{body}, '<p>Sorry, trace-7 ${other}</p>', 'a page has it in its place');
$t->wait_until(sub { -s $log && $t->read('access.log') =~ /"id":"trace-7"/ }, 'the log to have the ID');
pass('the access log has it');
my $made = values_of((seen($all_port, '/made'))[0], 'X-Request-ID');
$t->wait_until(sub { $t->read('access.log') =~ /"id":"$made"[^\n]*"target":"\/made"/ }, 'the log to have the ID we made');
pass('and those that weir makes');

# --- errors ---

for my $case (
    [ undef, 'html' ], [ '*/*', 'html' ], [ 'text/html,application/xhtml+xml,*/*;q=0.8', 'html' ], [ 'application/json', 'json' ],
    [ 'application/json, text/html', 'html' ], [ 'application/json, text/html;q=0.9', 'json' ], [ 'application/*', 'json' ],
    [ 'application/json;q=0', 'html' ], [ 'text/html;q=0.1, application/*;q=0.2', 'json' ], [ 'APPLICATION/JSON; charset=utf-8', 'json' ],
    ) {
    my ($accept, $kind) = @$case;
    my $r = $t->http_get($other_port, '/nowhere', headers => [ defined $accept ? (Accept => $accept) : () ]);
    is($r->{headers}{'content-type'} =~ m{^(?:text|application)/(\w+)} && $1, $kind, 'Accept: ' . ($accept // 'none'));
}
$r = $t->http_get($other_port, '/nowhere', headers => [ Accept => 'application/json' ]);
my $data = JSON::PP::decode_json($r->{body});
is($data->{status}, 404, 'JSON: the status');
is($data->{request_id}, $r->{headers}{'x-request-id'}, 'JSON: the request ID');
like($r->{headers}{'proxy-status'}, qr/^weir; error=destination_not_found/, 'Proxy-Status');
is($t->http_get($other_port, '/nowhere')->{body}, 'not here', 'a page for all of a class');
$r = $t->http_get($other_port, '/none', headers => [ Accept => 'application/json' ]);
is($r->{body}, qq({"sorry": "$r->{headers}{'x-request-id'}$r->{headers}{'x-request-id'}"}), 'a page in JSON');
is($t->http_get($other_port, '/none', method => 'HEAD')->{body}, '', 'HEAD gets no page');
$bytes = $t->raw_exchange($other_port, "GET /bad HTTP/1.1\r\nno field\r\n\r\n");
like($bytes, qr/^HTTP\/1.1 400 .*\r\n\r\nnot here$/s, 'requests that cannot be read get a page too');

# --- pages are read at load ---

$t->write('pages/404.html', 'x' x 40_000);
$weir->signal('HUP');
$weir->wait_log(qr{404\.html is larger than 32768 bytes});
is($t->http_get($other_port, '/nowhere')->{body}, 'not here', 'a page that is too large changes nothing');
$t->write('pages/404.html', 'new page');
$weir->reload;
is($t->http_get($other_port, '/nowhere')->{body}, 'new page', 'a reload reads them again');

is($weir->stop, 0, 'weir ends well');
done_testing;
