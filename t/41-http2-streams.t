# HTTP/2: trailers both ways; WebSocket by extended CONNECT (RFC 8441).
use strict;
use warnings;
use Digest::SHA qw(sha1_base64);
use Test::More;
use Weir::Test;
use Weir::Test::H2 qw(:all);

my $t = Weir::Test->new;
my ($port, $ws_port) = $t->ports(2);
my $head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
my %answers = (
    '/trailers' => "${head}Trailer: Grpc-Status\r\n\r\n5\r\nhello\r\n0\r\nGrpc-Status: 0\r\nGrpc-Message:  ok \r\n\r\n",
    '/none' => "$head\r\n5\r\nhello\r\n0\r\n\r\n",
    '/empty' => "$head\r\n0\r\nX-T: v\r\n\r\n",
    '/forbidden' => "$head\r\n1\r\nx\r\n0\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\nX-Forwarded-For: x\r\nTransfer-Encoding: chunked\r\nX-T: v\r\n\r\n",
    '/only-forbidden' => "$head\r\n1\r\nx\r\n0\r\nContent-Type: x/y\r\n\r\n",
    '/large' => "$head\r\n" . ("4000\r\n" . 'x' x 16384 . "\r\n") x 10 . "0\r\nX-T: v\r\n\r\n",
    '/broken' => "$head\r\n1\r\nx\r\n0\r\nX T: v\r\n\r\n",
    '/too-long' => "$head\r\n1\r\nx\r\n0\r\n" . 'X-T: ' . 'v' x 16000 . "\r\n\r\n",
);
my $a = $t->origin('a', handler => sub { return $answers{ $_[0]{path} } });

# A server that switches protocols, well or badly, and sends back what it gets.
my $ws = $t->tcp_server('ws', sub {
    my ($c) = @_;
    my $request = $c->read_match(qr/\r\n\r\n/);
    my ($path) = $request =~ m{^GET (\S+) };
    my ($key) = $request =~ /^sec-websocket-key: (\S+)\r$/mi;
    my $accept = sha1_base64(($key // '') . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11') . '=';
    $t->write('ws-request', $request);
    return $c->send("HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno\n") if $path eq '/refuse';
    return $c->send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n") if $path eq '/ignore';
    $accept = 'x' x 27 . '=' if $path eq '/wrong';
    my $hello = $path eq '/hello' ? 'hello' : '';
    $c->send("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: $accept\r\n"
        . "Sec-WebSocket-Protocol: chat\r\n\r\n$hello");
    return if $path eq '/end';
    return $c->reset if $path eq '/reset';
    if ($path eq '/listens') {
        $c->end_sending;
        return $t->write('ws-heard', $c->read_until_close);
    }
    while ($c->fill) {
        my $bytes = $c->{in};
        $c->{in} = '';
        $c->send($bytes);
    }
    $c->send('bye');
});
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, http2: {cleartext: on}, pool: web}
  - name: ws
    listen: ["127.0.0.1:$ws_port"]
    protocol: http
    http2: {cleartext: on}
    timeouts: {tunnel: 1s}
    pool: ws
pools:
  - {name: ws, servers: [{name: ws, address: "@{[ $ws->address ]}"}]}
  - {name: web, servers: [{name: a, address: "@{[ $a->address ]}"}]}
CONFIG

sub fields_of { return (':method' => $_[0], ':scheme' => 'http', ':path' => $_[1], ':authority' => 'x') }
sub get {
    my ($path, %o) = @_;
    my $c = Weir::Test::H2->new($t, $port, %o);
    $c->request(1, [fields_of('GET', $path), te => 'trailers']);
    $c->response(1);
    return $c;
}
sub text { return join '; ', map { "$_->[0]: $_->[1]" } @{ $_[0] // [] } }

subtest 'trailers of responses' => sub {
    my $c = get('/trailers');
    is($c->{body}{1}, 'hello', 'the body');
    is(text($c->{trailers}{1}), 'grpc-status: 0; grpc-message: ok', 'the trailers');
    ok($c->{ended}{1}, 'end the stream');
    is(text(get('/none')->{trailers}{1}), '', 'none where there are none');
    $c = get('/empty');
    is(text($c->{trailers}{1}), 'x-t: v', 'without a body');
    ok(!length($c->{body}{1} // ''), 'which stays empty');
    is(text(get('/forbidden')->{trailers}{1}), 'x-t: v', 'forbidden ones are left out');
    $c = get('/only-forbidden');
    ok($c->{ended}{1} && !$c->{trailers}{1} && $c->{body}{1} eq 'x', 'and no empty block is left of them');
};

subtest 'trailers behind a slow body' => sub {
    my $c = Weir::Test::H2->new($t, $port);
    $c->request(1, [fields_of('GET', '/large')]);
    $c->wait_for(sub { length($c->{body}{1} // '') == 65535 });
    is($c->{trailers}{1}, undef, 'no trailers before the end');
    $c->send(frame(WINDOW_UPDATE, 0, $_, pack 'N', 65535)) for 0, 1;
    while (!$c->{ended}{1} && !$c->{closed}) {
        $c->wait_for(sub { $_[0]{type} == DATA || $c->{ended}{1} });
        my $len = length $c->{seen}[-1]{payload};
        $c->send(frame(WINDOW_UPDATE, 0, 1, pack 'N', $len) . frame(WINDOW_UPDATE, 0, 0, pack 'N', $len)) if $len && !$c->{ended}{1};
    }
    is(length $c->{body}{1}, 163840, 'the body');
    is(text($c->{trailers}{1}), 'x-t: v', 'the trailers');
};

subtest 'trailers that break the framing' => sub {
    for (qw(/broken /too-long)) {
        my $c = get($_);
        is($c->{reset}{1}, 'INTERNAL_ERROR', "$_: the response is not complete");
    }
};

subtest 'trailers of requests' => sub {
    my $c = Weir::Test::H2->new($t, $port);
    $c->send(frame(HEADERS, END_HEADERS, 1, fields(fields_of('POST', '/'))) . frame(DATA, 0, 1, 'hello')
        . frame(HEADERS, END_HEADERS | END_STREAM, 1, fields('x-t' => 'v', host => 'evil',
            'content-type' => 'x', cookie => 'a=b', authorization => 'x', 'x-forwarded-for' => '1.2.3.4', 'x-u' => '')));
    ok($c->response(1), 'answered') or diag explain $c->{reset};
    my ($r) = $a->wait_requests(1) ? $a->last_request : ();
    like($r->{raw}, qr/\r\n5\r\nhello\r\n0\r\nx-t: v\r\nx-u: \r\n\r\n\z/, 'reach the server, but for the forbidden ones');
    my $count = $a->request_count;
    $c = Weir::Test::H2->new($t, $port);
    $c->send(frame(HEADERS, END_HEADERS, 1, fields(fields_of('POST', '/'))) . frame(DATA, 0, 1, 'hello')
        . frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(map { ("x$_" => 'v') } 1 .. 200)));
    is($c->verdict(1), 'stream 1 ENHANCE_YOUR_CALM', 'too many of them');
    is($a->request_count, $count, 'the server did not get that request');
};

sub websocket {
    my ($path, %o) = @_;
    my $c = Weir::Test::H2->new($t, $ws_port);
    $c->send(frame(HEADERS, $o{flags} // END_HEADERS, 1, fields(':method' => 'CONNECT', ':protocol' => $o{protocol} // 'websocket', ':scheme' => 'http',
        ':path' => $path, ':authority' => 'x', 'sec-websocket-version' => 13, 'sec-websocket-key' => 'evil', @{ $o{more} // [] })));
    return $c if $o{bare};
    $c->wait_for(sub { $c->{status}{1} || $c->{reset}{1} });
    return $c;
}
sub send_data { my ($c, $bytes, $flags) = @_; $c->send(frame(DATA, $flags // 0, 1, $bytes)); return }
sub echoed { my ($c, $length) = @_; $c->wait_for(sub { length($c->{body}{1} // '') >= $length || $c->{ended}{1} || $c->{reset}{1} }); return $c->{body}{1} // '' }

subtest 'WebSocket' => sub {
    my $c = Weir::Test::H2->new($t, $ws_port);
    my %settings = unpack '(nN)*', $c->{seen}[0]{payload};
    is($settings{8}, 1, 'weir says that it knows extended CONNECT');

    $c = websocket('/chat?x=1', more => ['sec-websocket-protocol' => 'chat', origin => 'http://y']);
    is($c->{status}{1}, 200, 'begun');
    my %fields = map { @$_ } @{ $c->{fields}{1} };
    is($fields{'sec-websocket-protocol'}, 'chat', 'the protocol the server chose');
    ok(!exists $fields{$_}, "no $_") for qw(upgrade connection sec-websocket-accept transfer-encoding content-length);
    my $request = $t->read('ws-request');
    like($request, qr{^GET /chat\?x=1 HTTP/1\.1\r\n}, 'the server sees GET');
    like($request, qr/^$_\r$/mi, $_) for 'host: x', 'connection: upgrade', 'upgrade: websocket', 'sec-websocket-version: 13',
        'sec-websocket-key: [A-Za-z0-9+\/]{22}==', 'origin: http:\/\/y', 'x-forwarded-for: 127\.0\.0\.1';
    unlike($request, qr/evil|transfer-encoding|content-length/i, 'and no more of it');
    send_data($c, 'ping');
    is(echoed($c, 4), 'ping', 'bytes both ways');
    send_data($c, '-more');
    is(echoed($c, 9), 'ping-more', 'and again');
    send_data($c, '', END_STREAM);
    ok($c->response(1), 'the client ends, the server too');
    is($c->{body}{1}, 'ping-morebye', 'after its last word');
    is($c->{reset}{1}, undef, 'in peace');

    my $total = 300_000;
    $c = websocket('/large');
    my ($sent, $seen) = (0, 0);
    while (length($c->{body}{1} // '') < $total) {
        while ($sent < $total && $sent - length($c->{body}{1} // '') < 30_000) {
            send_data($c, chr(97 + $sent / 10_000 % 26) x 10_000);
            $sent += 10_000;
        }
        my $f = $c->next_frame or last;
        next if $f->{type} != DATA || !length $f->{payload};
        $c->send(frame(WINDOW_UPDATE, 0, $_, pack 'N', length $f->{payload})) for 0, 1;
    }
    is($c->{body}{1}, join('', map { chr(97 + $_ % 26) x 10_000 } 0 .. 29), 'more than all windows');
    is(echoed(websocket('/hello'), 5), 'hello', 'bytes right behind the 101');

    $c = websocket('/early', bare => 1);
    send_data($c, 'early');
    is(echoed($c, 5), 'early', 'bytes right behind the request');
    $c = websocket('/end');
    ok($c->response(1), 'the server ends first');
    $c = websocket('/listens');
    ok($c->response(1), 'a server that ends its side alone');
    my @last = map { chr(97 + $_) x 10_000 } 0 .. 4;
    $c->send(join '', map({ frame(DATA, 0, 1, $_) } @last), frame(DATA, END_STREAM, 1, 'over'));
    $t->wait_until(sub { -e $t->path('ws-heard') }, 'hears the end of the client');
    is($t->read('ws-heard'), join('', @last) . 'over', 'and all that it said before');
    is(websocket('/end', flags => END_HEADERS | END_STREAM)->{status}{1}, 200, 'a client that ends at once');
};

subtest 'WebSocket: refusals' => sub {
    is(websocket('/refuse')->{status}{1}, 403, 'by the server');
    is(websocket('/wrong')->{status}{1}, 502, 'an answer to another key');
    is(websocket('/ignore')->{status}{1}, 502, 'an answer that is no tunnel');
    is(websocket('/', protocol => 'connect-udp')->{status}{1}, 501, 'another protocol');
    is(websocket('/', more => ['content-length' => 5])->{status}{1} // 'reset', 400, 'a length');
    my $c = websocket('/reset');
    $c->wait_for(sub { $c->{reset}{1} || $c->{ended}{1} });
    is($c->{reset}{1}, 'CANCEL', 'a server that breaks off');
    $c = websocket('/silent');
    $c->wait_for(sub { $c->{reset}{1} });
    is($c->{reset}{1}, 'CANCEL', 'silence for too long');
    $c = websocket('/gone');
    $c->send(frame(RST_STREAM, 0, 1, pack 'N', 8));
    $c = websocket('/closed');
    $c->close;
    $t->wait_until(sub { $weir->stats_server('ws', 'ws')->{active} == 0 }, 'all tunnels have ended');
    ok(1, 'nothing is left of them');
    cmp_ok($weir->stats_listener('ws')->{bytes_in}, '>', 300_000, 'and their bytes are counted');
};

is($weir->quit, 0, 'weir ends in peace');
done_testing;
