#!/usr/bin/perl
# Responses: what the server sends, and what of it the client gets, byte for byte.

use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::Script;

my $t = Weir::Test->new;
my $port = $t->port;
my $xff = "X-Forwarded-For: 127.0.0.1\r\n";
my $bad = qr{^HTTP/1\.1 502 Bad Gateway\r\n.*\r\nProxy-Status: weir; error=http_protocol_error\r\n}s;
my $large = qr{^HTTP/1\.1 502 Bad Gateway\r\n.*\r\nProxy-Status: weir; error=http_response_header_section_size\r\n}s;
my $early = qr{^HTTP/1\.1 502 Bad Gateway\r\n.*\r\nProxy-Status: weir; error=connection_terminated\r\n}s;
my $close = "Connection: close\r\n";

# Passed on as it is.
sub same {
    my ($name, $answer, %o) = @_;
    return ($name => { answer => $answer, client => $answer, reuse => 1, %o });
}

# Answered with 502; the client's connection goes on, the server's is not used again.
sub refused {
    my ($name, $answer, %o) = @_;
    return ($name => { answer => $answer, client => $bad, reuse => 0, %o });
}

# The same to HTTP/1.0 clients.
sub old { my ($name, $fields) = @_; return (send => "GET /$name HTTP/1.0\r\nHost: t\r\n" . ($fields // '') . "\r\n") }
sub head_of { my ($name) = @_; return (send => "HEAD /$name HTTP/1.1\r\nHost: t\r\n\r\n", method => 'HEAD') }

# The answer in pieces that come one by one.
sub drops {
    my (@pieces) = @_;
    return sub { my ($c) = @_; for (@pieces) { $c->send($_); select undef, undef, undef, 0.002 } 1 };
}

my $len5 = "Content-Length: 5\r\n\r\nhello";
my $te = "Transfer-Encoding: chunked\r\n\r\n";
my $chunk5 = "5\r\nhello\r\n0\r\n\r\n";
my $ok = "HTTP/1.1 200 OK\r\nDate: D\r\n";
my $big = join '', map { chr(32 + $_ % 90) } 0 .. 299_999;

my %cases = (
    # Known length.
    same('length', "$ok$len5"),
    same('length-zero', "${ok}Content-Length: 0\r\n\r\n"),
    same('length-zeros', "${ok}Content-Length: 0005\r\n\r\nhello"),
    same('length-big', "${ok}Content-Length: 300000\r\n\r\n$big"),
    same('fields', "${ok}X-a:b\r\nx-A:  c \r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX: \xe9\t\r\nE:\r\n$len5"),
    same('reason-empty', "HTTP/1.1 200 \r\nDate: D\r\n$len5"),
    same('reason-odd', "HTTP/1.1 299 caf\xe9 (\"x\")\t!\r\nDate: D\r\n$len5"),
    same('status-599', "HTTP/1.1 599 Far\r\nDate: D\r\n$len5"),
    same('fields-many', $ok . join('', map { "X-$_: $_\r\n" } 1 .. 126) . $len5),
    same('binary', "${ok}Content-Length: 9\r\n\r\n\0\r\n\r\n\xff\n0\r"),
    same('length-bytewise', "$ok$len5", answer => drops(split //, "$ok$len5")),
    'reason-none' => { answer => "HTTP/1.1 200\r\nDate: D\r\n$len5", client => "HTTP/1.1 200 \r\nDate: D\r\n$len5", reuse => 1 },
    # Chunked.
    same('chunked', "$ok$te$chunk5"),
    same('chunked-bytewise', "$ok${te}5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n", answer => drops(split //, "$ok${te}5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n")),
    same('chunked-empty', "$ok${te}0\r\n\r\n"),
    same('chunked-extensions', "$ok${te}005;a=\"b;c\";d\r\nhello\r\n00;x\r\n\r\n"),
    same('chunked-trailers', "${ok}Trailer: X\r\n${te}5\r\nhello\r\n0\r\nX: y\r\nZ: \xe9\r\n\r\n"),
    same('chunked-big', $ok . $te . join('', map { sprintf "%x\r\n%s\r\n", length, $_ } $big =~ /.{1,1777}/gs) . "0\r\n\r\n"),
    same('chunked-parts', "$ok$te${chunk5}", answer => drops($ok, $te, "5", "\r", "\nhel", "lo\r", "\n0\r\n\r", "\n")),
    # Until the server closes.
    'until-close' => { answer => "${ok}\r\nhello", close => 1, client => "$ok$close\r\nhello", end => 'closed' },
    'until-close-empty' => { answer => "${ok}\r\n", close => 1, client => "$ok$close\r\n", end => 'closed' },
    'until-close-big' => { answer => "${ok}\r\n$big", close => 1, client => "$ok$close\r\n$big", end => 'closed' },
    'until-close-old' => { answer => "HTTP/1.0 200 OK\r\nDate: D\r\n\r\nhello", close => 1, client => "$ok$close\r\nhello", end => 'closed' },
    'until-close-drops' => { answer => sub { drops($ok, "\r\n", split //, 'hello')->($_[0]); 0 }, client => "$ok$close\r\nhello", end => 'closed' },
    # The server's wishes about its connection are its own.
    'closes' => { answer => "$ok$close$len5", close => 1, client => "$ok$len5", reuse => 0 },
    'closes-and-lies' => { answer => "$ok$close$len5", client => "$ok$len5", reuse => 0 },
    'old-server' => { answer => "HTTP/1.0 200 OK\r\nDate: D\r\n$len5", close => 1, client => "$ok$len5", reuse => 0 },
    'old-server-kept' => { answer => "HTTP/1.0 200 OK\r\nDate: D\r\nConnection: Keep-Alive\r\nKeep-Alive: timeout=5\r\n$len5", client => "$ok$len5", reuse => 1 },
    'hop-by-hop' => { answer => "${ok}Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 2\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nX: y\r\n$len5",
        client => "${ok}X: y\r\n$len5", reuse => 1 },
    'nominated-cookie' => { answer => "${ok}Connection: set-cookie, content-length\r\nSet-Cookie: a=b\r\n$len5",
        client => "${ok}Set-Cookie: a=b\r\n$len5", reuse => 1 },
    # No body.
    same('head', "${ok}Content-Length: 12345\r\n\r\n", head_of('head')),
    same('head-chunked', "$ok$te", head_of('head-chunked')),
    same('head-without', "$ok\r\n", head_of('head-without')),
    'head-with-body' => { answer => "$ok$len5", client => "${ok}Content-Length: 5\r\n\r\n", reuse => 0, head_of('head-with-body') },
    same('no-content', "HTTP/1.1 204 No Content\r\nDate: D\r\n\r\n"),
    'no-content-length' => { answer => "HTTP/1.1 204 No Content\r\nDate: D\r\nContent-Length: 5\r\n\r\n", client => "HTTP/1.1 204 No Content\r\nDate: D\r\n\r\n", reuse => 1 },
    'no-content-chunked' => { answer => "HTTP/1.1 204 No Content\r\nDate: D\r\n$te", client => "HTTP/1.1 204 No Content\r\nDate: D\r\n\r\n", reuse => 1 },
    'no-content-body' => { answer => "HTTP/1.1 204 No Content\r\nDate: D\r\n\r\nhello", client => "HTTP/1.1 204 No Content\r\nDate: D\r\n\r\n", reuse => 0 },
    same('not-modified', "HTTP/1.1 304 Not Modified\r\nDate: D\r\nETag: \"a\"\r\nContent-Length: 555\r\n\r\n"),
    same('not-modified-chunked', "HTTP/1.1 304 Not Modified\r\nDate: D\r\n$te"),
    same('reset-content', "HTTP/1.1 205 Reset Content\r\nDate: D\r\nContent-Length: 0\r\n\r\n"),
    # Interim responses.
    same('continue', "HTTP/1.1 100 Continue\r\n\r\n$ok$len5"),
    same('early-hints', "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n$ok$len5"),
    same('processing-drops', "HTTP/1.1 102 Processing\r\n\r\n$ok$len5", answer => drops("HTTP/1.1 102 Proc", "essing\r\n\r", "\n${ok}Content", "-Length: 5\r\n\r\nhe", 'llo')),
    'interim-fields' => { answer => "HTTP/1.1 103 Early Hints\r\nConnection: a\r\nA: b\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\n\r\n$ok$len5",
        client => $bad, reuse => 0 },
    'interim-length' => { answer => "HTTP/1.1 103 Early Hints\r\nConnection: a\r\nA: b\r\nContent-Length: 5\r\n\r\n$ok$len5",
        client => "HTTP/1.1 103 Early Hints\r\n\r\n$ok$len5", reuse => 1 },
    'interim-chunked' => { answer => "HTTP/1.1 103 Early Hints\r\n$te$ok$len5", client => "HTTP/1.1 103 Early Hints\r\n\r\n$ok$len5", reuse => 1 },
    'interim-old' => { old('interim-old'), answer => "HTTP/1.1 103 Early Hints\r\n\r\n$ok$len5", client => "$ok" . "Content-Length: 5\r\n$close\r\nhello", end => 'closed' },
    same('interim-16', "HTTP/1.1 102 P\r\n\r\n" x 16 . "$ok$len5"),
    'interim-endless' => { answer => "HTTP/1.1 102 P\r\n\r\n" x 20, client => "HTTP/1.1 102 P\r\n\r\n" x 16 . 'HTTP/1.1 502 Bad Gateway', end => 'more' },
    'switches-unasked' => { answer => "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", client => $bad, reuse => 0 },
    # HTTP/1.0 clients get no chunks.
    'old-chunked' => { old('old-chunked'), answer => "$ok$te$chunk5", client => "$ok$close\r\nhello", end => 'closed' },
    'old-chunked-kept' => { old('old-chunked-kept', "Connection: keep-alive\r\n"), answer => "${ok}Trailer: X\r\n${te}5;a\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n",
        client => "${ok}Trailer: X\r\n$close\r\nhello!", end => 'closed' },
    'old-chunked-drops' => { old('old-chunked-drops'), answer => drops(split //, "$ok$te$chunk5"), client => "$ok$close\r\nhello", end => 'closed' },
    'old-chunked-big' => { old('old-chunked-big'), client => "$ok$close\r\n$big", end => 'closed',
        answer => $ok . $te . join('', map { sprintf "%x\r\n%s\r\n", length, $_ } $big =~ /.{1,999}/gs) . "0\r\n\r\n" },
    'old-head-chunked' => { send => "HEAD /old-head-chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", method => 'HEAD', answer => "$ok$te",
        client => "${ok}Connection: keep-alive\r\n\r\n", reuse => 1 },
    'old-length-kept' => { old('old-length-kept', "Connection: keep-alive\r\n"), answer => "$ok$len5",
        client => "${ok}Content-Length: 5\r\nConnection: keep-alive\r\n\r\nhello", reuse => 1 },
    # Truncated.
    'cut-length' => { answer => "${ok}Content-Length: 10\r\n\r\nhello", close => 1, client => "${ok}Content-Length: 10\r\n\r\nhello", end => 'reset' },
    'cut-chunk' => { answer => "$ok${te}5\r\nhel", close => 1, client => "$ok${te}5\r\nhel", end => 'reset' },
    'cut-before-last-chunk' => { answer => "$ok${te}5\r\nhello\r\n", close => 1, client => "$ok${te}5\r\nhello\r\n", end => 'reset' },
    'cut-in-trailers' => { answer => "$ok${te}0\r\nX: y\r\n", close => 1, client => "$ok${te}0\r\nX: y\r\n", end => 'reset' },
    'cut-by-reset' => { answer => sub { my ($c) = @_; $c->send("${ok}Content-Length: 10\r\n\r\nhello"); select undef, undef, undef, 0.05; $c->cut },
        client => "${ok}Content-Length: 10\r\n\r\nhello", end => 'reset' },
    'cut-until-close' => { answer => sub { my ($c) = @_; $c->send("${ok}\r\nhello"); $c->cut }, client => "$ok$close\r\nhello", end => 'reset' },
    'cut-old-chunked' => { old('cut-old-chunked'), answer => "$ok${te}5\r\nhello\r\n", close => 1, client => "$ok$close\r\nhello", end => 'reset' },
    'broken-chunk' => { answer => "$ok${te}5\r\nhello\r\n", client => "$ok${te}5\r\nhello\r\n", end => 'reset',
        answer => sub { my ($c) = @_; $c->send("$ok${te}5\r\nhello\r\n"); select undef, undef, undef, 0.1; $c->send("x\r\n"); 1 } },
    # No response.
    'no-answer' => { answer => '', close => 1, client => $early },
    'no-answer-reset' => { answer => sub { $_[0]->cut }, client => $early },
    'half-a-head' => { answer => "${ok}Content-Le", close => 1, client => $early },
    'half-a-line' => { answer => 'HTTP/1.1 20', close => 1, client => $early },
    # Malformed.
    refused('not-http', "SSH-2.0-OpenSSH\r\n\r\n"),
    refused('version-09', "HTTP/0.9 200 OK\r\n$len5"),
    refused('version-2', "HTTP/2.0 200 OK\r\n$len5"),
    refused('version-12', "HTTP/1.2 200 OK\r\n$len5"),
    refused('lower-case', "http/1.1 200 OK\r\n$len5"),
    refused('icy', "ICY 200 OK\r\n$len5"),
    refused('status-short', "HTTP/1.1 20 OK\r\n$len5"),
    refused('status-long', "HTTP/1.1 2000 OK\r\nDate: D\r\n$len5"),
    refused('status-letters', "HTTP/1.1 2x0 OK\r\n$len5"),
    refused('status-99', "HTTP/1.1 099 OK\r\n$len5"),
    refused('status-600', "HTTP/1.1 600 OK\r\n$len5"),
    refused('two-spaces', "HTTP/1.1  200 OK\r\n$len5"),
    refused('reason-nul', "HTTP/1.1 200 O\0K\r\n$len5"),
    refused('reason-cr', "HTTP/1.1 200 O\rK\r\n$len5"),
    refused('bare-lf', "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    refused('bare-lf-field', "${ok}X: y\n$len5"),
    refused('bare-cr-field', "${ok}X: y\rZ: a\r\n$len5"),
    refused('fold', "${ok}X: y\r\n z\r\n$len5"),
    refused('space-before-field', "$ok X: y\r\n$len5"),
    refused('space-before-colon', "${ok}Content-Length : 5\r\n\r\nhello"),
    refused('nul-in-value', "${ok}X: a\0\r\n$len5"),
    refused('control-in-value', "${ok}X: a\x01\r\n$len5"),
    refused('no-colon', "${ok}Xy\r\n$len5"),
    refused('empty-name', "${ok}: y\r\n$len5"),
    refused('name-with-space', "${ok}X y: z\r\n$len5"),
    refused('both-framings', "${ok}Content-Length: 5\r\n$te$chunk5"),
    refused('two-lengths', "${ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    refused('equal-lengths', "${ok}Content-Length: 5\r\n$len5"),
    refused('list-of-lengths', "${ok}Content-Length: 5, 5\r\n\r\nhello"),
    refused('negative-length', "${ok}Content-Length: -5\r\n\r\nhello"),
    refused('hex-length', "${ok}Content-Length: 0x5\r\n\r\nhello"),
    refused('empty-length', "${ok}Content-Length:\r\n\r\nhello"),
    refused('huge-length', "${ok}Content-Length: 99999999999999999999\r\n\r\nhello"),
    refused('other-coding', "${ok}Transfer-Encoding: gzip\r\n\r\nhello"),
    refused('coding-list', "${ok}Transfer-Encoding: gzip, chunked\r\n\r\n$chunk5"),
    refused('two-codings', "${ok}Transfer-Encoding: chunked\r\n$te$chunk5"),
    refused('old-server-chunked', "HTTP/1.0 200 OK\r\nDate: D\r\n$te$chunk5"),
    refused('broken-chunk-at-once', "$ok${te}5\r\nhello\r\nx\r\n"),
    refused('bad-size', "$ok${te}5x\r\nhello\r\n0\r\n\r\n"),
    refused('chunk-lf', "$ok${te}5\nhello\n0\n\n"),
    # Too much.
    'head-large' => { answer => "${ok}X: " . 'x' x 33_000 . "\r\n$len5", client => $large, reuse => 0 },
    'head-endless' => { answer => sub { my ($c) = @_; eval { $c->send($ok . 'X: ' . 'x' x 70_000) }; 0 }, client => $large, reuse => 0 },
    'fields-too-many' => { answer => $ok . "X: y\r\n" x 130 . $len5, client => $large, reuse => 0 },
    # More than one response to one request: the rest is nobody's.
    'excess' => { answer => "${ok}Content-Length: 5\r\n\r\nhello!", client => "${ok}Content-Length: 5\r\n\r\nhello", reuse => 0 },
    'excess-response' => { answer => "$ok$len5${ok}Content-Length: 4\r\n\r\nevil", client => "$ok$len5", reuse => 0 },
    'excess-chunked' => { answer => "$ok$te${chunk5}5\r\nhello\r\n0\r\n\r\n", client => "$ok$te$chunk5", reuse => 0 },
    'excess-empty' => { answer => "${ok}Content-Length: 0\r\n\r\n\r\n", client => "${ok}Content-Length: 0\r\n\r\n", reuse => 0 },
    'excess-old' => { old('excess-old', "Connection: keep-alive\r\n"), answer => "$ok$te${chunk5}x", client => "$ok$close\r\nhello", end => 'closed' },
    # The response before the request is there.
    'early-length' => { send => "POST /early-length HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nabc", answer => "HTTP/1.1 413 No\r\nDate: D\r\n$len5",
        client => "HTTP/1.1 413 No\r\nDate: D\r\nContent-Length: 5\r\n$close\r\nhello", end => 'closed' },
    'early-chunked' => { send => "POST /early-chunked HTTP/1.1\r\nHost: t\r\n${te}5\r\nhel", answer => "HTTP/1.1 413 No\r\nDate: D\r\n$te$chunk5", close => 1,
        client => "HTTP/1.1 413 No\r\nDate: D\r\nTransfer-Encoding: chunked\r\n$close\r\n$chunk5", end => 'closed' },
    'early-until-close' => { send => "POST /early-until-close HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nabc", answer => "HTTP/1.1 413 No\r\nDate: D\r\n\r\nhello",
        close => 1, client => "HTTP/1.1 413 No\r\nDate: D\r\n$close\r\nhello", end => 'closed' },
);

my $script = Weir::Test::Script->new($t, \%cases);
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $script->address ]}"}]
CONFIG

for my $name (sort keys %cases) {
    $script->run($port, $name);
}

# A large response that comes too fast for its reader, and an early answer to an upload that goes on.
my $sum = $weir->stats_server('web', 'a');
cmp_ok($sum->{response_errors}, '>=', 50, 'the errors of the server are counted');

is($weir->stop, 0, 'weir ends with status 0');
done_testing;
