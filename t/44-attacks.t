#!/usr/bin/perl
# Attacks on HTTP/1 and HTTP/2 that were published or are obvious: each meets a limit with a sane default, is counted,
# and other clients are served meanwhile.

use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::H2 qw(:all);
use Weir::Test::H2Server;

my $t = Weir::Test->new;
my ($port, $slow, $tls, $evil) = $t->ports(4);
my $a = $t->origin('a');
$t->make_cert($t->path('certs'), 'web', ['localhost']);
# A server that attacks: what it sends instead of a response, or within one.
my %evil = (
    'PING' => sub { $_[0]->send(frame(PING, 0, 0, '12345678') x 4000) },
    'answers to PING' => sub { $_[0]->send(frame(PING, ACK, 0, '12345678') x 4000) },
    'SETTINGS' => sub { $_[0]->send(frame(SETTINGS, 0, 0, pack('nN', 1, 0)) x 4000) },
    'PRIORITY' => sub { $_[0]->send(frame(PRIORITY, 0, $_[1], pack 'NC', 0, 1) x 4000) },
    'unknown frames' => sub { $_[0]->send(frame(0xbe, 0, 0, '') x 4000) },
    'GOAWAY' => sub { $_[0]->send(frame(GOAWAY, 0, 0, pack 'NN', $_[1], 0) x 4000) },
    'empty DATA' => sub { $_[0]->head($_[1], [':status' => 200])->send(frame(DATA, 0, $_[1], '') x 4000) },
    'DATA of padding' => sub { $_[0]->head($_[1], [':status' => 200])->send(frame(DATA, PADDED, $_[1], "\x01\0") x 4000) },
    'tiny WINDOW_UPDATE' => sub { $_[0]->send(frame(WINDOW_UPDATE, 0, $_[1], pack 'N', 1) x 4000) },
    'RST_STREAM over and over' => sub { $_[0]->send(frame(RST_STREAM, 0, $_[1], pack 'N', 8)); $_[0]->send(frame(RST_STREAM, 0, $_[1], pack 'N', 8) x 4000) for 1 .. 2 },
    'HEADERS of a stream that is over' => sub { $_[0]->answer($_[1], 'x'); $_[0]->send(frame(HEADERS, END_HEADERS, $_[1], fields(x => 'y')) x 3000) for 1 .. 2 },
    'CONTINUATION without end' => sub { $_[0]->send(frame(HEADERS, 0, $_[1], fields(':status', 200)) . join '', map { frame(CONTINUATION, 0, $_[1], literal("x$_", 'y' x 1000)) } 1 .. 100) },
);
# These cost the request alone.
my %bad = (
    'a header bomb of indices' => sub { $_[0]->send(frame(HEADERS, END_HEADERS, $_[1], literal(':status', 200) . "\x40\x01a\x7f\xa1\x1e" . 'b' x 4000 . "\xbe" x 4000)) },
    'a header list without end' => sub { $_[0]->head($_[1], [':status' => 200, map { ("x$_" => 'y' x 15000) } 1 .. 6]) },
    '1xx without end' => sub { $_[0]->send(frame(HEADERS, END_HEADERS, $_[1], literal(':status', 103)) x 5000) },
    'answers to SETTINGS' => sub { $_[0]->send(frame(SETTINGS, ACK, 0, '') x 4000) },
    'more than its window' => sub { $_[0]->head($_[1], [':status' => 200])->send(frame(DATA, 0, $_[1], 'x' x 16384) x 200) },
);
my $attacker = Weir::Test::H2Server->start($t, 'attacker', { map { my ($name, $sub) = ($_, $evil{$_} // $bad{$_}); ('begin:' . $name =~ s/ /%20/gr => $sub) } keys %evil, keys %bad });
# Limits are the defaults; only the times are short.
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1, access => 'off'));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, http2: {cleartext: on}, pool: web}
  - {name: slow, listen: ["127.0.0.1:$slow"], protocol: http, http2: {cleartext: on}, timeouts: {client_head: 700ms, client_body: 700ms}, pool: web}
  - {name: tls, listen: ["127.0.0.1:$tls"], protocol: https, tls: {certificate: web}, timeouts: {client_head: 700ms, client_body: 700ms}, pool: web}
  - {name: evil, listen: ["127.0.0.1:$evil"], protocol: http, pool: evil}
pools:
  - {name: evil, protocol: h2c, servers: [{name: a, address: "@{[ $attacker->address ]}"}]}
  - {name: web, servers: [{name: a, address: "@{[ $a->address ]}"}]}
CONFIG
my ($worker) = $weir->workers;
sub memory { return $t->read("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : die 'no memory' }

my $others = $t->load(port => $port, clients => 2, pause => 0.005);
$others->wait_ok(50);
my $before = memory();

my @get = (':method' => 'GET', ':scheme' => 'http', ':path' => '/', ':authority' => 'x');
my $get = "\x82\x86\x84\x41\x01x";
my $plain = "\x82\x86\x84\x01\x01x"; # leaves the table alone
my $post = "\x83\x86\x84\x41\x01x";
my $open = END_HEADERS;
my $whole = END_HEADERS | END_STREAM;
sub rst { my ($id, $code) = @_; return frame(RST_STREAM, 0, $id, pack 'N', $code // 8) }
sub update { my ($id, $n) = @_; return frame(WINDOW_UPDATE, 0, $id, pack 'N', $n) }

# Name, the counter that it must move, and the n-th piece of what the attacker sends, until weir hangs up.
my @floods = (
    ['rapid reset (CVE-2023-44487)', 'floods', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $whole, $id, $get) . rst($id) }],
    ['rapid reset with a body', 'floods', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $open, $id, $post) . frame(DATA, 0, $id, 'x' x 100) . rst($id, 0) }],
    ['made you reset (CVE-2025-8671): a window of 0', 'bad_requests', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $open, $id, $post) . update($id, 0) }],
    ['made you reset: a window too large', 'floods', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $open, $id, $post) . update($id, 0x7fffffff) }],
    ['made you reset: a length that is wrong', 'floods', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $open, $id, $post . literal('content-length', 1)) . frame(DATA, 1, $id, 'xy') }],
    ['made you reset: fields without a name (CVE-2019-9516)', 'floods', sub { frame(HEADERS, $whole, 2 * $_[0] + 1, $get . literal('', '') x 10) }],
    ['made you reset: more streams than allowed', 'floods', sub { frame(HEADERS, $open, 2 * $_[0] + 1, $post) }],
    ['made you reset: DATA of closed streams', 'floods', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $open, $id, $post) . rst($id) . frame(DATA, 0, $id, 'x') }],
    ['made you reset: HEADERS of a stream that is half-closed', 'bad_requests', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $whole, $id, $get) . frame(HEADERS, $whole, $id, $get) }],
    ['made you reset: PRIORITY of a wrong length', 'bad_requests', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $open, $id, $post) . frame(PRIORITY, 0, $id, "\0\0\0\0") }],
    ['made you reset: DATA beyond the window of a stream', 'bad_requests', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $open, $id, $post . literal('content-length', 10_000_000)) . frame(DATA, 0, $id, 'x' x 16384) x 8 }],
    ['made you reset: trailers that do not end', 'floods', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $open, $id, $post) . frame(HEADERS, $open, $id, literal('x', 'y')) }],
    ['made you reset: too many trailers', 'floods', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $open, $id, $post) . frame(HEADERS, $whole, $id, join '', map { literal("x$_", 'y') } 1 .. 200) }],
    ['made you reset: pseudo-fields that are wrong', 'floods', sub { frame(HEADERS, $whole, 2 * $_[0] + 1, $get . literal(':path', '/')) }],
    ['RST_STREAM over and over', 'floods', sub { ($_[0] ? '' : frame(HEADERS, $whole, 1, $get)) . rst(1) x 20 }],
    ['PING (CVE-2019-9512)', 'floods', sub { frame(PING, 0, 0, 'x' x 8) x 20 }],
    ['answers to PING that nobody sent', 'floods', sub { frame(PING, ACK, 0, 'x' x 8) x 20 }],
    ['SETTINGS (CVE-2019-9515)', 'floods', sub { frame(SETTINGS, 0, 0, '') x 20 }],
    ['SETTINGS that change the table', 'floods', sub { frame(SETTINGS, 0, 0, pack('nN', 1, $_[0] % 2 * 4096)) x 20 }],
    ['empty DATA (CVE-2019-9518)', 'floods', sub { ($_[0] ? '' : frame(HEADERS, $open, 1, $post)) . frame(DATA, 0, 1, '') x 20 }],
    ['DATA of padding alone', 'floods', sub { ($_[0] ? '' : frame(HEADERS, $open, 1, $post)) . frame(DATA, PADDED, 1, "\x01\0") x 20 }],
    ['empty HEADERS and CONTINUATION', 'floods', sub { ($_[0] ? '' : frame(HEADERS, 0, 1, '')) . frame(CONTINUATION, 0, 1, '') x 20 }],
    ['CONTINUATION without end (CVE-2024-27316)', 'floods', sub { ($_[0] ? '' : frame(HEADERS, 0, 1, $get)) . frame(CONTINUATION, 0, 1, literal("x$_[0]", 'y' x 1000)) }],
    ['PRIORITY (CVE-2019-9513)', 'floods', sub { frame(PRIORITY, 0, 2 * ($_[0] % 100) + 1, pack 'NC', 2 * ($_[0] % 7) + 201, $_[0] % 256) x 20 }],
    ['tiny WINDOW_UPDATE (CVE-2019-9511)', 'floods', sub { update(0, 1) x 20 }],
    ['a response byte by byte', 'floods', sub { ($_[0] ? '' : frame(SETTINGS, 0, 0, pack 'nN', 4, 0) . frame(HEADERS, $whole, 1, fields(@get[ 0 .. 3 ], ':path' => '/bytes/100000', @get[ 6, 7 ]))) . update(1, 1) x 20 }],
    ['a response byte by byte, by SETTINGS', 'floods', sub { ($_[0] ? '' : frame(HEADERS, $whole, 1, fields(@get[ 0 .. 3 ], ':path' => '/bytes/100000', @get[ 6, 7 ]))) . frame(SETTINGS, 0, 0, pack 'nN', 4, $_[0] % 2) x 20 }],
    ['frames of unknown types', 'floods', sub { frame(0xbe, 0, 0, 'x') x 20 }],
    ['a header bomb of indices', 'bad_requests', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $whole, $id, $plain . ($_[0] ? '' : "\x40\x01a\x7f\xa1\x1e" . 'b' x 4000) . "\xbe" x 4000) }, 30],
    ['a bomb of cookie crumbs', 'bad_requests', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, $whole, $id, $plain . ($_[0] ? '' : "\x40" . "\x06cookie" . "\x7f\xa1\x1e" . 'b' x 4000) . "\xbe" x 4000) }, 20],
    ['a header list without end', 'bad_requests', sub { my $id = 2 * $_[0] + 1; frame(HEADERS, 0, $id, $get) . frame(CONTINUATION, 0, $id, literal('x', 'y' x 16000)) x 3 . frame(CONTINUATION, 4, $id, '') }, 20],
);

# Sends pieces until the connection ends, or `most` were sent; returns how it ended.
sub attack {
    my ($piece, $most) = @_;
    my $c = Weir::Test::H2->new($t, $port);
    for my $n (0 .. ($most // 20_000) - 1) {
        eval { $c->{client}->send($piece->($n)); 1 } or last;
        last if $n % 16 == 15 && $c->{client}->is_closed;
    }
    my $code = eval { $c->wait_for(sub { defined $c->{goaway} || ($most && (grep { $_ == 431 } values %{ $c->{status} }) >= $most) }) ? $c->{goaway} // 'served' : 'closed' } // 'reset';
    $c->close;
    return $code;
}

for my $flood (@floods) {
    my ($name, $counter, $piece, $most) = @$flood;
    my $count = $weir->stats_listener('web')->{$counter};
    my $code = attack($piece, $most);
    like($code, $most ? qr/^served$/ : $counter eq 'floods' ? qr/^(?:ENHANCE_YOUR_CALM|closed|reset)$/ : qr/^(?:(?:PROTOCOL|FRAME_SIZE|FLOW_CONTROL)_ERROR|STREAM_CLOSED|closed|reset)$/,
        "$name: " . ($most ? 'each is refused' : 'the connection is ended'));
    my $now = $t->wait_until(sub { my $n = $weir->stats_listener('web')->{$counter}; $n > $count && $n }, "$name: counted");
    cmp_ok($now - $count, $counter eq 'floods' ? '==' : '>=', $most // 1, "$name: counted in $counter");
}

# Servers that attack: counted, and the connection ended; a request never hangs.
for my $name (sort keys %evil) {
    my $count = $weir->stats_server('evil', 'a')->{floods};
    my $r = eval { $t->http_get($evil, '/' . $name =~ s/ /%20/gr) };
    $t->wait_until(sub { $weir->stats_server('evil', 'a')->{floods} > $count }, "a server's $name: counted");
    pass("a server's $name: " . ($r ? $r->{status} : 'cut') . ', and counted');
}
for my $name (sort keys %bad) {
    my $count = $weir->stats_server('evil', 'a')->{response_errors};
    my $r = eval { $t->http_get($evil, '/' . $name =~ s/ /%20/gr) };
    like($r ? $r->{status} : 'cut', $name =~ /window/ ? qr/^cut$/ : qr/^502$/, "a server's $name");
    $t->wait_until(sub { $weir->stats_server('evil', 'a')->{response_errors} > $count }, "a server's $name: counted");
}

# Slow ones: each is given up in time, and counted.
my $big = '/bytes/20000000';
my @slow = (
    ['a head, byte by byte', $slow, sub { my $c = shift; for (split //, 'GET / HTTP/1.1' . "\r\nX: y" x 1000) { eval { $c->send($_) } or last; last if $c->is_closed; select undef, undef, undef, 0.02 } }, qr/^HTTP\/1\.1 408 /],
    ['a body that does not come', $slow, sub { $_[0]->send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx") }, qr/^HTTP\/1\.1 408 /],
    ['a chunk that does not come', $slow, sub { $_[0]->send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel") }, qr/^HTTP\/1\.1 408 /],
    ['a response that is not read', $slow, sub { $_[0]->send("GET $big HTTP/1.1\r\nHost: x\r\n\r\n"); $_[1]->() }, qr/^HTTP\/1\.1 200 /],
    ['responses to a pipeline that are not read', $slow, sub { $_[0]->send("GET /bytes/100000 HTTP/1.1\r\nHost: x\r\n\r\n" x 300); $_[1]->() }, qr/^HTTP\/1\.1 200 /],
    ['a TLS handshake that does not go on', $tls, sub { $_[0]->send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc") }, qr/^$/],
    ['HTTP/2: a preface that does not end', $slow, sub { $_[0]->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") }, qr/\A\0\0.\x04/],
    ['HTTP/2: a header block that does not end', $slow, sub { $_[0]->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(SETTINGS, 0, 0, '') . frame(HEADERS, 0, 1, $get)) }, qr/\A\0\0.\x04/],
    ['HTTP/2: a body that does not come', $slow, sub { $_[0]->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(SETTINGS, 0, 0, '') . frame(HEADERS, $open, 1, $post)); $_[1]->() }, qr/\A\0\0.\x04/],
    ['HTTP/2: a window that stays shut', $slow, sub { $_[0]->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(SETTINGS, 0, 0, pack 'nN', 4, 0) . frame(HEADERS, $whole, 1, $get)); $_[1]->() }, qr/\A\0\0.\x04/],
    ['HTTP/2: open windows that nobody reads (CVE-2019-9517)', $slow, sub { $_[0]->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(SETTINGS, 0, 0, pack 'nN', 4, 0x7fffffff)
            . update(0, 0x70000000) . join '', map { frame(HEADERS, $whole, 2 * $_ + 1, fields(@get[ 0 .. 3 ], ':path' => $big, @get[ 6, 7 ])) } 0 .. 9); $_[1]->() }, qr/\A\0\0.\x04/],
);
for my $case (@slow) {
    my ($name, $to, $sub, $want) = @$case;
    my $listener = $to == $tls ? 'tls' : 'slow';
    my $counter = $to == $tls ? 'tls_failures' : 'slow_clients';
    my $count = $weir->stats_listener($listener)->{$counter};
    my $counted = sub { $t->wait_until(sub { $weir->stats_listener($listener)->{$counter} > $count }, "$name: counted") };
    my $client = $t->client($to);
    $sub->($client, $counted);
    eval { 1 while $client->fill(Time::HiRes::time() + ($name =~ /HTTP\/2/ ? 0.2 : 15)); 1 };
    like(substr($client->{in}, 0, 100), $want, "$name: answered as it should be");
    $counted->();
    pass("$name: given up, and counted");
    $client->close;
    $t->wait_until(sub { $weir->stats_listener($listener)->{active} == 0 }, "$name: the connection has ended", 10);
}

# Large ones.
for my $case ([ 'a head without end', "GET / HTTP/1.1\r\n", 'X: ' . 'y' x 1000 . "\r\n", 431 ], [ 'a target without end', 'GET /', 'y' x 1000, 414 ],
    [ 'extensions without end', "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", '1;' . 'y' x 1000 . "\r\nx\r\n", 400 ],
    [ 'trailers without end', "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", 'X: ' . 'y' x 1000 . "\r\n", 400 ]) {
    my ($name, $first, $more, $status) = @$case;
    my $count = $weir->stats_listener('web')->{bad_requests};
    my $client = $t->client($port);
    eval { $client->send($first); $client->send($more) for 1 .. 200 };
    eval { 1 while $client->fill };
    like($client->{in}, qr{^HTTP/1\.1 $status }, "$name: $status");
    is($weir->stats_listener('web')->{bad_requests}, $count + 1, "$name: counted");
}

$others->wait_ok(50);
my $sum = $others->stop;
is($sum->{failed}, 0, "other clients were served all the time ($sum->{ok} requests)") or diag explain $sum->{reasons};
is(($weir->workers)[0], $worker, 'by the same worker');
cmp_ok(memory() - $before, '<', 60_000, 'which has not become large') if ($ENV{WEIR_SANITIZERS} // '') ne 'yes';
is($weir->stop, 0, 'weir ends');
done_testing;
