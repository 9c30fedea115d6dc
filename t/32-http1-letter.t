#!/usr/bin/perl
# What RFC 9110 and RFC 9112 demand of an intermediary beyond framing: Max-Forwards, trailers, Host, targets, Expect,
# Upgrade, Date, Via.

use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::Script;

my $t = Weir::Test->new;
my ($port, $routed, $fast) = $t->ports(3);
my $ok = $Weir::Test::Script::probe_answer;
my $got = $Weir::Test::Script::probe_got;
my $xff = "X-Forwarded-For: 127.0.0.1\r\n";
my $host = "Host: t\r\n";
my $close = "Connection: close\r\n";
my $date = qr/(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT/;
my $hundred = "HTTP/1.1 100 Continue\r\n\r\n";

# Head of a request, and what the server sees of it.
sub fields {
    my ($name, $method, $sent, $seen, %o) = @_;
    return ($name => { send => "$method /$name HTTP/1.1\r\n$sent\r\n", saw => "$method /$name HTTP/1.1\r\n$seen\r\n", client => $ok, reuse => 1, %o });
}

# A response without Date: where it is put, and what follows.
sub dated {
    my ($name, $answer, $line, $rest, %o) = @_;
    return ($name => { answer => $answer, client => qr{\A\Q$line\E\r\nDate: $date\r\n\Q$rest\E\z}, reuse => 1, %o });
}

# Answered without a server.
sub itself {
    my ($name, $status, $request, %o) = @_;
    return ($name => { send => $request, saw => undef, client => qr{\AHTTP/1\.1 $status }, %o });
}

sub refused { my ($name, $fields, %o) = @_; return itself($name, 400, "GET /$name HTTP/1.1\r\n$fields\r\n", end => 'closed', %o) }

# A chunked request with trailers, and those of them that the server sees.
sub trailers {
    my ($name, $sent, $seen, %o) = @_;
    my $more = delete $o{fields} // '';
    my $shown = $more =~ s/^Connection:.*?\r\n//mr;
    my $te = "Transfer-Encoding: chunked\r\n";
    my $head = "POST /$name HTTP/1.1\r\n$host$more$te\r\n";
    my $body = "5\r\nhello\r\n0\r\n";
    return (
        $name => { send => "$head$body$sent\r\n", saw => "POST /$name HTTP/1.1\r\n$host$shown$te$xff\r\n$body$seen\r\n", body => 'chunked', client => $ok,
            reuse => 1, %o },
        "$name-slow" => { send => ($head =~ s/$name/$name-slow/r) . "$body$sent\r\n", slow => 1, body => 'chunked', client => $ok, reuse => 1,
            saw => "POST /$name-slow HTTP/1.1\r\n$host$shown$te$xff\r\n$body$seen\r\n" },
        # The next request has come with the trailers.
        "$name-next" => { send => ($head =~ s/$name/$name-next/r) . "$body$sent\r\n" . "GET /probe HTTP/1.1\r\n$host$close\r\n", body => 'chunked',
            client => $ok . $got, end => 'closed', saw => "POST /$name-next HTTP/1.1\r\n$host$shown$te$xff\r\n$body$seen\r\n" },
    );
}

my $long = join '', map { "X-$_: " . 'y' x 100 . "\r\n" } 1 .. 120;
my %cases = (
    # Max-Forwards (RFC 9110 section 7.6.2).
    fields('forwards', 'OPTIONS', "${host}Max-Forwards: 5\r\nX: y\r\n", "${host}Max-Forwards: 4\r\nX: y\r\n$xff"),
    fields('forwards-one', 'OPTIONS', "Max-Forwards:1\r\n$host", "Max-Forwards: 0\r\n$host$xff"),
    fields('forwards-zeros', 'TRACE', "${host}max-forwards: \t0010 \r\n", "${host}Max-Forwards: 9\r\n$xff"),
    fields('forwards-huge', 'TRACE', "${host}Max-Forwards: 99999999999999999999999\r\n", "${host}Max-Forwards: 999\r\n$xff"),
    fields('forwards-nominated', 'OPTIONS', "${host}Connection: max-forwards\r\nMax-Forwards: 5\r\n", "${host}Max-Forwards: 4\r\n$xff"),
    fields('forwards-get', 'GET', "${host}Max-Forwards: 0\r\n", "${host}Max-Forwards: 0\r\n$xff"),
    fields('forwards-get-odd', 'GET', "${host}Max-Forwards: x\r\nMax-Forwards: 2\r\n", "${host}Max-Forwards: x\r\nMax-Forwards: 2\r\n$xff"),
    fields('forwards-options', 'options', "${host}Max-Forwards: 0\r\n", "${host}Max-Forwards: 0\r\n$xff"),
    itself('forwards-none', 200, "OPTIONS /forwards-none HTTP/1.1\r\n${host}Max-Forwards: 0\r\n\r\n"),
    itself('forwards-none-zeros', 200, "OPTIONS /forwards-none-zeros HTTP/1.1\r\n${host}Max-Forwards: 000\r\n\r\n"),
    itself('forwards-none-body', 200, "OPTIONS /forwards-none-body HTTP/1.1\r\n${host}Max-Forwards: 0\r\nContent-Length: 5\r\n\r\nhello", end => 'closed'),
    itself('forwards-none-trace', 501, "TRACE /forwards-none-trace HTTP/1.1\r\n${host}Max-Forwards: 0\r\n\r\n"),
    itself('forwards-negative', 400, "OPTIONS /forwards-negative HTTP/1.1\r\n${host}Max-Forwards: -1\r\n\r\n", end => 'closed'),
    itself('forwards-list', 400, "OPTIONS /forwards-list HTTP/1.1\r\n${host}Max-Forwards: 1, 1\r\n\r\n", end => 'closed'),
    itself('forwards-empty', 400, "OPTIONS /forwards-empty HTTP/1.1\r\n${host}Max-Forwards:\r\n\r\n", end => 'closed'),
    itself('forwards-twice', 400, "TRACE /forwards-twice HTTP/1.1\r\n${host}Max-Forwards: 1\r\nMax-Forwards: 0\r\n\r\n", end => 'closed'),
    # Trailers: none that would mean something else in a head, none of this connection.
    trailers('trailers', "X-Sum: 1\r\ny:\r\nServer-Timing: \xe9\r\n", "X-Sum: 1\r\ny:\r\nServer-Timing: \xe9\r\n"),
    trailers('trailers-none', '', ''),
    trailers('trailers-framing', "Content-Length: 9\r\nX: 1\r\ntransfer-encoding: chunked\r\n", "X: 1\r\n"),
    trailers('trailers-routing', "A: 1\r\nHost: evil\r\nX-Forwarded-For: 1\r\nX-Forwarded-Anything: 1\r\nForwarded: for=1\r\nX-Real-IP: 1\r\nVia: x\r\nB: 2\r\n",
        "A: 1\r\nB: 2\r\n"),
    trailers('trailers-identity', "Authorization: Basic eDp5\r\nCookie: a=b\r\nX-Client-Verify: SUCCESS\r\nClient-Cert: :AA==:\r\nClient-Cert-Chain: x\r\n", ''),
    trailers('trailers-hop', "Connection: x\r\nKeep-Alive: 1\r\nTE: gzip\r\nUpgrade: h2c\r\nTrailer: X\r\nProxy-Connection: x\r\nX: 1\r\n", "X: 1\r\n"),
    trailers('trailers-nominated', "X-Hop: 1\r\nX-Other: 2\r\nx-hop: 3\r\n", "X-Other: 2\r\n", fields => "Connection: x-HOP, foo\r\n"),
    trailers('trailers-conditions', "If-Match: x\r\nRange: bytes=0-\r\nExpect: 100-continue\r\nMax-Forwards: 0\r\nContent-Type: a/b\r\nZ: 1\r\n", "Z: 1\r\n"),
    trailers('trailers-long', "${long}Host: evil\r\n", $long),
    trailers('trailers-like-request', "GET: /smuggled HTTP/1.1\r\nHost: t\r\n", "GET: /smuggled HTTP/1.1\r\n"),
    # Behind a body that did not come with its head.
    'trailers-late' => { send => [ "POST /trailers-late HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n", "5\r\nhel", "lo\r\n0\r\nHo", "st: evil\r\nX: 1\r", "\n\r\n" ],
        body => 'chunked', saw => "POST /trailers-late HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n$xff\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n", client => $ok, reuse => 1 },
    'trailers-cut' => { send => "POST /trailers-cut HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\nY: 2\r\n", half => 1, body => 'all',
        client => '', end => 'cut', answer => '', saw => "POST /trailers-cut HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n$xff\r\n5\r\nhello\r\n0\r\n" },
    # What is none of weir's business passes as it came (RFC 9110 sections 5.1 to 5.5).
    fields('as-is-case', 'GET', "hOST: t\r\nx-LOWER-Upper: Value\r\n", "hOST: t\r\nx-LOWER-Upper: Value\r\n$xff"),
    fields('as-is-repeated', 'GET', "${host}X: 1\r\nY: 2\r\nX: 3\r\nx: 1\r\n", "${host}X: 1\r\nY: 2\r\nX: 3\r\nx: 1\r\n$xff"),
    fields('as-is-empty', 'GET', "${host}X:\r\nY: \r\nZ:\t \r\n", "${host}X:\r\nY: \r\nZ:\t \r\n$xff"),
    fields('as-is-space', 'GET', "${host}X:1\r\nY: \t 2 \t 3\r\n", "${host}X:1\r\nY: \t 2 \t 3\r\n$xff"),
    fields('as-is-bytes', 'GET', "${host}X: \x80\xff\xc3\xa9\r\n", "${host}X: \x80\xff\xc3\xa9\r\n$xff"),
    fields('as-is-token', 'GET', "${host}!#\$%&'*+-.^_`|~9: 1\r\n", "${host}!#\$%&'*+-.^_`|~9: 1\r\n$xff"),
    fields('as-is-quotes', 'GET', "${host}X: \"a\\\"b, c\" (d, \\) e)\r\n", "${host}X: \"a\\\"b, c\" (d, \\) e)\r\n$xff"),
    fields('as-is-long', 'GET', "${host}X: " . 'y' x 12_000 . "\r\n", "${host}X: " . 'y' x 12_000 . "\r\n$xff"),
    fields('as-is-range', 'GET', "${host}Range: bytes=0-1\r\nIf-Range: \"x\"\r\n", "${host}Range: bytes=0-1\r\nIf-Range: \"x\"\r\n$xff"),
    fields('as-is-cookies', 'GET', "${host}Cookie: a=b; a=c\r\nCookie: d\r\n", "${host}Cookie: a=b; a=c\r\nCookie: d\r\n$xff"),
    fields('as-is-method', 'M-SEARCH', $host, "$host$xff"),
    fields('as-is-auth', 'GET', "${host}Authorization: Basic eDp5\r\n", "${host}Authorization: Basic eDp5\r\n$xff"),
    fields('hop-te', 'GET', "${host}TE: gzip, trailers\r\nX: 1\r\n" . "Connection: TE\r\n", "${host}X: 1\r\n$xff"),
    fields('hop-all', 'GET', "${host}Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nX: 1\r\nX-Hop: 2\r\n" . "Connection: , keep-alive ,, x-hop\r\n", "${host}X: 1\r\n$xff"),
    fields('hop-twice', 'GET', "Connection: a\r\n${host}A: 1\r\nB: 2\r\nC: 3\r\n" . "Connection: b\r\n", "${host}C: 3\r\n$xff"),
    # Host (RFC 9112 section 3.2).
    fields('host-port', 'GET', "Host: t:65535\r\n", "Host: t:65535\r\n$xff"),
    fields('host-port-zeros', 'GET', "Host: t:0000080\r\n", "Host: t:0000080\r\n$xff"),
    fields('host-ip6', 'GET', "Host: [::ffff:192.0.2.1]\r\n", "Host: [::ffff:192.0.2.1]\r\n$xff"),
    fields('host-ip6-long', 'GET', "Host: [2001:0db8:0000:0000:0000:0000:0000:0001]:8\r\n", "Host: [2001:0db8:0000:0000:0000:0000:0000:0001]:8\r\n$xff"),
    fields('host-ip4', 'GET', "Host: 192.0.2.1\r\n", "Host: 192.0.2.1\r\n$xff"),
    fields('host-odd', 'GET', "Host: a_b~!\$&'()*+;=%2E-c\r\n", "Host: a_b~!\$&'()*+;=%2E-c\r\n$xff"),
    refused('host-port-over', "Host: t:65536\r\n"), refused('host-port-huge', "Host: t:" . '9' x 300 . "\r\n"), refused('host-port-sign', "Host: t:+80\r\n"),
    refused('host-ip6-colons', "Host: [:::]\r\n"), refused('host-ip6-short', "Host: [1:2:3]\r\n"), refused('host-ip6-nine', "Host: [1:2:3:4:5:6:7:8:9]\r\n"),
    refused('host-ip6-digits', "Host: [12345::]\r\n"), refused('host-ip6-twice', "Host: [1::2::3]\r\n"), refused('host-ip6-empty', "Host: []\r\n"),
    refused('host-ip6-zone', "Host: [fe80::1%25lo]\r\n"), refused('host-ip6-ip4', "Host: [192.0.2.1]\r\n"), refused('host-ip6-long', "Host: [" . '1' x 60 . "]\r\n"),
    refused('host-ip6-space', "Host: [::1 ]\r\n"), refused('host-ip6-port', "Host: [::1]:65536\r\n"),
    itself('target-port', 400, "GET http://t:65536/target-port HTTP/1.1\r\n$host\r\n", end => 'closed'),
    itself('target-ip6', 400, "GET http://[1::2::3]/target-ip6 HTTP/1.1\r\n$host\r\n", end => 'closed'),
    itself('target-connect', 501, "CONNECT t:65535 HTTP/1.1\r\n$host\r\n", end => 'closed'),
    itself('target-connect-port', 400, "CONNECT t:65536 HTTP/1.1\r\n$host\r\n", end => 'closed'),
    # Expect (RFC 9110 section 10.1.1).
    'expect-old' => { send => "POST /expect-old HTTP/1.0\r\n${host}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", body => 5, client => $got, end => 'closed',
        saw => "POST /expect-old HTTP/1.1\r\n${host}Content-Length: 5\r\n$xff\r\nhello" },
    fields('expect-other', 'GET', "${host}Expect: something\r\n", "${host}Expect: something\r\n$xff"),
    fields('expect-417', 'GET', "${host}Expect: a, 100-continue\r\n", "${host}Expect: a, 100-continue\r\n$xff", answer => "HTTP/1.1 417 No\r\nDate: D\r\nContent-Length: 0\r\n\r\n",
        client => "HTTP/1.1 417 No\r\nDate: D\r\nContent-Length: 0\r\n\r\n"),
    'expect-silent' => { port => 'fast', send => "POST /expect-silent HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        answer => sub { my ($c) = @_; $c->note; $c->read_until_close; 0 }, client => qr{\AHTTP/1\.1 504 .*error=http_response_timeout}s, end => 'closed' },
    'expect-body-late' => { port => 'fast', send => "POST /expect-body-late HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        answer => sub { my ($c) = @_; $c->note; $c->send($hundred); $c->read_until_close; 0 }, client => qr{\AHTTP/1\.1 408 }, end => 'closed' },
    # Upgrade (section 7.8).
    'switch-other' => { send => "GET /switch-other HTTP/1.1\r\n${host}Upgrade: chat, talk/2\r\n" . "Connection: upgrade\r\n\r\n",
        answer => "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n", client => qr{\AHTTP/1\.1 502 }, reuse => 0 },
    'switch-both' => { send => "GET /switch-both HTTP/1.1\r\n${host}Upgrade: chat\r\n" . "Connection: upgrade\r\n\r\n",
        answer => "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: chat, other\r\n\r\n", client => qr{\AHTTP/1\.1 502 }, reuse => 0 },
    'switch-version' => { send => "GET /switch-version HTTP/1.1\r\n${host}Upgrade: talk/2\r\n" . "Connection: upgrade\r\n\r\n",
        answer => "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: talk/3\r\n\r\n", client => qr{\AHTTP/1\.1 502 }, reuse => 0 },
    'switch-case' => { send => "GET /switch-case HTTP/1.1\r\n${host}Upgrade: Chat, Talk\r\n" . "Connection: upgrade\r\n\r\n", close => 1,
        answer => "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: tALK\r\n\r\n", client => "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: tALK\r\n\r\n", end => 'more' },
    fields('upgrade-required', 'GET', $host, "$host$xff", answer => "HTTP/1.1 426 U\r\nDate: D\r\nConnection: upgrade, X\r\nUpgrade: websocket\r\nX: 1\r\nContent-Length: 5\r\n\r\nhello",
        client => "HTTP/1.1 426 U\r\nDate: D\r\nContent-Length: 5\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello"),
    fields('upgrade-required-plain', 'GET', $host, "$host$xff", answer => "HTTP/1.1 426 U\r\nDate: D\r\nContent-Length: 0\r\n\r\n", client => "HTTP/1.1 426 U\r\nDate: D\r\nContent-Length: 0\r\n\r\n"),
    # An absolute target without a path asks for "/" (RFC 9112 section 3.2.1).
    itself('root-exact', 200, "GET http://exact HTTP/1.1\r\n$host\r\n", port => 'routed'),
    itself('root-query', 200, "GET http://exact?root-query HTTP/1.1\r\n$host\r\n", port => 'routed'),
    itself('root-text', 201, "GET http://text?root-text HTTP/1.1\r\n$host\r\n", port => 'routed'),
    itself('root-regex', 202, "GET http://regex HTTP/1.1\r\n$host\r\n", port => 'routed'),
    itself('root-other', 404, "GET http://exact/x HTTP/1.1\r\n$host\r\n", port => 'routed'),
    'root-rewritten' => { port => 'routed', send => "GET http://rewrite?root-rewritten HTTP/1.1\r\n$host\r\n", client => $ok,
        saw => "GET /to/?root-rewritten HTTP/1.1\r\nHost: rewrite\r\n$xff\r\n" },
    # Date (RFC 9110 section 6.6.1): where the server says none, and nothing else changes.
    dated('date', "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n\r\nhello", 'HTTP/1.1 200 OK', "X: y\r\nContent-Length: 5\r\n\r\nhello"),
    dated('date-chunked', "HTTP/1.1 404 Not There\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 'HTTP/1.1 404 Not There',
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    dated('date-no-reason', "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", 'HTTP/1.1 200 ', "Content-Length: 5\r\n\r\nhello"),
    dated('date-long-reason', 'HTTP/1.1 500 ' . 'r' x 5000 . "\r\nContent-Length: 0\r\n\r\n", 'HTTP/1.1 500 ' . 'r' x 5000, "Content-Length: 0\r\n\r\n"),
    dated('date-old', "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", 'HTTP/1.1 200 OK', "Content-Length: 5\r\n\r\nhello"),
    dated('date-none', "HTTP/1.1 204 No Content\r\n\r\n", 'HTTP/1.1 204 No Content', "\r\n"),
    dated('date-same', "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", 'HTTP/1.1 304 Not Modified', "ETag: \"a\"\r\n\r\n"),
    dated('date-hop', "HTTP/1.1 200 OK\r\nConnection: x\r\nX: y\r\nA: b\r\nContent-Length: 0\r\n\r\n", 'HTTP/1.1 200 OK', "A: b\r\nContent-Length: 0\r\n\r\n"),
    dated('date-large', "HTTP/1.1 200 OK\r\nX: " . 'y' x 32_000 . "\r\nContent-Length: 0\r\n\r\n", 'HTTP/1.1 200 OK', 'X: ' . 'y' x 32_000 . "\r\nContent-Length: 0\r\n\r\n"),
    dated('date-interim', "HTTP/1.1 103 H\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 'HTTP/1.1 200 OK', "Content-Length: 5\r\n\r\nhello"),
    dated('date-head', "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 'HTTP/1.1 200 OK', "Content-Length: 5\r\n\r\n",
        send => "HEAD /date-head HTTP/1.1\r\n$host\r\n", method => 'HEAD'),
    fields('date-there', 'GET', $host, "$host$xff", answer => "HTTP/1.1 200 OK\r\ndATE: whatever\r\nContent-Length: 5\r\n\r\nhello",
        client => "HTTP/1.1 200 OK\r\ndATE: whatever\r\nContent-Length: 5\r\n\r\nhello"),
    fields('date-nominated', 'GET', $host, "$host$xff", answer => "HTTP/1.1 200 OK\r\nConnection: date\r\nDate: D\r\nContent-Length: 5\r\n\r\nhello",
        client => "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 5\r\n\r\nhello"),
    fields('date-removed', 'GET', $host, "$host$xff", port => 'routed', answer => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        client => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", end => 'more', reuse => undef),
    # weir's own answers say to HTTP/1.0 that the connection goes on.
    'old-own' => { port => 'routed', send => "GET / HTTP/1.0\r\nHost: exact\r\nConnection: keep-alive\r\n\r\n", client => qr{\AHTTP/1\.1 200 .*^Connection: keep-alive\r$}ms },
    'old-own-close' => { port => 'routed', send => "GET / HTTP/1.0\r\nHost: exact\r\n\r\n", client => qr{\AHTTP/1\.1 200 .*^Connection: close\r$}ms, end => 'closed' },
);

my $script = Weir::Test::Script->new($t, \%cases);
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
  - name: fast
    listen: ["127.0.0.1:$fast"]
    protocol: http
    timeouts: {response: 300ms, client_body: 100ms}
    pool: web
  - name: routed
    listen: ["127.0.0.1:$routed"]
    protocol: http
    routes:
      - {host: exact, path: {exact: /}, respond: {status: 200}}
      - {host: text, path: {starts_with: /}, respond: {status: 201}}
      - {host: regex, path: {regex: '/\$'}, respond: {status: 202}}
      - {host: rewrite, path: {starts_with: /}, pool: web, rewrite: /to/}
      - {host: t, path: {exact: /date-removed}, pool: web, response_headers: {remove: [date]}}
      - {host: t, pool: web}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $script->address ]}"}]
CONFIG
my %ports = (routed => $routed, fast => $fast);

for my $name (sort keys %cases) {
    $script->run($ports{ $cases{$name}{port} // '' } // $port, $name);
}
# An answer that comes before the body: a client that sends all of it first can read the answer then.
my $client = $t->client($routed);
$client->send("POST / HTTP/1.1\r\nHost: exact\r\nContent-Length: " . (24 << 20) . "\r\n\r\n");
ok(eval { $client->send('x' x (1 << 20)) for 1 .. 24; 1 }, 'a body that nobody wants is taken') or diag $@;
like($client->response('POST')->{raw}, qr{\AHTTP/1\.1 200 .*^Connection: close\r$}ms, 'and the answer is there behind it');
$client->close;

is((grep { $_->{saw} =~ /evil/ || $_->{name} eq 'smuggled' || $_->{name} eq 'left' } $script->seen), 0, 'the server got nothing that it must not take for a head');

is($weir->stop, 0, 'weir ends with status 0');
done_testing;
