#!/usr/bin/perl
# Over HTTP/2 the same holds: routes, changed fields, answers of weir's own, compression.

use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($version) = $t->curl('--version') ? ($t->curl('--version'))[1] : '';
plan skip_all => 'curl without HTTP/2' if $version !~ /HTTP2/;

my $port = $t->port;
my $text = join '', map { "line $_\n" } 1 .. 60_000;
my $origin = $t->origin('o', handler => sub {
    my ($r) = @_;
    return { headers => [ 'Content-Type' => 'text/plain', ETag => '"e"', 'X-Old' => 'x' ], body => $text } if $r->{path} =~ /text/;
    return { headers => [ 'Content-Type' => 'text/plain' ], body => $r->{raw} };
});
my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
  - name: web
    listen: ["127.0.0.1:$port"]
    protocol: http
    http2: {cleartext: on}
    compression: {gzip: on}
    forwarded: {port: on, rfc7239: on}
    request_headers: {set: {X-Where: '\${host} \${path}\${query}'}}
    response_headers: {set: {X-Old: new}, add: {X-Id: '\${request_id}'}}
    routes:
      - {path: {regex: '/r/(.*)'}, pool: p, rewrite: '/got/\$1'}
      - {path: {prefix: /moved}, redirect: {url: 'https://new.example\${path}'}}
      - {path: {prefix: /fixed}, respond: {status: 418, body: tea}}
    pool: p
pools:
  - {name: p, servers: [{name: o, address: "@{[ $origin->address ]}"}]}
CONFIG

# (head, body)
sub get {
    my ($path, @args) = @_;
    my ($exit, $out, $err) = $t->curl('--http2-prior-knowledge', '-s', '-S', '-i', @args, "http://127.0.0.1:$port$path");
    is($exit, 0, "$path: curl is content") or diag $err;
    return split /\r\n\r\n/, $out, 2;
}

my ($head, $body) = get('/r/a/b?c');
like($head, qr{^HTTP/2 200}, 'HTTP/2 it is');
like($body, qr{^GET /got/a/b\?c HTTP/1\.1\r}, 'the path is rewritten');
like($body, qr{^X-Where: 127\.0\.0\.1:$port /r/a/b\?c\r$}m, 'a field is set for the server');
like($body, qr{^X-Forwarded-Port: $port\r$}m, 'forwarded tells the port');
like($body, qr{^Forwarded: for=127\.0\.0\.1;host="127\.0\.0\.1:$port";proto=http\r$}m, 'and Forwarded the rest');
is((() = $head =~ /^date: /mg), 1, 'a date is there, once');
like($head, qr{^x-old: new\r?$}m, 'a field is set for the client, in lower case');
like($head, qr{^x-id: [0-9a-f]{16}\r?$}m, 'with a variable');

($head, $body) = get('/text', '-H', 'Accept-Encoding: gzip', '--compressed');
like($head, qr{^content-encoding: gzip\r?$}m, 'compressed');
unlike($head, qr{content-length|transfer-encoding}, 'without a length and without chunks');
like($head, qr{^etag: W/"e"\r?$}m, 'with a weak validator');
ok($body eq $text, 'the bytes are the same');
($head, $body) = get('/text');
unlike($head, qr{content-encoding}, 'not compressed for others');
like($head, qr{^vary: Accept-Encoding\r?$}mi, 'which caches are told');
ok($body eq $text, 'who get the bytes as they are');

($head) = get('/moved/x');
like($head, qr{^HTTP/2 301}, 'redirected');
like($head, qr{^location: https://new\.example/moved/x\r?$}m, 'to the URL');
($head, $body) = get('/fixed');
like($head, qr{^HTTP/2 418}, 'a fixed response');
is($body, 'tea', 'with its body');

is($weir->stop, 0, 'weir ends well');
done_testing;
