#!/usr/bin/perl
# Requests: what the client sends, and what of it the server sees, byte for byte.

use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::Script;

my $t = Weir::Test->new;
my ($port, $replace, $off, $sticky) = $t->ports(4);
my $ok = $Weir::Test::Script::probe_answer;
my $xff = "X-Forwarded-For: 127.0.0.1\r\n";
my $host = "Host: t\r\n";

# "GET /NAME" with the fields given, and what the server sees of them.
sub fields {
    my ($name, $sent, $seen, %o) = @_;
    return ($name => {
        send => "GET /$name HTTP/1.1\r\n$sent\r\n",
        saw => defined $seen ? "GET /$name HTTP/1.1\r\n$seen\r\n" : undef,
        client => $ok, reuse => 1, %o,
    });
}

# Absolute and other forms of the target.
sub target {
    my ($name, $method, $sent, $seen, %o) = @_;
    return ($name => { send => "$method $sent HTTP/1.1\r\n$host\r\n", saw => "$method $seen\r\n\r\n", client => $ok, %o });
}

my $big = join '', map { chr(32 + $_ % 90) } 0 .. 99_999;
my $chunk5 = "5\r\nhello\r\n0\r\n\r\n";
my $hundred = "HTTP/1.1 100 Continue\r\n\r\n";

sub post {
    my ($name, $framing, $body, %o) = @_;
    return ($name => {
        send => "POST /$name HTTP/1.1\r\n$host$framing\r\n$body",
        saw => "POST /$name HTTP/1.1\r\n$host$framing$xff\r\n$body",
        body => $framing =~ /chunked/ ? 'chunked' : length $body,
        client => $ok, reuse => 1, %o,
    });
}

my %cases = (
    # Fields.
    fields('plain', $host, "$host$xff"),
    fields('case-is-kept', "hOsT: T\r\nx-FoO:  bar \t\r\n", "hOsT: T\r\nx-FoO:  bar \t\r\n$xff"),
    fields('order-is-kept', "B: 1\r\n${host}A: 2\r\nB: 3\r\n", "B: 1\r\n${host}A: 2\r\nB: 3\r\n$xff"),
    fields('empty-value', "${host}X:\r\nY: \r\n", "${host}X:\r\nY: \r\n$xff"),
    fields('no-space', "Host:t\r\nX:y\r\n", "Host:t\r\nX:y\r\n$xff"),
    fields('obs-text', "${host}X: caf\xc3\xa9 \xff\r\n", "${host}X: caf\xc3\xa9 \xff\r\n$xff"),
    fields('odd-names', "${host}!#\$%&'*+-.^_`|~9: y\r\n", "${host}!#\$%&'*+-.^_`|~9: y\r\n$xff"),
    fields('many-fields', $host . join('', map { "X-$_: $_\r\n" } 1 .. 120), $host . join('', map { "X-$_: $_\r\n" } 1 .. 120) . $xff),
    fields('pieces', join('', map { "X-$_: $_\r\nKeep-Alive: $_\r\n" } 1 .. 62) . $host, join('', map { "X-$_: $_\r\n" } 1 .. 62) . "$host$xff"),
    fields('long-value', "${host}X: " . 'y' x 20_000 . "\r\n", "${host}X: " . 'y' x 20_000 . "\r\n$xff"),
    fields('long-dropped', "${host}Keep-Alive: " . 'y' x 20_000 . "\r\nX: z\r\n", "${host}X: z\r\n$xff"),
    fields('length-zero', "${host}Content-Length: 0\r\n", "${host}Content-Length: 0\r\n$xff"),
    # Hop-by-hop.
    fields('keep-alive', "${host}Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n", "$host$xff"),
    fields('te', "${host}TE: trailers, gzip\r\nConnection: TE\r\n", "$host$xff"),
    fields('nominated', "X-Secret: 1\r\n${host}Connection: x-secret, foo\r\nFoo: 2\r\nBar: 3\r\n", "${host}Bar: 3\r\n$xff"),
    fields('nominated-first', "Connection: X-Hop\r\n${host}X-Hop: 1\r\nX-Hop: 2\r\n", "$host$xff"),
    fields('two-connections', "Connection: a\r\n${host}A: 1\r\nB: 2\r\nC: 3\r\nConnection: ,, b ,\t\r\n", "${host}C: 3\r\n$xff"),
    fields('nominated-many', "${host}Connection: close-not, " . join(',', 1 .. 30) . ",keep-alive\r\n30: a\r\n32: b\r\n", "${host}32: b\r\n$xff"),
    fields('nominated-host', "${host}Connection: host\r\n", "$host$xff"),
    fields('nominated-trust', "${host}Authorization: a\r\nCookie: b=c\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\nForwarded: for=1\r\n"
        . "X-Real-IP: 1.2.3.4\r\nX-Forwarded-For: 9.9.9.9\r\nVia: 1.1 v\r\n"
        . "Connection: authorization, cookie, x-forwarded-proto, x-forwarded-host, forwarded, x-real-ip, x-forwarded-for, via\r\n",
        "${host}Authorization: a\r\nCookie: b=c\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\nForwarded: for=1\r\n"
        . "X-Real-IP: 1.2.3.4\r\nX-Forwarded-For: 9.9.9.9, 127.0.0.1\r\nVia: 1.1 v\r\n"),
    fields('close', "${host}Connection: close\r\n", "$host$xff", end => 'closed', client => $Weir::Test::Script::probe_got, reuse => undef),
    fields('close-among-others', "${host}Connection: X, ClosE\r\nX: y\r\n", "$host$xff", end => 'closed',
        client => $Weir::Test::Script::probe_got, reuse => undef),
    fields('upgrade-alone', "${host}Upgrade: websocket\r\n", "$host$xff"),
    fields('upgrade-h2c', "${host}Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings\r\n", "$host$xff"),
    fields('upgrade-h2c-too', "${host}Upgrade: websocket, h2c\r\nConnection: upgrade\r\n", "$host$xff"),
    fields('upgrade-h2c-twice', "${host}Upgrade: H2C\r\nUpgrade: websocket\r\nConnection: upgrade\r\n", "$host$xff"),
    fields('upgrade-tls', "${host}Upgrade: TLS/1.0\r\nConnection: upgrade\r\n", "$host$xff"),
    fields('upgrade-refused', "${host}Upgrade: chat\r\nConnection: Upgrade\r\n", "$host${xff}Connection: upgrade\r\nUpgrade: chat\r\n"),
    fields('upgrade-middle', "Upgrade: a\r\nConnection: upgrade\r\nUpgrade: b/2\r\n$host", "$host${xff}Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b/2\r\n"),
    # X-Forwarded-*.
    fields('for-append', "${host}X-Forwarded-For: 192.0.2.1\r\n", "${host}X-Forwarded-For: 192.0.2.1, 127.0.0.1\r\n"),
    fields('for-append-middle', "X-Forwarded-For: 192.0.2.1 \t\r\nA: b\r\n$host", "X-Forwarded-For: 192.0.2.1, 127.0.0.1\r\nA: b\r\n$host"),
    fields('for-append-last', "X-Forwarded-For: a\r\n${host}x-forwarded-for: b, c\r\n", "X-Forwarded-For: a\r\n${host}x-forwarded-for: b, c, 127.0.0.1\r\n"),
    fields('for-append-empty', "${host}X-Forwarded-For:\r\n", "${host}X-Forwarded-For:127.0.0.1\r\n"),
    fields('proto-passes', "${host}X-Forwarded-Proto: https\r\n", "${host}X-Forwarded-Proto: https\r\n$xff"),
    fields('for-replace', "${host}X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nx-forwarded-for: 2\r\n",
        "$host${xff}X-Forwarded-Proto: http\r\n", port => 'replace'),
    fields('for-off', "${host}X-Forwarded-For: 192.0.2.1\r\n", "${host}X-Forwarded-For: 192.0.2.1\r\n", port => 'off'),
    fields('for-off-none', $host, $host, port => 'off'),
    # Host and target.
    fields('empty-host', "Host:\r\n", "Host:\r\n$xff"),
    fields('host-port', "Host: example.com:8080\r\n", "Host: example.com:8080\r\n$xff"),
    fields('host-empty-port', "Host: example.com:\r\n", "Host: example.com:\r\n$xff"),
    fields('host-ip6', "Host: [2001:db8::1]:80\r\n", "Host: [2001:db8::1]:80\r\n$xff"),
    fields('host-last', "A: b\r\nHost: t\r\n", "A: b\r\nHost: t\r\n$xff"),
    target('absolute', 'GET', 'http://other/absolute', "/absolute HTTP/1.1\r\n${xff}", saw => "GET /absolute HTTP/1.1\r\nHost: other\r\n$xff\r\n"),
    target('absolute-query', 'GET', 'HTTP://o:81?a=b/absolute-query', '', saw => "GET /?a=b/absolute-query HTTP/1.1\r\nHost: o:81\r\n$xff\r\n"),
    target('absolute-https', 'GET', 'https://o/absolute-https', '', saw => "GET /absolute-https HTTP/1.1\r\nHost: o\r\n$xff\r\n"),
    'absolute-root' => { send => "GET http://absolute-root HTTP/1.1\r\nA: b\r\nHost: x\r\nX: /absolute-root \r\n\r\n", client => $ok },
    'options-star' => { send => "OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n", client => $ok },
    'options-absolute' => { send => "OPTIONS http://o HTTP/1.1\r\nHost: t\r\n\r\n", client => $ok },
    target('odd-target', 'GET', "//a/../b;c=%2F:\@/odd-target?d='\"<>|{}[]\\^`~/?", '', saw =>
        "GET //a/../b;c=%2F:\@/odd-target?d='\"<>|{}[]\\^`~/? HTTP/1.1\r\n$host$xff\r\n"),
    target('odd-method', "M-SEARCH!#\$%&'*+.^_`|~", '/odd-method', '', saw => "M-SEARCH!#\$%&'*+.^_`|~ /odd-method HTTP/1.1\r\n$host$xff\r\n"),
    target('lower-method', 'get', '/lower-method', '', saw => "get /lower-method HTTP/1.1\r\n$host$xff\r\n"),
    target('connect', 'CONNECT', 't:80', '', saw => undef, client => qr{^HTTP/1\.1 501 }, end => 'closed'),
    target('connect-path', 'CONNECT', '/connect-path', '', saw => undef, client => qr{^HTTP/1\.1 501 }, end => 'closed'),
    # Leading empty lines.
    'empty-line' => { send => "\r\n" . Weir::Test::Script::default_request('empty-line'), client => $ok,
        saw => "GET /empty-line HTTP/1.1\r\n$host$xff\r\n" },
    'empty-lines-slow' => { send => "\r\n\r\n" . Weir::Test::Script::default_request('empty-lines-slow'), client => $ok, slow => 1,
        saw => "GET /empty-lines-slow HTTP/1.1\r\n$host$xff\r\n" },
    # HTTP/1.0.
    'old' => { send => "GET /old HTTP/1.0\r\n\r\n", client => $Weir::Test::Script::probe_got, end => 'closed' },
    'old-host' => { send => "GET /old-host HTTP/1.0\r\nHost: o\r\n\r\n", client => $Weir::Test::Script::probe_got, end => 'closed',
        saw => "GET /old-host HTTP/1.1\r\nHost: o\r\n$xff\r\n" },
    'old-kept' => { send => "GET /old-kept HTTP/1.0\r\nHost: o\r\nConnection: keep-alive\r\n\r\n",
        client => "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nprobe",
        saw => "GET /old-kept HTTP/1.1\r\nHost: o\r\n$xff\r\n" },
    'old-close' => { send => "GET /old-close HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", client => $Weir::Test::Script::probe_got,
        end => 'closed' },
    'old-upgrade' => { send => "GET /old-upgrade HTTP/1.0\r\nHost: o\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n",
        client => $Weir::Test::Script::probe_got, end => 'closed', saw => "GET /old-upgrade HTTP/1.1\r\nHost: o\r\n$xff\r\n" },
    'old-post' => { send => "POST /old-post HTTP/1.0\r\nHost: o\r\nContent-Length: 5\r\n\r\nhello", body => 5,
        client => $Weir::Test::Script::probe_got, end => 'closed',
        saw => "POST /old-post HTTP/1.1\r\nHost: o\r\nContent-Length: 5\r\n$xff\r\nhello" },
    'version-2' => { send => "GET /version-2 HTTP/1.2\r\n$host\r\n", client => qr{^HTTP/1\.1 505 }, end => 'closed', saw => undef },
    'version-20' => { send => "GET /version-20 HTTP/2.0\r\n$host\r\n", client => qr{^HTTP/1\.1 505 }, end => 'closed', saw => undef },
    'version-09' => { send => "GET /version-09 HTTP/0.9\r\n$host\r\n", client => qr{^HTTP/1\.1 505 }, end => 'closed', saw => undef },
    # Bodies of known length.
    post('length', "Content-Length: 5\r\n", 'hello'),
    post('length-slow', "Content-Length: 5\r\n", 'hello', slow => 1),
    post('length-zeros', "Content-Length: 0000005\r\n", 'hello'),
    post('length-space', "Content-Length:  5 \r\n", 'hello'),
    post('length-big', "Content-Length: 100000\r\n", $big),
    post('length-binary', "Content-Length: 8\r\n", "\0\r\n\r\n\xff\n0"),
    post('length-like-request', "Content-Length: 35\r\n", "GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"),
    'get-with-body' => { send => "GET /get-with-body HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello", body => 5, client => $ok,
        saw => "GET /get-with-body HTTP/1.1\r\n${host}Content-Length: 5\r\n$xff\r\nhello" },
    # Chunked bodies pass as they came.
    post('chunked', "Transfer-Encoding: chunked\r\n", $chunk5),
    post('chunked-slow', "Transfer-Encoding: chunked\r\n", "5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n", slow => 1),
    post('chunked-case', "transfer-encoding: Chunked \r\n", $chunk5),
    post('chunked-empty', "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    post('chunked-zeros', "Transfer-Encoding: chunked\r\n", "000005\r\nhello\r\n0000\r\n\r\n"),
    post('chunked-hex', "Transfer-Encoding: chunked\r\n", "1a\r\nabcdefghijklmnopqrstuvwxyz\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    post('chunked-extensions', "Transfer-Encoding: chunked\r\n", "5;a;b=c;d=\"e;f\"\r\nhello\r\n0;x=y\r\n\r\n"),
    post('chunked-signed', "Transfer-Encoding: chunked\r\n", ('64;chunk-signature=' . 'f' x 64 . "\r\n" . 'x' x 100 . "\r\n") x 200 . "0;chunk-signature=" . 'f' x 64 . "\r\n\r\n"),
    post('chunked-trailers', "Transfer-Encoding: chunked\r\nTrailer: X, Y\r\n", "5\r\nhello\r\n0\r\nX: 1\r\ny:\r\nZ: \xe9 a\tb\r\n\r\n"),
    post('chunked-nominated', "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", $chunk5,
        saw => "POST /chunked-nominated HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n$xff\r\n$chunk5"),
    post('chunked-like-request', "Transfer-Encoding: chunked\r\n", "23\r\nGET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n\r\n0\r\n\r\n"),
    post('chunked-big', "Transfer-Encoding: chunked\r\n", join('', map { sprintf "%x\r\n%s\r\n", length, $_ } $big =~ /.{1,977}/gs) . "0\r\n\r\n"),
    post('chunked-ones', "Transfer-Encoding: chunked\r\n", "1\r\nx\r\n" x 5000 . "0\r\n\r\n"),
    post('upgrade-with-body', "Content-Length: 5\r\n", 'hello',
        send => "POST /upgrade-with-body HTTP/1.1\r\n${host}Content-Length: 5\r\nUpgrade: chat\r\nConnection: upgrade\r\n\r\nhello"),
    # Expect.
    'expect' => {
        send => [ "POST /expect HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            sub { $_[0]->read_bytes(length $hundred) eq $hundred or die "no 100\n" }, 'hello' ],
        answer => sub { my ($c) = @_; $c->send($hundred); $c->read_body(5); $c->send($ok); 1 },
        saw => "POST /expect HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 5\r\n$xff\r\nhello",
        client => $ok, reuse => 1 },
    'expect-refused' => {
        send => "POST /expect-refused HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        answer => "HTTP/1.1 417 No\r\nDate: D\r\nContent-Length: 0\r\n\r\n",
        saw => "POST /expect-refused HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 5\r\n$xff\r\n",
        client => "HTTP/1.1 417 No\r\nDate: D\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", end => 'closed' },
    'expect-at-once' => {
        send => "POST /expect-at-once HTTP/1.1\r\n${host}Expect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello", body => 5,
        answer => $hundred . $ok, client => $hundred . $ok, reuse => 1 },
    'expect-old' => {
        send => "POST /expect-old HTTP/1.0\r\n${host}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", body => 5,
        answer => $hundred . $ok, client => $Weir::Test::Script::probe_got, end => 'closed' },
    # Limits.
    'target-long' => { send => 'GET /target-long?' . 'x' x 33_000 . " HTTP/1.1\r\n$host\r\n", client => qr{^HTTP/1\.1 414 }, end => 'cut', saw => undef },
    'target-long-open' => { send => 'GET /target-long-open?' . 'x' x 40_000, client => qr{^HTTP/1\.1 414 }, end => 'cut', saw => undef },
    'head-long' => { send => "GET /head-long HTTP/1.1\r\n${host}X: " . 'x' x 33_000 . "\r\n\r\n", client => qr{^HTTP/1\.1 431 }, end => 'cut', saw => undef },
    'head-long-open' => { send => "GET /head-long-open HTTP/1.1\r\n${host}X: " . 'x' x 33_000, client => qr{^HTTP/1\.1 431 }, end => 'cut', saw => undef },
    'fields-many' => { send => "GET /fields-many HTTP/1.1\r\n$host" . "X: y\r\n" x 128 . "\r\n", client => qr{^HTTP/1\.1 431 }, end => 'closed', saw => undef },
    fields('fields-most', $host . "X: y\r\n" x 127, $host . "X: y\r\n" x 127 . $xff),
    'head-exact' => do {
        my $head = "GET /head-exact HTTP/1.1\r\n${host}X: ";
        my $fill = 'x' x (32 * 1024 - length($head) - 4);
        { send => "$head$fill\r\n\r\n", saw => "$head$fill\r\n$xff\r\n", client => $ok };
    },
    'head-over' => do {
        my $head = "GET /head-over HTTP/1.1\r\n${host}X: ";
        { send => $head . 'x' x (32 * 1024 - length($head) - 3) . "\r\n\r\n", saw => undef, client => qr{^HTTP/1\.1 431 }, end => 'closed' };
    },
    # Cookies that are not weir's.
    fields('cookies', "${host}Cookie: a=b; SERVERID=x; c=d\r\n", "${host}Cookie: a=b; SERVERID=x; c=d\r\n$xff"),
);

# Any method without a body, and with one.
for my $method (qw(GET PUT DELETE OPTIONS TRACE PATCH POST PROPFIND)) {
    my $name = 'method-' . lc $method;
    $cases{$name} = { send => "$method /$name HTTP/1.1\r\n$host\r\n", saw => "$method /$name HTTP/1.1\r\n$host$xff\r\n", client => $ok, reuse => 1 };
    $cases{"$name-body"} = { send => "$method /$name-body HTTP/1.1\r\n${host}Content-Length: 2\r\n\r\nhi", body => 2,
        saw => "$method /$name-body HTTP/1.1\r\n${host}Content-Length: 2\r\n$xff\r\nhi", client => $ok, reuse => 1 };
}

my $script = Weir::Test::Script->new($t, \%cases);
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
  - {name: replace, listen: ["127.0.0.1:$replace"], protocol: http, pool: web, forwarded: {for: replace, proto: on}}
  - {name: "off", listen: ["127.0.0.1:$off"], protocol: http, pool: web, forwarded: {for: off}}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $script->address ]}"}]
CONFIG
my %ports = (replace => $replace, off => $off);


for my $name (sort keys %cases) {
    $script->run($ports{ $cases{$name}{port} // '' } // $port, $name);
}

# Their names are not in what the server sees.
my @all = $script->seen;
is((grep { $_->{saw} eq "OPTIONS * HTTP/1.1\r\n$host$xff\r\n" } @all), 1, 'OPTIONS * is passed on as it is');
is((grep { $_->{saw} eq "OPTIONS * HTTP/1.1\r\nHost: o\r\n$xff\r\n" } @all), 1, 'OPTIONS of a whole server becomes asterisk-form');
is((grep { $_->{saw} eq "GET / HTTP/1.1\r\nA: b\r\nX: /absolute-root \r\nHost: absolute-root\r\n$xff\r\n" } @all), 1,
    'an absolute target without a path is /, its authority the Host');
is((grep { $_->{saw} eq "GET /old HTTP/1.1\r\nHost: @{[ $script->address ]}\r\n$xff\r\n" } @all), 1,
    'HTTP/1.0 without Host: the server is told its own address');
is((grep { $_->{saw} =~ /smuggled/ && $_->{name} eq 'smuggled' } @all), 0, 'no body was taken for a request');
is((grep { $_->{name} eq 'left' } @all), 0, 'the server got no byte that it did not ask for');

is($weir->stop, 0, 'weir ends with status 0');
done_testing;
