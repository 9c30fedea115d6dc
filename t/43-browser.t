#!/usr/bin/perl
# A real browser (headless Chromium): a page with many assets, and a WebSocket, over HTTP/1.1 and over HTTP/2 (RFC 8441).

use strict;
use warnings;
use Digest::SHA ();
use JSON::PP ();
use MIME::Base64 ();
use Test::More;
use Weir::Test;

my $assets = 100;
my ($chromium) = grep { -x } map { ("$_/chromium", "$_/chromium-browser", "$_/google-chrome") } split /:/, $ENV{PATH};
plan skip_all => 'no Chromium here (Debian package chromium)' if !$chromium;

my $t = Weir::Test->new;
my ($h1, $h2) = $t->ports(2);
$t->make_cert($t->path('certs'), 'web', ['localhost']);

# The page fetches its assets, talks over a WebSocket, and tells the server what became of it.
my $page = <<"PAGE";
<!doctype html><title>weir</title>
@{[ join "\n", map { qq(<script src="/asset/$_.js"></script>) } 1 .. $assets / 2 ]}
<script>
const report = { scripts: window.loaded || 0, fetched: 0, messages: [], large: 0, closed: null, protocols: {} };
function tell() {
	for (const e of performance.getEntriesByType('resource'))
		report.protocols[e.nextHopProtocol] = (report.protocols[e.nextHopProtocol] || 0) + 1;
	return fetch('/report', { method: 'POST', body: JSON.stringify(report) });
}
async function run() {
	const texts = await Promise.all([...Array($assets / 2).keys()].map(i => fetch('/asset/' + (i + $assets / 2 + 1) + '.js').then(r => r.text())));
	report.fetched = texts.filter((text, i) => text.includes('asset ' + (i + $assets / 2 + 1) + ' ') && text.length > 10000).length;
	await new Promise(done => {
		const ws = new WebSocket('wss://' + location.host + '/ws', 'chat');
		ws.onopen = () => { report.protocol = ws.protocol; ws.send('one'); };
		ws.onmessage = e => {
			if (e.data.length > 1000) { report.large = e.data.length; ws.close(1000, 'bye'); return; }
			report.messages.push(e.data);
			ws.send(e.data == 'one' ? 'two' : 'x'.repeat(60000));
		};
		ws.onclose = e => { report.closed = e.code; done(); };
	});
}
run().catch(e => { report.error = String(e); }).then(tell);
</script>
PAGE

sub frame_of {
    my ($opcode, $payload) = @_;
    my $len = length $payload;
    return pack('C', 0x80 | $opcode) . ($len < 126 ? pack('C', $len) : $len < 65536 ? pack('Cn', 126, $len) : die) . $payload;
}

# Sends back what it gets (RFC 6455).
sub echo_frames {
    my ($conn) = @_;
    while (1) {
        my ($first, $len) = unpack 'CC', $conn->read_bytes(2);
        $len &= 127;
        $len = unpack 'n', $conn->read_bytes(2) if $len == 126;
        $len = unpack 'Q>', $conn->read_bytes(8) if $len == 127;
        my $mask = $conn->read_bytes(4);
        my $payload = $conn->read_bytes($len) ^ substr $mask x ($len / 4 + 1), 0, $len;
        my $opcode = $first & 15;
        $conn->send(frame_of($opcode == 9 ? 10 : $opcode, $payload));
        return if $opcode == 8;
    }
}

my $server = $t->tcp_server('server', sub {
    my ($conn) = @_;
    while (1) {
        my $head = eval { $conn->read_match(qr/\r\n\r\n/) } // return;
        my ($method, $path) = $head =~ /^(\S+) (\S+)/;
        my ($length) = $head =~ /^content-length: (\d+)/mi;
        my $body = $length ? $conn->read_bytes($length) : '';
        if ($path eq '/ws' && $head =~ /^sec-websocket-key: (\S+)/mi) {
            my $accept = MIME::Base64::encode_base64(Digest::SHA::sha1($1 . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'), '');
            $conn->send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: $accept\r\n\r\n");
            eval { echo_frames($conn) };
            return;
        }
        $t->write('report', "$body\n") if $path eq '/report';
        my ($type, $answer) = $path =~ m{^/asset/(\d+)\.js$} ? ('text/javascript', "// asset $1 \nwindow.loaded = (window.loaded || 0) + 1;\n" . "// filler $1\n" x 1000)
            : $path eq '/' ? ('text/html', $page) : ('text/plain', 'ok');
        $conn->send("HTTP/1.1 200 OK\r\nContent-Type: $type\r\nCache-Control: no-store\r\nContent-Length: " . length($answer) . "\r\n\r\n$answer");
    }
});

my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: h1, listen: ["127.0.0.1:$h1"], protocol: https, tls: {certificate: web, alpn: [http/1.1]}, pool: web}
  - {name: h2, listen: ["127.0.0.1:$h2"], protocol: https, tls: {certificate: web}, compression: {gzip: on}, pool: web}
pools:
  - {name: web, servers: [{name: a, address: "@{[ $server->address ]}"}]}
CONFIG

for my $case ([ $h1, 'http/1.1', 'HTTP/1.1' ], [ $h2, 'h2', 'HTTP/2' ]) {
    my ($port, $protocol, $logged) = @$case;
    unlink $t->path('report'), $t->path('access.log');
    $weir->signal('USR1');
    my $pid = $t->spawn(sub {
        $ENV{HOME} = $t->dir;
        open STDOUT, '>', $t->path('browser.out');
        exec $chromium, qw(--headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run --disable-background-networking
            --disable-component-update --disable-sync --disable-extensions --no-proxy-server --ignore-certificate-errors --remote-debugging-port=0),
            '--user-data-dir=' . $t->path("profile-$protocol" =~ tr{/}{-}r), "https://localhost:$port/";
    }, 'browser.err');
    $t->wait_until(sub { $t->read('report') =~ /\n\z/ }, "the browser reports ($protocol)", 60);
    $t->end_process($pid, 'KILL');
    my $report = JSON::PP::decode_json($t->read('report'));
    is($report->{error}, undef, "$protocol: no error");
    is($report->{scripts}, $assets / 2, "$protocol: all scripts of the page ran");
    is($report->{fetched}, $assets / 2, "$protocol: all that it fetched is right");
    is_deeply($report->{messages}, [ 'one', 'two' ], "$protocol: the WebSocket brings back what was sent");
    is($report->{large}, 60000, "$protocol: a long message too");
    is("$report->{protocol} $report->{closed}", 'chat 1000', "$protocol: it is closed in peace");
    is_deeply([ keys %{ $report->{protocols} } ], [$protocol], "$protocol: is what the browser spoke") or diag explain $report->{protocols};
    my $socket = $t->wait_until(sub { (grep { ($_->{target} // '') eq '/ws' } map { JSON::PP::decode_json($_) } split /\n/, $t->read('access.log'))[0] },
        'the WebSocket is in the log');
    is($socket->{protocol}, $logged, "$protocol: over which the WebSocket went, too");
}
is($weir->stats_listener('h2')->{bad_requests} + $weir->stats_listener('h1')->{bad_requests}, 0, 'nothing was malformed');
is($weir->stop, 0, 'weir ends');
done_testing;
