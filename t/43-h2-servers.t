#!/usr/bin/perl
# Pools with protocol h2c: HTTP/2 towards the servers: translation both ways, and servers that do wrong.

use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::H2 qw(:all);
use Weir::Test::H2Server;

my $t = Weir::Test->new;
my %port = map { $_ => $t->port } qw(web few http1 silent slow alpn bare);
my $deaf;
my $head = sub { my ($s, $id) = @_; return $s->head($id, [':status' => 200, 'x-a' => 'b']) };
my @junk = map { ("x-$_" => 'v' x 1000) } 1 .. 40;

# What servers do wrong; each is asked for over HTTP/1.1 and HTTP/2.
my %wrong = (
    'upper-case' => sub { $_[0]->head($_[1], [':status' => 200, 'X-Upper' => 'v'], END_STREAM) },
    'connection' => sub { $_[0]->head($_[1], [':status' => 200, connection => 'close'], END_STREAM) },
    'coding' => sub { $_[0]->head($_[1], [':status' => 200, 'transfer-encoding' => 'chunked'], END_STREAM) },
    'line-end' => sub { $_[0]->head($_[1], [':status' => 200, 'x-a' => "a\r\nx-b: c"], END_STREAM) },
    'nul' => sub { $_[0]->head($_[1], [':status' => 200, 'x-a' => "a\0b"], END_STREAM) },
    'bad-name' => sub { $_[0]->head($_[1], [':status' => 200, 'x a' => 'b'], END_STREAM) },
    'empty-name' => sub { $_[0]->head($_[1], [':status' => 200, '' => 'b'], END_STREAM) },
    'no-status' => sub { $_[0]->head($_[1], ['x-a' => 'b'], END_STREAM) },
    'two-statuses' => sub { $_[0]->head($_[1], [':status' => 200, ':status' => 200], END_STREAM) },
    'late-status' => sub { $_[0]->head($_[1], ['x-a' => 'b', ':status' => 200], END_STREAM) },
    'odd-status' => sub { $_[0]->head($_[1], [':status' => '2x0'], END_STREAM) },
    'high-status' => sub { $_[0]->head($_[1], [':status' => '999'], END_STREAM) },
    'request-field' => sub { $_[0]->head($_[1], [':status' => 200, ':path' => '/'], END_STREAM) },
    'switch' => sub { $_[0]->head($_[1], [':status' => 101])->end($_[1]) },
    'only-interim' => sub { $_[0]->head($_[1], [':status' => 100], END_STREAM) },
    'two-lengths' => sub { $_[0]->head($_[1], [':status' => 200, 'content-length' => 1, 'content-length' => 2])->end($_[1], 'x') },
    'odd-length' => sub { $_[0]->head($_[1], [':status' => 200, 'content-length' => '+1'])->end($_[1], 'x') },
    'length-without-data' => sub { $_[0]->head($_[1], [':status' => 200, 'content-length' => 5], END_STREAM) },
    'head-too-large' => sub { $_[0]->head($_[1], [':status' => 200, @junk], END_STREAM) },
    'too-many-fields' => sub { $_[0]->head($_[1], [':status' => 200, map { ("x-$_" => 'v') } 1 .. 200])->end($_[1]) },
    'data-first' => sub { $_[0]->end($_[1], 'data') },
    'reset' => sub { $_[0]->rst($_[1], 2) },
    'bad-hpack' => sub { $_[0]->send(frame(HEADERS, END_HEADERS | END_STREAM, $_[1], "\xff\xff\xff\xff\xff\xff")) },
    'unknown-stream' => sub { $_[0]->end(9999, 'x') },
    'push' => sub { $_[0]->send(frame(PUSH_PROMISE, END_HEADERS, $_[1], pack('N', 2) . fields(':method', 'GET'))) },
    'large-frame' => sub { $_[0]->send(frame(DATA, 0, $_[1], 'x' x 20000)) },
    'lone-continuation' => sub { $_[0]->send(frame(CONTINUATION, END_HEADERS, $_[1], fields(':status', 200))) },
    'continuations' => sub {
        $_[0]->send(frame(HEADERS, 0, $_[1], fields(':status', 200)) . frame(CONTINUATION, 0, $_[1], '') x 50);
    },
    'pings' => sub { $_[0]->send(frame(PING, 0, 0, '12345678') x 4000) },
    'settings' => sub { $_[0]->send(frame(SETTINGS, 0, 0, '') x 4000) },
    'updates' => sub { $_[0]->send(frame(WINDOW_UPDATE, 0, 0, pack 'N', 1) x 4000) },
    'closed' => sub { $_[0]{client}->reset },
);
# These have said 200 before: the client must see that the response is not whole.
my %cut = (
    'short' => sub { $_[0]->head($_[1], [':status' => 200, 'content-length' => 5])->end($_[1], 'abc') },
    'long' => sub { $_[0]->head($_[1], [':status' => 200, 'content-length' => 5])->end($_[1], 'abcdefg') },
    'reset-late' => sub { $head->(@_); $_[0]->data($_[1], 'abc')->rst($_[1], 2) },
    'cancel-late' => sub { $head->(@_); $_[0]->data($_[1], 'abc')->rst($_[1], 0) },
    'close-late' => sub { $head->(@_); $_[0]->data($_[1], 'abc'); $_[0]{client}->close },
    'empty-data' => sub { $_[0]->head($_[1], [':status' => 200])->send(frame(DATA, 0, $_[1], '') x 4000) },
    'pseudo-trailer' => sub { $head->(@_); $_[0]->data($_[1], 'abc')->head($_[1], [':status' => 200], END_STREAM) },
    'trailer-without-end' => sub { $head->(@_); $_[0]->data($_[1], 'abc')->head($_[1], ['x-t' => 'v']) },
    'large-trailers' => sub { $head->(@_); $_[0]->data($_[1], 'abc')->head($_[1], [@junk[0 .. 35]], END_STREAM) },
);
my %cases = (
    %wrong, %cut,
    'trailers' => sub { $head->(@_); $_[0]->data($_[1], 'hello')->head($_[1], ['grpc-status' => 0, 'set-cookie' => 'a=b'], END_STREAM) },
    'length-trailers' => sub {
        $_[0]->head($_[1], [':status' => 200, 'content-length' => 5])->data($_[1], 'hello')->head($_[1], ['x-t' => 'v'], END_STREAM);
    },
    'only-trailers' => sub { $_[0]->head($_[1], [':status' => 200, 'grpc-status' => 5], END_STREAM) },
    'empty-trailers' => sub { $head->(@_); $_[0]->head($_[1], ['x-t' => 'v'], END_STREAM) },
    'interim' => sub { $_[0]->head($_[1], [':status' => 103, link => '</a>'])->answer($_[1], 'late') },
    'no-content' => sub { $_[0]->head($_[1], [':status' => 204], END_STREAM) },
    'not-modified' => sub { $_[0]->head($_[1], [':status' => 304, 'content-length' => 77, etag => '"x"'])->end($_[1]) },
    'head' => sub { $_[0]->head($_[1], [':status' => 200, 'content-length' => 77])->end($_[1]) },
    'zero' => sub { $_[0]->head($_[1], [':status' => 200, 'content-length' => 0], END_STREAM) },
    'two-cookies' => sub { $_[0]->answer($_[1], 'x', 'set-cookie' => 'a=1', 'set-cookie' => 'b=2') },
    'text' => sub { $_[0]->answer($_[1], 'text ' x 1000, 'content-type' => 'text/plain') },
    'parts' => sub { $head->(@_); $_[0]->data($_[1], "part $_ ") for 1 .. 500; $_[0]->end($_[1]) },
    'large' => sub { $head->(@_); $_[0]->data($_[1], 'x' x 16000) for 1 .. 15; $_[0]->end($_[1]) },
    'padded' => sub { $head->(@_); $_[0]->send(frame(DATA, PADDED | END_STREAM, $_[1], "\5hello" . "\0" x 5)) },
    'begin:early' => sub { $_[0]->head($_[1], [':status' => 413, 'content-length' => 3])->end($_[1], 'no!')->rst($_[1], 0) },
    'begin:wait' => sub { },
    'begin:hints' => sub { $_[0]->head($_[1], [':status' => 100]) },
    'hints' => sub { $_[0]->answer($_[1], 'ok') },
    'refuse-once' => sub { my ($s, $id, $r) = @_; again($r) == 1 ? $s->rst($id, 7) : $s->answer($id, "got $r->{body}") },
    'refuse' => sub { $_[0]->rst($_[1], 7) },
    'rst-first' => sub { my ($s, $id, $r) = @_; $s->rst($id, $r->{field}{':path'} =~ /\?(\d+)/) },
    'rst-late' => sub { my ($s, $id, $r) = @_; $head->(@_); $s->data($id, 'abc')->rst($id, $r->{field}{':path'} =~ /\?(\d+)/) },
    'leave' => sub { my ($s, $id, $r) = @_; again($r) == 1 ? $s->goaway(0, 0) : $s->answer($id, "got $r->{body}") },
    'leave-later' => sub { my ($s, $id) = @_; $s->goaway($id, 0)->answer($id, 'last') },
    'lost' => sub { my ($s, $id, $r) = @_; again($r) == 1 ? $s->{client}->reset : $s->answer($id, 'again') },
);
my $file = $t->path('tries');
# How often this was asked for, on whatever connection.
sub again {
    my ($r) = @_;
    Weir::Test::Origin::append($file, "$r->{name}\n");
    return scalar grep { $_ eq $r->{name} } split /\n/, $t->read('tries');
}

my $a = Weir::Test::H2Server->start($t, 'a', \%cases);
my $few = Weir::Test::H2Server->start($t, 'few', \%cases, settings => pack('nN', 3, 2));
$t->write('deaf-ended', '');
$deaf = Weir::Test::H2Server->start($t, 'deaf', \%cases, deaf => 1, ended => $t->path('deaf-ended'));
my $http1 = $t->origin('http1');
my $silent = $t->tcp_server('silent', sub { $_[0]->read_until_close });
my $listeners = join '', map { <<"END" } sort keys %port;
  - name: $_
    listen: ["127.0.0.1:$port{$_}"]
    protocol: http
    http2: {cleartext: on}
    timeouts: {connect: 1s, response: @{[ $_ eq 'slow' ? '1s' : '20s' ]}}
    compression: {gzip: on}
    request_headers: {set: {X-Rule: "on"}}
    response_headers: {set: {X-Answer: "on"}}
    pool: $_
END
my $tls = $t->port;
$t->make_cert($t->path('certs'), 'web', ['localhost']);
my $bare = $t->port;
$t->spawn(sub { exec 'openssl', 's_server', '-accept', "127.0.0.1:$bare", '-cert', $t->path('certs/web.pem'), '-www', '-quiet' });
$t->wait_until(sub { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $bare) }, 's_server');
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1, access => $t->path('access.log')));
listeners:
$listeners
  - {name: tls, listen: ["127.0.0.1:$tls"], protocol: https, tls: {certificate: web, alpn: [http/1.1]}, pool: http1}
pools:
  - {name: web, protocol: h2c, sticky: {by: cookie_insert}, servers: [{name: a, address: "@{[ $a->address ]}"}]}
  - {name: few, protocol: h2c, servers: [{name: few, address: "@{[ $few->address ]}"}]}
  - {name: http1, protocol: h2c, servers: [{name: a, address: "@{[ $http1->address ]}"}]}
  - {name: silent, protocol: h2c, servers: [{name: a, address: "@{[ $silent->address ]}"}]}
  - {name: slow, protocol: h2c, http2: {ping: 1s}, servers: [{name: a, address: "@{[ $deaf->address ]}"}]}
  - {name: alpn, protocol: h2, tls: {verify: off}, servers: [{name: a, address: "127.0.0.1:$tls"}]}
  - {name: bare, protocol: h2, tls: {verify: off}, servers: [{name: a, address: "127.0.0.1:$bare"}]}
CONFIG

sub h1 { my ($path, %o) = @_; return $t->http_get($port{ $o{at} // 'web' }, "/$path", %o) }
sub h2_client { my ($at, @more) = @_; return Weir::Test::H2->new($t, $port{ $at // 'web' }, @more) }

sub pseudo {
    my ($path, %o) = @_;
    return [':method' => $o{method} // 'GET', ':scheme' => 'http', ':authority' => 'h2.test', ':path' => "/$path"];
}

# The response to a request over HTTP/2.
sub h2 {
    my ($path, %o) = @_;
    my $c = h2_client($o{at});
    $c->request(1, [@{ pseudo($path, %o) }, @{ $o{headers} // [] }]);
    $c->response(1);
    $c->close;
    my %fields = map { $_->[0] => $_->[1] } @{ $c->{fields}{1} // [] };
    my %trailers = map { $_->[0] => $_->[1] } @{ $c->{trailers}{1} // [] };
    return { status => $c->{status}{1}, fields => \%fields, body => $c->{body}{1} // '', trailers => \%trailers,
        all => $c->{fields}{1}, interim => $c->{interim}{1}, reset => $c->{reset}{1}, ended => $c->{ended}{1},
        frames => $c->{seen} };
}

sub last_seen {
    my ($name, $test) = @_;
    my $seen;
    $t->wait_until(sub { ($seen) = grep { !$test || $test->($_) } reverse $a->seen($name); $seen }, "the server saw $name");
    return $seen;
}

sub still_served {
    my ($what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is(h1('good')->{body}, "ok\n", "$what: others are served");
}

subtest 'requests' => sub {
    my $r = h1('plain?q=1', headers => [Host => 'name.test:81', Cookie => 'a=1; b=2', TE => 'gzip, trailers', Connection => 'TE, X-Hop',
        'X-Hop' => 1, 'Proxy-Connection' => 'x', 'X-Some' => 'Value', 'X-Forwarded-For' => '192.0.2.1']);
    is($r->{status}, 200, 'HTTP/1.1 to HTTP/2');
    is($r->{body}, "ok\n", 'the body');
    is($r->{reason}, 'OK', 'a reason phrase');
    is($r->{headers}{'x-answer'}, 'on', 'rules for responses hold');
    my $seen = last_seen('plain');
    is_deeply([ map { join '=', @$_ } @{ $seen->{fields} } ],
        [':method=GET', ':scheme=http', ':authority=name.test:81', ':path=/plain?q=1', 'cookie=a=1; b=2', 'x-some=Value',
            'x-forwarded-for=192.0.2.1, 127.0.0.1', 'te=trailers', 'x-rule=on'],
        'the server saw these fields: nothing of the connection, TE without what it does not take');
    h2('plain', headers => ['x-some' => 'v', te => 'trailers']);
    is_deeply([ map { join '=', @$_ } @{ last_seen('plain', sub { $_[0]{field}{':authority'} eq 'h2.test' })->{fields} } ],
        [':method=GET', ':scheme=http', ':authority=h2.test', ':path=/plain', 'x-some=v', 'x-forwarded-for=127.0.0.1',
            'te=trailers', 'x-rule=on'], 'HTTP/2 to HTTP/2');
    h1('star', headers => [TE => 'gzip', Connection => 'TE']);
    ok(!exists last_seen('star')->{field}{te}, 'no TE but trailers');
    h1('old', version => '1.0', headers => [Host => '']);
    is(h1('post', method => 'POST', body => 'x' x 100_000)->{status}, 200, 'a body with a length');
    $seen = last_seen('post');
    is(length $seen->{body}, 100_000, 'arrives');
    is($seen->{field}{'content-length'}, 100_000, 'with its length');
    my $c = $t->client($port{web});
    $c->send("POST /chunks HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    $c->send("3;ext\r\n, w\r\n0\r\nX-Trail: end\r\nContent-Length: 3\r\n\r\n");
    is($c->response->{status}, 200, 'a chunked body');
    $seen = last_seen('chunks');
    is($seen->{body}, 'hello, w', 'arrives without its coding');
    ok(!exists $seen->{field}{'transfer-encoding'}, 'of which nothing is said');
    is_deeply($seen->{trailers}, [['x-trail', 'end']], 'trailers, but those that may not be');
    $c = h2_client();
    $c->request(1, pseudo('trailing', method => 'POST'), END_HEADERS);
    $c->send(frame(DATA, 0, 1, 'abc') . frame(HEADERS, END_HEADERS | END_STREAM, 1, fields('x-trail' => 'two')));
    ok($c->response(1), 'trailers of an HTTP/2 client');
    is_deeply(last_seen('trailing')->{trailers}, [['x-trail', 'two']], 'arrive');
    $c = $t->client($port{web});
    $c->send("POST /hints HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    is($c->response_head->{status}, 100, '100 comes from the server');
    $c->send('abc');
    is($c->response->{status}, 200, 'and the response after the body');
    is(last_seen('hints')->{field}{expect}, '100-continue', 'which was asked for it');
    is(h1('ws', headers => [Connection => 'upgrade', Upgrade => 'websocket'])->{status}, 200, 'Upgrade is not offered to servers of HTTP/2');
    ok(!exists last_seen('ws')->{field}{upgrade}, 'and not passed');
};

subtest 'responses' => sub {
    my $r = h1('trailers');
    is($r->{body}, 'hello', 'a body without a length, over HTTP/1.1');
    is($r->{headers}{'transfer-encoding'}, 'chunked', 'is chunked');
    is($r->{trailers}, "grpc-status: 0\r\n", 'with the trailers that may be');
    $r = h2('trailers');
    is($r->{body}, 'hello', 'over HTTP/2');
    is_deeply($r->{trailers}, { 'grpc-status' => 0 }, 'trailers');
    $r = h2('length-trailers');
    is("$r->{body} $r->{fields}{'content-length'} $r->{trailers}{'x-t'}", 'hello 5 v', 'trailers behind a length, over HTTP/2');
    $r = h1('length-trailers');
    is("$r->{body} $r->{headers}{'content-length'}", 'hello 5', 'over HTTP/1.1 the length is kept');
    $r = h2('only-trailers');
    is($r->{fields}{'grpc-status'}, 5, 'a response that is all head');
    is(scalar(grep { $_->{type} == DATA } @{ $r->{frames} }), 0, 'ends with it: no DATA');
    is(h1('only-trailers')->{body}, '', 'over HTTP/1.1 it has an empty body');
    is(h2('empty-trailers')->{trailers}{'x-t'}, 'v', 'trailers behind nothing');
    is_deeply(h2('interim')->{interim}, [103], '1xx over HTTP/2');
    $r = h1('interim');
    is($r->{interim}[0]{headers}{link}, '</a>', '1xx over HTTP/1.1');
    is($r->{body}, 'late', 'and the response');
    is(h1('no-content')->{status}, 204, 'no content');
    $r = h1('not-modified');
    is("$r->{status} $r->{headers}{'content-length'}", '304 77', '304 keeps its length and has no body');
    $r = h1('head', method => 'HEAD');
    is("$r->{status} $r->{headers}{'content-length'}", '200 77', 'so does the answer to HEAD');
    is(h2('head', method => 'HEAD')->{ended}, 1, 'over HTTP/2, too');
    is(h1('zero')->{headers}{'content-length'}, 0, 'length 0');
    is(h1('padded')->{body}, 'hello', 'padding is left out');
    is(h1('large')->{body}, 'x' x 240_000, 'a large one');
    is(h2('parts')->{body}, join('', map { "part $_ " } 1 .. 500), 'one in many frames');
    is(h1('parts', version => '1.0')->{body}, join('', map { "part $_ " } 1 .. 500), 'to an HTTP/1.0 client');
    is(h1('text', headers => ['Accept-Encoding' => 'gzip'])->{headers}{'content-encoding'}, 'gzip', 'gzip');
    is(scalar(grep { $_->[0] eq 'set-cookie' } @{ h2('two-cookies')->{all} }), 3, 'each Set-Cookie, and the sticky one');
    my $cookie = h1('good')->{headers}{'set-cookie'};
    like($cookie, qr/^SERVERID=[0-9a-f]{32};/, 'a sticky cookie');
    my ($value) = $cookie =~ /^([^;]+)/;
    is(h1('stuck', headers => [Cookie => "x=1; $value"])->{headers}{'set-cookie'}, undef, 'which is known again');
    is(last_seen('stuck')->{field}{cookie}, 'x=1', 'and not told to the server');
    my $c = $t->client($port{web});
    $c->send("POST /early HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n" . 'x' x 1000);
    $r = $c->response;
    is("$r->{status} $r->{body}", '413 no!', 'an early response, and NO_ERROR');
    is($r->{closes}, 1, 'after which the client is to stop');
};

subtest 'streams share a connection' => sub {
    is(scalar(keys %{ { map { $_->{connection} => 1 } $a->seen } }), 1, 'one connection served all that');
    my $c = h2_client('few');
    $c->request(2 * $_ + 1, pseudo('wait')) for 0 .. 4;
    $t->wait_until(sub { 5 == grep { $_->{name} eq 'wait' } $few->seen }, 'five requests at a server that allows two');
    my %on;
    $on{ $_->{connection} }++ for $few->seen('wait');
    is_deeply([ sort values %on ], [1, 2, 2], 'come on three connections');
    $c->send(frame(RST_STREAM, 0, 1, pack 'N', 8));
    $t->wait_until(sub { grep { defined $_->{reset} } $few->seen('wait') }, 'a client that gives up');
    is((grep { defined $_->{reset} } $few->seen('wait'))[0]{reset}, 8, 'makes the server stop: CANCEL');
    $c->request(11, pseudo('good'));
    ok($c->response(11), 'its place is free again');
    $c->close;
    $t->wait_until(sub { 5 == grep { defined $_->{reset} } $few->seen('wait') }, 'the others are cancelled with the client');
    is($weir->stats_server('few', 'few')->{active}, 0, 'none is counted as active');
};

subtest 'what was not looked at is sent again' => sub {
    is(h1('refuse-once', method => 'POST', body => 'abc')->{body}, 'got abc', 'REFUSED_STREAM: a POST');
    is(h1('refuse', method => 'POST', body => 'abc')->{status}, 503, 'but not for ever');
    cmp_ok(scalar(my @all = $a->seen('refuse')), '<=', 8, 'few times');
    is(h1('leave', method => 'POST', body => 'abc')->{body}, 'got abc', 'GOAWAY before it: a POST goes to a new connection');
    isnt($_->[0]{connection}, $_->[1]{connection}, 'a new one') for [$a->seen('leave')];
    is(h1('leave-later')->{body}, 'last', 'GOAWAY behind it: the answer counts');
    isnt(last_seen('leave-later')->{connection}, do { h1('next'); last_seen('next')->{connection} }, 'further requests go elsewhere');
    is(h1('lost')->{body}, 'again', 'a connection that was kept and is lost: GET is repeated');
    unlink $file;
    is(h1('lost', method => 'POST', body => 'x')->{status}, 502, 'POST is not');
};

subtest 'codes of resets' => sub {
    my @grpc = (headers => ['content-type' => 'application/grpc+proto', te => 'trailers']);
    my %as = (8 => 'CANCEL', 10 => 'CONNECT_ERROR', 11 => 'ENHANCE_YOUR_CALM');
    for my $code (0 .. 13, 0xdead) {
        my $want = $as{$code} // 'INTERNAL_ERROR';
        is(h2("rst-late?$code")->{reset}, $want, "$code in the middle of a response: $want");
        next if $code == 7;
        is(h2("rst-first?$code", @grpc)->{reset}, $want, "$code instead of a response, to gRPC: $want");
        is(h2("rst-first?$code")->{status}, 502, "$code to others over HTTP/2: 502");
    }
    for (7, 8) {
        my $r = h1("rst-first?$_");
        is($r->{status}, $_ == 7 ? 503 : 502, "$_ over HTTP/1.1");
        like($r->{headers}{'proxy-status'}, $_ == 7 ? qr/destination_unavailable/ : qr/connection_terminated/, 'Proxy-Status');
    }
    is(h2('refuse', method => 'POST')->{reset}, 'REFUSED_STREAM', 'what no server looked at may be sent again by the client');
    is(h2('refuse', @grpc)->{reset}, 'REFUSED_STREAM', 'gRPC, too');
    h2('rst-first?8&once');
    is(scalar(grep { $_->{field}{':path'} =~ /once/ } $a->seen('rst-first')), 1, 'a GET that was reset is not repeated');

    my $c = h2_client();
    my %to = (0 => 8, 1 => 2, 2 => 2, 3 => 2, 7 => 8, 8 => 8, 11 => 11, 0xdead => 2);
    for my $code (sort { $::a <=> $::b } keys %to) {
        my $id = 2 * $code + 1;
        $c->request($id, pseudo("wait?client$code"));
        last_seen('wait', sub { $_[0]{field}{':path'} eq "/wait?client$code" });
        $c->send(frame(RST_STREAM, 0, $id, pack 'N', $code));
        is(last_seen('wait', sub { $_[0]{field}{':path'} eq "/wait?client$code" && defined $_[0]{reset} })->{reset}, $to{$code},
            "a client's $code reaches the server as $to{$code}");
    }
    my $h1 = $t->client($port{web});
    $h1->send("GET /wait?h1 HTTP/1.1\r\nHost: t\r\n\r\n");
    last_seen('wait', sub { $_[0]{field}{':path'} eq '/wait?h1' });
    $h1->reset;
    is(last_seen('wait', sub { $_[0]{field}{':path'} eq '/wait?h1' && defined $_[0]{reset} })->{reset}, 8, 'an HTTP/1.1 client that leaves: CANCEL');

    $c = h2_client();
    $c->request(1, pseudo('early', method => 'POST'), END_HEADERS);
    $c->wait_for(sub { $c->{reset}{1} });
    is(join(' ', $c->{status}{1}, $c->{body}{1}, $c->{ended}{1}, $c->{reset}{1}), '413 no! 1 NO_ERROR', 'an early response is whole, and then the body is not wanted');

    $c = h2_client();
    for (my $id = 1; $id < 801; $id += 2) {
        $c->request($id, pseudo('rst-late?8'));
        $c->response($id);
        last if $c->{goaway} || $c->{closed};
    }
    $c->request(801, pseudo('good'));
    ok($c->response(801), 'servers that reset much do not count against their client');
};

subtest 'wrong' => sub {
    for my $name (sort keys %wrong) {
        h1('good'); # there is a connection
        is(h1($name, method => 'POST', body => 'x')->{status}, 502, "$name: 502");
        is(h2($name, method => 'POST')->{status}, 502, "$name: over HTTP/2");
    }
    still_served('after all that');
    my $errors = $weir->stats_server('web', 'a')->{response_errors};
    cmp_ok($errors, '>=', 2 * keys %wrong, 'each is counted');
    my ($exit, $out) = $t->weirctl('-S', $weir->control_socket, 'errors');
    like($out, qr/malformed HTTP\/2 message/, 'weirctl errors says what was wrong');
    like($t->read('access.log'), qr/"end":"$_"/, "the log has $_") for qw(response-malformed response-too-large server-closed);
};

subtest 'cut off' => sub {
    for my $name (sort keys %cut) {
        my $c = $t->client($port{web});
        $c->send("GET /$name HTTP/1.1\r\nHost: t\r\n\r\n");
        my $r = eval { $c->response };
        my $whole = $r && ($r->{status} == 200 && !($r->{closes} && !defined $r->{headers}{'transfer-encoding'}));
        ok(!$whole, "$name: the client sees that something is missing");
        $r = h2($name);
        ok($r->{status} != 200 || (!$r->{ended} && $r->{reset}), "$name: over HTTP/2 it sees a reset");
    }
    still_served('after all that');
};

subtest 'no HTTP/2 there' => sub {
    my $r = h1('x', at => 'http1');
    is($r->{status}, 502, 'a server that answers in HTTP/1.1');
    like($r->{headers}{'proxy-status'}, qr/http_protocol_error/, 'Proxy-Status');
    $weir->wait_log(qr/pool http1 server a: HTTP\/2: /);
    $r = h1('x', at => 'alpn');
    is($r->{status}, 502, 'a server that knows no h2 by ALPN');
    $weir->wait_log(qr/pool alpn server a: TLS handshake: .*application protocol/);
    is(h1('x', at => 'bare')->{status}, 502, 'one that knows no ALPN');
    $weir->wait_log(qr/pool bare server a: HTTP\/2: the server did not choose it in the TLS handshake/);
    is(h1('x', at => 'silent')->{status}, 504, 'one that says nothing');
    like($t->read('access.log'), qr/"end":"server-protocol"/, 'the log says why');
};

subtest 'silence' => sub {
    is(h1('good', at => 'slow')->{status}, 200, 'a server that answers');
    is(h1('wait', at => 'slow')->{status}, 504, 'and answers no more: 504');
    $t->wait_until(sub { grep { defined $_->{reset} } $deaf->seen('wait') }, 'the stream is reset');
    is(h1('good', at => 'slow')->{body}, "ok\n", 'a server that said nothing at all gets a new connection');
    isnt((reverse $deaf->seen('good'))[0]{connection}, ($deaf->seen('wait'))[0]{connection}, 'a new one');
    $t->wait_until(sub { $t->read('deaf-ended') ne '' }, 'the old one, where PING is not answered, is closed');
};
done_testing();
