#!/usr/bin/perl
# Requests that are refused before they begin: each answer is in the access log, each fault in `weirctl errors`, and counted.

use strict;
use warnings;
use JSON::PP ();
use Test::More;
use Weir::Test;
use Weir::Test::H2 qw(:all);

my $t = Weir::Test->new;
my ($port, $tls) = $t->ports(2);
my $a = $t->origin('a');
$t->make_cert($t->path('certs'), 'web', ['localhost']);
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - name: web
    listen: ["127.0.0.1:$port"]
    protocol: http
    http2: {cleartext: on}
    timeouts: {client_head: 1s}
    routes: [{path: {prefix: /}, pool: web}]
  - {name: tls, listen: ["127.0.0.1:$tls"], protocol: https, tls: {certificate: web}, pool: web}
pools:
  - {name: web, servers: [{name: a, address: "@{[ $a->address ]}"}]}
CONFIG

sub errors {
    my ($exit, $out) = $t->weirctl('-S', $weir->control_socket, '-o', 'json', 'errors');
    my $data = JSON::PP::decode_json($out);
    return @{ ref $data eq 'ARRAY' ? $data : $data->{errors} };
}
sub entries { return map { JSON::PP::decode_json($_) } split /\n/, $t->read('access.log') }
sub counted { my ($name) = @_; return $weir->stats_listener($name)->{bad_requests} }

my ($errors, $entries) = (0, 0);

# $send does it; then there is a line with $status and $end (undef: none), and an error like $reason (undef: none).
sub refused {
    my ($what, $send, $status, $end, $reason, $excerpt, $name) = @_;
    $name //= 'web';
    my $before = counted($name);
    $send->();
    if (defined $status) {
        my $entry = $t->wait_until(sub { my @e = entries(); $weir->signal('USR1') if @e <= $entries; @e > $entries && $e[$entries] }, "$what: a line in the access log");
        $entries++;
        is("$entry->{status} $entry->{end} $entry->{listener}", "$status $end $name", "$what: a line in the access log");
        cmp_ok($entry->{bytes_out}, '>', 100, "$what: with the size of the answer");
    }
    if (defined $reason) {
        $t->wait_until(sub { counted($name) > $before }, "$what: counted");
        is(counted($name), $before + 1, "$what: counted once");
        my ($error) = errors(); # the latest first
        like($error->{reason}, $reason, "$what: the reason") or diag explain [errors()];
        like(JSON::PP::encode_json($error), $excerpt, "$what: what came") if $excerpt;
    }
    return;
}
sub raw { my ($bytes, $status) = @_; return sub { like(scalar $t->raw_exchange($port, $bytes), qr{^HTTP/1\.1 $status }, 'answered') } }
my @get = (':method' => 'GET', ':scheme' => 'http', ':path' => '/', ':authority' => 'x');
sub h2 { my ($bytes, $verdict) = @_; return sub { my $c = Weir::Test::H2->new($t, $port); $c->send($bytes); like($c->verdict(1), $verdict, 'answered'); $c->close } }
sub h2_head { return frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(@_)) }

refused('a bare line feed', raw("GET /evil HTTP/1.1\r\nHost: x\nY: z\r\n\r\n", 400), 400, 'request-malformed', qr/line feed without/, qr{GET /evil});
refused('a large head', raw("GET /big HTTP/1.1\r\nX: " . 'y' x 40_000, 431), 431, 'request-too-large', qr/too large/);
refused('a long target', raw('GET /' . 'y' x 40_000, 414), 414, 'target-too-long', qr/too long/);
refused('HTTP/3.0', raw("GET / HTTP/3.0\r\n\r\n", 505), 505, 'version', qr/unsupported HTTP version/);
refused('CONNECT', raw("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", 501), 501, 'method', undef);
refused('a slow head', raw('GET / HT', 408), 408, 'client-head-timeout', undef);
refused('a bad escape', raw("GET /%0g HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400), 400, 'request-malformed', qr/escape in the path/, qr{/%0g});
refused('a bad chunk', raw("POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400), 400, 'request-malformed', qr/chunked coding/, qr/xyz/);
refused('HTTP on the port of HTTPS', sub { like(scalar $t->raw_exchange($tls, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), qr/^HTTP\/1\.1 400 /, 'answered') },
    400, 'plain-http', undef, undef, 'tls');

refused('HTTP/2: too many fields', h2(h2_head(@get, map { ("x$_" => 1) } 1 .. 200), qr/status 431/), 431, 'request-too-large', qr/too large/);
refused('HTTP/2: two hosts', h2(h2_head(@get, host => 'y'), qr/status 400/), 400, 'request-malformed', qr/malformed/, qr/host: x/);
refused('HTTP/2: a bad host', h2(h2_head(@get[0 .. 5], ':authority' => 'x:y'), qr/status 400|stream 1 PROTOCOL/), 400, 'request-malformed', qr/malformed Host/, qr/x:y/);
refused('HTTP/2: CONNECT', h2(h2_head(':method' => 'CONNECT', ':authority' => 'x:1'), qr/status 501/), 501, 'method', undef);
refused('HTTP/2: a forbidden field', h2(h2_head(@get, connection => 'close'), qr/stream 1 PROTOCOL_ERROR/), undef, undef, qr/stream 1: PROTOCOL_ERROR/);
refused('HTTP/2: a malformed value', h2(h2_head(@get, x => "a\x01b"), qr/stream 1 PROTOCOL_ERROR/), undef, undef, qr/malformed or forbidden field/, qr/x: a/);
refused('HTTP/2: no path', h2(h2_head(@get[ 0 .. 3 ]), qr/stream 1 PROTOCOL_ERROR/), undef, undef, qr/stream 1: PROTOCOL_ERROR/);
refused('HTTP/2: a bad frame', h2(frame(PING, 0, 1, 'x' x 8), qr/connection PROTOCOL_ERROR/), undef, undef, qr/HTTP\/2: PROTOCOL_ERROR PING/);
refused('HTTP/2: a closed stream', h2(frame(DATA, 0, 1, 'x'), qr/connection PROTOCOL_ERROR/), undef, undef, qr/HTTP\/2: PROTOCOL_ERROR/);

is($weir->stop, 0, 'weir ends');
done_testing;
