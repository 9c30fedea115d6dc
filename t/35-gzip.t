#!/usr/bin/perl
# Compression: what is compressed, what is not, and that the bytes are the same.

use strict;
use warnings;
use IO::Uncompress::Gunzip ();
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($port, $plain_port, $few_port) = $t->ports(3);

srand 7;
my $text = join '', map { "line $_: the quick brown fox " . ('x' x ($_ % 60)) . "\n" } 1 .. 40_000;
my $random = join '', map { pack 'N', int rand 0xffffffff } 1 .. 250_000;
my $short = '{"a": "' . 'b' x 500 . '"}';
my $json = '{"a": "' . 'b' x 5000 . '"}';

sub chunks {
    my ($body, $size) = @_;
    return join('', map { sprintf("%x\r\n%s\r\n", length, $_) } unpack "(a$size)*", $body) . "0\r\n\r\n";
}

my %answers = (
    '/text' => { headers => [ 'Content-Type' => 'text/plain; charset=utf-8', ETag => '"abc"', 'Accept-Ranges' => 'bytes' ], body => $text },
    '/random' => { headers => [ 'Content-Type' => 'text/plain' ], body => $random },
    '/json' => { headers => [ 'Content-Type' => 'application/json', ETag => 'W/"abc"', Vary => 'Origin, accept-encoding' ], body => $json },
    '/short' => { headers => [ 'Content-Type' => 'application/json' ], body => $short },
    '/chunked' => "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" . chunks($text, 777),
    '/short-chunked' => "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" . chunks('hello', 2),
    '/empty-chunked' => "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    '/until-end' => { until_close => 1, close => 1, headers => [ 'Content-Type' => 'text/css', ETag => '"e"' ], body => $text },
    '/image' => { headers => [ 'Content-Type' => 'image/png' ], body => $json },
    '/coded' => { headers => [ 'Content-Type' => 'text/plain', 'Content-Encoding' => 'br' ], body => $json },
    '/fixed' => { headers => [ 'Content-Type' => 'text/plain', 'Cache-Control' => 'private, No-Transform' ], body => $json },
    '/digest' => { headers => [ 'Content-Type' => 'text/plain', 'Content-MD5' => 'x' ], body => $json },
    '/part' => { status => 206, headers => [ 'Content-Type' => 'text/plain', 'Content-Range' => 'bytes 0-4/9' ], body => $json },
    '/same' => "HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain\r\nETag: \"abc\"\r\n\r\n",
    '/none' => "HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n",
    '/error' => { status => 500, headers => [ 'Content-Type' => 'text/html' ], body => $json },
    '/broken' => "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
);
my $origin = $t->origin('o', handler => sub {
    my ($r) = @_;
    my ($path) = $r->{path} =~ m{^([^?]*)};
    return $answers{$path};
});

# A server that pauses where the test says so.
my $slow = $t->tcp_server('slow', sub {
    my ($conn) = @_;
    $conn->read_match(qr/\r\n\r\n/);
    $conn->send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n");
    my $go = $t->path('go');
    for my $part (qw(second third)) {
        $t->wait_until(sub { -e "$go-$part" }, "the test to ask for the $part part");
        my $line = "$part\n";
        $conn->send(sprintf "%x\r\n%s\r\n", length $line, $line);
    }
    $conn->send("0\r\n\r\n");
});

my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - name: web
    listen: ["127.0.0.1:$port"]
    protocol: http
    compression: {gzip: on}
    routes:
      - {path: {prefix: /slow}, pool: slow}
    pool: o
  - {name: plain, listen: ["127.0.0.1:$plain_port"], protocol: http, pool: o}
  - name: few
    listen: ["127.0.0.1:$few_port"]
    protocol: http
    compression: {gzip: on, types: ["image/*", text/css], min_size: 0, level: 9}
    response_headers: {set: {Vary: Cookie}, remove: [ETag]}
    pool: o
pools:
  - {name: o, servers: [{name: o, address: "@{[ $origin->address ]}"}]}
  - {name: slow, servers: [{name: s, address: "@{[ $slow->address ]}"}]}
CONFIG

sub get {
    my ($path, $accept, %o) = @_;
    my $to = delete $o{port} // $port;
    my @headers = @{ delete $o{headers} // [] };
    return $t->http_get($to, $path, headers => [ defined $accept ? ('Accept-Encoding' => $accept) : (), @headers ], %o);
}

sub inflate {
    my ($bytes) = @_;
    my $out;
    IO::Uncompress::Gunzip::gunzip(\$bytes => \$out, Strict => 1) or return "not gzip: $IO::Uncompress::Gunzip::GunzipError";
    return $out;
}

# is() would print megabytes.
sub same { my ($got, $expected, $what) = @_; return ok($got eq $expected, $what) }

for my $case ([ '/text', $text ], [ '/random', $random ], [ '/json', $json ], [ '/chunked', $text ], [ '/short-chunked', 'hello' ],
    [ '/empty-chunked', '' ], [ '/until-end', $text ], [ '/error', $json ]) {
    my ($path, $body) = @$case;
    my $r = get($path, 'gzip, deflate, br');
    is($r->{headers}{'content-encoding'}, 'gzip', "$path is compressed");
    is($r->{headers}{'transfer-encoding'}, 'chunked', "$path has no length any more");
    ok(!exists $r->{headers}{'content-length'}, "$path says no length");
    same(inflate($r->{body}), $body, "$path: the bytes are the same");
    cmp_ok(length $r->{body}, '<', length($body) / 4, "$path is small") if length $body > 1000 && $path ne '/random';
    like($r->{headers}{vary}, qr/accept-encoding/i, "$path: caches are told");
    $r = get($path, undef);
    is($r->{headers}{'content-encoding'}, undef, "$path is not compressed for others");
    same($r->{body}, $body, "$path: they get it as it is");
    like($r->{headers}{vary}, qr/accept-encoding/i, "$path: caches are told too");
}
my $r = get('/text', 'gzip');
is($r->{headers}{etag}, 'W/"abc"', 'a strong validator becomes weak');
ok(!exists $r->{headers}{'accept-ranges'}, 'and no ranges are offered');
is(get('/text', undef)->{headers}{etag}, '"abc"', 'which stays strong when nothing is changed');
$r = get('/json', 'gzip');
is($r->{headers}{etag}, 'W/"abc"', 'a weak one stays');
is($r->{headers}{vary}, 'Origin, accept-encoding', 'Vary is not said twice');

# 304: the validator is the one that the client got with the body.
for my $case ([ 'W/"abc"', 'W/"abc"' ], [ '"x,y", W/"abc"', 'W/"abc"' ], [ '"abc"', '"abc"' ], [ '*', '"abc"' ], [ 'W/"ab"', '"abc"' ], [ 'W/"abcd"', '"abc"' ]) {
    my ($asked, $told) = @$case;
    $r = get('/same', 'gzip', headers => [ 'If-None-Match' => $asked ]);
    is("$r->{status} $r->{headers}{etag}", "304 $told", "304 to $asked has $told");
    is($r->{headers}{vary}, $told =~ /^W/ ? 'Accept-Encoding' : undef, 'and Vary where the 200 had it');
}

for my $path (qw(/short /image /coded /fixed /digest /part /same /none)) {
    my $r = get($path, 'gzip');
    isnt($r->{headers}{'content-encoding'}, 'gzip', "$path is not compressed");
    my $plain = get($path, 'gzip', port => $plain_port);
    delete $_->{headers}{date} for $r, $plain;
    is_deeply([ @$r{qw(status headers body)} ], [ @$plain{qw(status headers body)} ], "$path is passed as it is");
}

# HEAD gets the fields of GET (RFC 9110 section 9.3.2), and nothing else.
for my $path (sort keys %answers) {
    next if $path eq '/broken' || $path eq '/until-end';
    for my $accept ('gzip', undef) {
        my %fields;
        for my $method (qw(GET HEAD)) {
            my $r = get($path, $accept, method => $method);
            is($r->{body}, '', "$path: HEAD has no body") if $method eq 'HEAD';
            delete @{ $r->{headers} }{qw(date transfer-encoding)};
            $fields{$method} = $r->{headers};
        }
        is_deeply($fields{HEAD}, $fields{GET}, "$path: HEAD says what GET says, " . (defined $accept ? 'compressed' : 'as it is'));
    }
}
ok($t->wait_until(sub { $weir->stats_listener('web')->{active} == 0 }, 'all connections end'), 'no connection hangs');

for my $case (
    [ 'gzip', 1 ], [ 'GZIP', 1 ], [ 'gzip;q=0', 0 ], [ 'gzip;q=0.000', 0 ], [ 'gzip; q=0.001', 1 ], [ 'deflate, br', 0 ],
    [ '*', 1 ], [ '*;q=0', 0 ], [ '*;q=0, gzip', 1 ], [ 'gzip;q=0, *', 0 ], [ 'identity, gzip;q=0.5', 0 ],
    [ 'identity;q=0.5, gzip', 1 ], [ 'identity;q=0, gzip;q=0.1', 1 ], [ 'gzip;q=1.001', 0 ], [ 'gzip;q=', 0 ], [ 'gzip;q=-1', 0 ],
    [ 'gzip;q=2', 0 ], [ 'gzipped', 0 ], [ '', 0 ], [ ' , ,gzip ;q=1', 1 ], [ 'br;q=1.0, gzip;q=0.8, *;q=0.1', 1 ],
    ) {
    my ($accept, $yes) = @$case;
    is(get('/json', $accept)->{headers}{'content-encoding'} // 'identity', $yes ? 'gzip' : 'identity', "Accept-Encoding: $accept");
}
is(get('/json', 'gzip', headers => [ 'Cache-Control' => 'no-transform' ])->{headers}{'content-encoding'}, undef, 'a client may forbid it');

# --- HTTP/1.0: the end of the connection is the end of the body ---

my $raw = $t->raw_exchange($port, "GET /chunked HTTP/1.0\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n");
my ($head, $body) = split /\r\n\r\n/, $raw, 2;
like($head, qr/^Content-Encoding: gzip\r?$/m, 'HTTP/1.0: compressed');
unlike($head, qr/Transfer-Encoding|Content-Length/i, 'HTTP/1.0: neither chunked nor with a length');
like($head, qr/^Connection: close\r?$/m, 'HTTP/1.0: the connection ends');
same(inflate($body), $text, 'HTTP/1.0: the bytes are the same');

# --- keep-alive goes on, pipelined ---

my $client = $t->client($port);
my $ask = sub { "GET $_[0] HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n" };
$client->send($ask->('/json') . $ask->('/image') . $ask->('/until-end') . $ask->('/json'));
for my $case ([ '/json', $json, 1 ], [ '/image', $json, 0 ], [ '/until-end', $text, 1 ], [ '/json', $json, 1 ]) {
    my ($path, $expected, $coded) = @$case;
    my $r = $client->response;
    same($coded ? inflate($r->{body}) : $r->{body}, $expected, "pipelined: $path");
}
$client->close;

# --- a server that pauses ---

$client = $t->client($port);
$client->send($ask->('/slow'));
my $seen = $client->read_match(qr/\r\n\r\n/);
my $inflater = do { require Compress::Raw::Zlib; Compress::Raw::Zlib::Inflate->new(-WindowBits => 31) };
my $output = '';
sub next_part {
    my ($want) = @_;
    while ($output !~ /\Q$want\E/) {
        my $line = $client->read_match(qr/^[0-9a-f]+\r\n/);
        my ($size) = $line =~ /([0-9a-f]+)\r\n\z/ or return 0;
        my $data = $client->read_bytes(hex($size) + 2);
        return $output eq $want if hex $size == 0;
        my $chunk = substr $data, 0, hex $size;
        my $out = '';
        $inflater->inflate($chunk, $out);
        $output .= $out;
    }
    return 1;
}
ok(next_part("first\n"), 'what came before a pause is with the client');
$t->write('go-second', '');
ok(next_part("second\n"), 'likewise in the middle');
$t->write('go-third', '');
ok(next_part("third\n"), 'and the last part');
is($output, "first\nsecond\nthird\n", 'nothing is lost');
$client->close;

# --- a slow reader, and one that leaves ---

$client = $t->client($port);
$client->send($ask->('/random') x 3);
$client->read_bytes(1000);
same(inflate(get('/text', 'gzip')->{body}), $text, 'others are served while one does not read');
$client->close;

my ($bytes, $how) = $t->raw_exchange($port, $ask->('/broken'));
unlike($bytes, qr/\r\n0\r\n\r\n\z/, 'a broken body does not look complete');

# --- other settings ---

$r = get('/image', 'gzip', port => $few_port);
is($r->{headers}{'content-encoding'}, 'gzip', 'types can be named, with a star');
is($r->{headers}{vary}, 'Accept-Encoding, Cookie', 'rules for fields and compression add up');
is(get('/until-end', 'gzip', port => $few_port)->{headers}{etag}, undef, 'a field that rules remove does not come back');
is(get('/text', 'gzip', port => $few_port)->{headers}{'content-encoding'}, undef, 'others are left alone then');

my ($exit, $out, $err) = $t->curl('--compressed', '-s', "http://127.0.0.1:$port/text");
same($out, $text, 'curl --compressed reads it');

my $stats = $weir->stats_listener('web');
cmp_ok($stats->{compressed}, '>', 15, 'compressed responses are counted');
cmp_ok($stats->{compress_in}, '>', $stats->{compress_out}, 'and the bytes before and after');

# --- the limit of compressions, which each worker has for itself: the old one must be gone ---

my @old = $weir->workers;
$weir->reload($t->config(<<"CONFIG", workers => 1, global => "limits: {compressions: 1}\n"));
listeners:
  - name: web
    listen: ["127.0.0.1:$port"]
    protocol: http
    compression: {gzip: on}
    routes:
      - {path: {prefix: /slow}, pool: slow}
    pool: o
pools:
  - {name: o, servers: [{name: o, address: "@{[ $origin->address ]}"}]}
  - {name: slow, servers: [{name: s, address: "@{[ $slow->address ]}"}]}
CONFIG
$t->wait_until(sub { !grep { kill 0, $_ } @old }, 'the old worker to leave');
unlink $t->path('go-third');
$client = $t->client($port);
$client->send($ask->('/slow'));
$client->read_match(qr/\r\n\r\n/);
$r = get('/json', 'gzip');
is($r->{headers}{'content-encoding'}, undef, 'over the limit responses are passed as they are');
same($r->{body}, $json, 'completely');
like($r->{headers}{vary}, qr/accept-encoding/i, 'with Vary');
$t->write('go-third', '');
$client->read_match(qr/0\r\n\r\n\z/);
$client->close;
is(get('/json', 'gzip')->{headers}{'content-encoding'}, 'gzip', 'then others are compressed again');
cmp_ok($weir->stats_listener('web')->{compress_skipped}, '>=', 1, 'which is counted');

is($weir->stop, 0, 'weir ends well');
done_testing;
