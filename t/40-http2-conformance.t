# HTTP/2 frame by frame: what RFC 9113 (sections 3 to 8) and RFC 7541 demand of a server.
use strict;
use warnings;
use List::Util ();
use Test::More;
use Weir::Test;
use Weir::Test::H2 qw(:all);

my $t = Weir::Test->new;
my ($port, $small, $few, $tls) = $t->ports(4);
$t->make_cert($t->path('certs'), 'web', ['localhost']);
my $a = $t->origin('a');
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, http2: {cleartext: on}, pool: web}
  - {name: few, listen: ["127.0.0.1:$few"], protocol: http, http2: {cleartext: on, streams: 4}, pool: web}
  - {name: tls, listen: ["127.0.0.1:$tls"], protocol: https, tls: {certificate: web, alpn: [h2, http/1.1]}, pool: web}
  - name: small
    listen: ["127.0.0.1:$small"]
    protocol: http
    http2: {cleartext: on, streams: 4, window: 16k}
    timeouts: {client_head: 1s, client_body: 1s, client_idle: 1s}
    pool: web
pools:
  - {name: web, servers: [{name: a, address: "@{[ $a->address ]}"}]}
CONFIG

my @get = (':method' => 'GET', ':scheme' => 'http', ':path' => '/', ':authority' => 'x');
my @post = (':method' => 'POST', @get[ 2 .. 7 ]);
my $open = END_HEADERS;
my $whole = END_HEADERS | END_STREAM;
my $preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

sub head { my ($id, @more) = @_; return frame(HEADERS, $whole, $id, fields(@get, @more)) }
sub begun { my ($id, @more) = @_; return frame(HEADERS, $open, $id, fields(@post, @more)) }
sub block { my ($bytes) = @_; return frame(HEADERS, $whole, 1, fields(@get) . $bytes) }
sub request { return frame(HEADERS, $whole, 1, fields(@_)) }
sub settings { my $out = ''; while (my ($id, $value) = splice @_, 0, 2) { $out .= pack 'nN', $id, $value } return $out }
sub with { my ($name, $value) = @_; my %f = (@get, $name => $value); return map { $_ => $f{$_} } sort keys %f }
sub without { my ($name) = @_; my %f = @get; delete $f{$name}; return map { $_ => $f{$_} } sort keys %f }

# Bytes to send, and what must come of it: a pattern for the verdict.  "served": a request on stream 101 is answered.
my @cases = (
    'section 4.1: frames',
    ['a frame of unknown type is ignored', frame(0xee, 0, 0, 'hello'), 'served'],
    ['and one on a stream', frame(0xee, 0xff, 5, ''), 'served'],
    ['undefined flags are ignored', frame(PING, 0xfe, 0, 'x' x 8), 'served'],
    ['the reserved bit is ignored', frame(PING, 0, 0x80000000, 'x' x 8), 'served'],
    ['and that of a stream', frame(HEADERS, $whole, 0x80000001, fields(@get)), 'status 200'],
    ['all flags of all frames', begun(1) . frame(WINDOW_UPDATE, 0xff, 1, pack 'N', 1) . frame(PRIORITY, 0xff, 1, "\0\0\0\0\x0f") . frame(RST_STREAM, 0xff, 1, pack 'N', 8) . frame(GOAWAY, 0xff, 0, pack 'NN', 0, 0), 'served'],
    ['a PRIORITY_UPDATE of RFC 9218', frame(0x10, 0, 0, pack('N', 1) . 'u=1, i') . frame(0x10, 0, 0, ''), 'served'],
    ['ALTSVC and ORIGIN, which clients do not send', frame(0xa, 0, 0, "\0\1xh2=\":1\"") . frame(0xc, 0, 0, "\0\1x"), 'served'],

    'section 4.2: sizes',
    ['DATA at the limit', begun(1) . frame(DATA, 1, 1, 'x' x 16384), 'status 200'],
    ['DATA beyond the limit', begun(1) . frame(DATA, 1, 1, 'x' x 16385), 'connection FRAME_SIZE_ERROR'],
    ['SETTINGS beyond the limit', frame(SETTINGS, 0, 0, settings(3, 1) x 2731), 'connection FRAME_SIZE_ERROR'],
    ['an unknown frame beyond the limit', frame(0xee, 0, 0, 'x' x 16385), 'connection FRAME_SIZE_ERROR'],
    ['HEADERS beyond the limit', frame(HEADERS, $whole, 1, fields(@get, x => 'y' x 16385)), 'connection FRAME_SIZE_ERROR'],

    'section 4.3: header blocks',
    ['an unfinished field', frame(HEADERS, $whole, 1, fields(@get) . "\0\x05na"), 'connection COMPRESSION_ERROR'],
    ['PING inside a block', frame(HEADERS, 1, 1, fields(@get)) . frame(PING, 0, 0, 'x' x 8), 'connection PROTOCOL_ERROR'],
    ['RST_STREAM inside a block', frame(HEADERS, 1, 1, fields(@get)) . frame(RST_STREAM, 0, 1, pack 'N', 8), 'connection PROTOCOL_ERROR'],
    ['HEADERS of the same stream inside a block', frame(HEADERS, 1, 1, fields(@get)) . frame(HEADERS, $whole, 1, ''), 'connection PROTOCOL_ERROR'],
    ['an empty block', frame(HEADERS, $whole, 1, ''), 'stream 1 PROTOCOL_ERROR'],
    ['PRIORITY inside a block', frame(HEADERS, 1, 1, fields(@get)) . frame(PRIORITY, 0, 1, "\0\0\0\0\x0f") . frame(CONTINUATION, 4, 1, ''), 'connection PROTOCOL_ERROR'],
    ['another stream inside a block', frame(HEADERS, 1, 1, fields(@get)) . head(3), 'connection PROTOCOL_ERROR'],
    ['an unknown frame inside a block', frame(HEADERS, 1, 1, fields(@get)) . frame(0xee, 0, 1, ''), 'connection PROTOCOL_ERROR'],
    ['CONTINUATION of another stream', frame(HEADERS, 1, 1, fields(@get)) . frame(CONTINUATION, 4, 3, ''), 'connection PROTOCOL_ERROR'],

    'section 5.1: states of streams',
    ['idle: DATA', frame(DATA, 1, 1, 'x'), 'connection PROTOCOL_ERROR'],
    ['idle: RST_STREAM', frame(RST_STREAM, 0, 1, pack 'N', 8), 'connection PROTOCOL_ERROR'],
    ['idle: WINDOW_UPDATE', frame(WINDOW_UPDATE, 0, 1, pack 'N', 100), 'connection PROTOCOL_ERROR'],
    ['idle: CONTINUATION', frame(CONTINUATION, 4, 1, fields(@get)), 'connection PROTOCOL_ERROR'],
    ['never to be opened by a client: DATA', frame(DATA, 1, 2, 'x'), 'connection PROTOCOL_ERROR'],
    ['never to be opened by a client: RST_STREAM', frame(RST_STREAM, 0, 2, pack 'N', 8), 'connection PROTOCOL_ERROR'],
    ['never to be opened by a client: WINDOW_UPDATE', frame(WINDOW_UPDATE, 0, 2, pack 'N', 1), 'connection PROTOCOL_ERROR'],
    ['left out, and so closed: DATA', head(7) . frame(DATA, 1, 5, 'x'), '(?:connection|stream 5) (?:STREAM_CLOSED|PROTOCOL_ERROR)'],
    ['left out, and so closed: PRIORITY', head(7) . frame(PRIORITY, 0, 5, "\0\0\0\0\x0f"), 'served'],
    ['half-closed: RST_STREAM', head(1) . frame(RST_STREAM, 0, 1, pack 'N', 8), 'served'],
    ['open: PRIORITY, WINDOW_UPDATE', begun(1) . frame(PRIORITY, 0, 1, "\x80\0\0\3\xff") . frame(WINDOW_UPDATE, 0, 1, pack 'N', 100) . frame(DATA, 1, 1, 'x'), 'status 200'],
    ['idle: PRIORITY', frame(PRIORITY, 0, 1, "\0\0\0\0\x0f"), 'served'],
    ['half-closed: DATA', head(1) . frame(DATA, 1, 1, 'x'), '(?:connection|stream 1) STREAM_CLOSED'],
    ['half-closed: HEADERS', head(1) . head(1), '(?:connection|stream 1) STREAM_CLOSED'],
    ['half-closed: CONTINUATION', head(1) . frame(CONTINUATION, 4, 1, fields('a' => 'b')), 'connection PROTOCOL_ERROR'],
    ['half-closed: WINDOW_UPDATE, PRIORITY', head(1) . frame(WINDOW_UPDATE, 0, 1, pack 'N', 100) . frame(PRIORITY, 0, 1, "\0\0\0\0\x0f"), 'status 200'],
    ['reset: DATA', begun(1) . frame(RST_STREAM, 0, 1, pack 'N', 8) . frame(DATA, 1, 1, 'x'), 'stream 1 STREAM_CLOSED'],
    ['reset: HEADERS', begun(1) . frame(RST_STREAM, 0, 1, pack 'N', 8) . head(1), 'connection (?:STREAM_CLOSED|PROTOCOL_ERROR)'],
    ['reset: CONTINUATION', begun(1) . frame(RST_STREAM, 0, 1, pack 'N', 8) . frame(CONTINUATION, 4, 1, ''), 'connection PROTOCOL_ERROR'],
    ['reset: RST_STREAM, WINDOW_UPDATE', begun(1) . frame(RST_STREAM, 0, 1, pack 'N', 8) x 2 . frame(WINDOW_UPDATE, 0, 1, pack 'N', 100), 'served'],

    'section 5.1.1: stream numbers',
    ['an even number', head(2), 'connection PROTOCOL_ERROR'],
    ['a smaller number', head(5) . head(3), 'connection (?:PROTOCOL_ERROR|STREAM_CLOSED)'],
    ['the same number again', head(5) . head(5), '(?:connection|stream 5) (?:PROTOCOL_ERROR|STREAM_CLOSED)'],
    ['numbers may be left out', head(7) . frame(PING, 0, 0, 'x' x 8), 'served'],

    'section 5.3: priorities of RFC 7540',
    ['HEADERS with priority', frame(HEADERS, $whole | WITH_PRIORITY, 1, "\x80\0\0\x03\x10" . fields(@get)), 'status 200'],
    ['HEADERS too short for it', frame(HEADERS, $whole | WITH_PRIORITY, 1, "\x80"), 'connection (?:FRAME_SIZE|PROTOCOL)_ERROR'],

    ['HEADERS that depend on themselves', frame(HEADERS, $whole | WITH_PRIORITY, 1, pack('NC', 1, 15) . fields(@get)), '(?:connection|stream 1) PROTOCOL_ERROR'],
    ['PRIORITY that depends on itself', begun(1) . frame(PRIORITY, 0, 1, pack('NC', 1, 15)), '(?:connection|stream 1) PROTOCOL_ERROR'],
    ['weights, and exclusive', begun(1) . join('', map { frame(PRIORITY, 0, $_->[0], pack 'NC', $_->[1], $_->[2]) } [1, 0, 0], [1, 0, 255], [1, 0x80000003, 7], [3, 1, 7], [5, 3, 7], [1, 5, 7], [3, 0x80000005, 0]), 'served'],
    ['PRIORITY for streams to come', join('', map { frame(PRIORITY, 0, $_ * 2 + 1, pack('NC', 0, 15)) } 1 .. 200), 'served'],

    'section 6.1: DATA',
    ['on stream 0', frame(DATA, 1, 0, 'x'), 'connection PROTOCOL_ERROR'],
    ['padding', begun(1) . frame(DATA, 1 | PADDED, 1, "\x05hello" . "\0" x 5), 'status 200'],
    ['nothing but padding', begun(1) . frame(DATA, 1 | PADDED, 1, "\x05" . "\0" x 5), 'status 200'],
    ['as much padding as payload', begun(1) . frame(DATA, 1 | PADDED, 1, "\x06hello"), 'connection PROTOCOL_ERROR'],
    ['more padding than payload', begun(1) . frame(DATA, 1 | PADDED, 1, "\xffhello"), 'connection PROTOCOL_ERROR'],
    ['padding that is not 0', begun(1) . frame(DATA, 1 | PADDED, 1, "\x05hello12345"), 'status 200|connection PROTOCOL_ERROR'],
    ['no room for the pad length', begun(1) . frame(DATA, 1 | PADDED, 1, ''), 'connection (?:PROTOCOL|FRAME_SIZE)_ERROR'],

    'section 6.2: HEADERS',
    ['on stream 0', frame(HEADERS, $whole, 0, fields(@get)), 'connection PROTOCOL_ERROR'],
    ['padding', frame(HEADERS, $whole | PADDED, 1, "\x03" . fields(@get) . "\0\0\0"), 'status 200'],
    ['padding and priority', frame(HEADERS, $whole | PADDED | WITH_PRIORITY, 1, "\x03\0\0\0\0\x10" . fields(@get) . "\0\0\0"), 'status 200'],
    ['no room for the pad length', frame(HEADERS, $whole | PADDED, 1, ''), 'connection (?:PROTOCOL|FRAME_SIZE)_ERROR'],
    ['nothing but padding', frame(HEADERS, $whole | PADDED, 1, "\x03\0\0\0"), 'stream 1 PROTOCOL_ERROR'],
    ['too much padding, with priority', frame(HEADERS, $whole | PADDED | WITH_PRIORITY, 1, "\x08\0\0\0\0\x10abcdefg"), 'connection PROTOCOL_ERROR'],
    ['too much padding', frame(HEADERS, $whole | PADDED, 1, "\xff" . fields(@get)), 'connection PROTOCOL_ERROR'],

    'section 6.3: PRIORITY',
    ['on stream 0', frame(PRIORITY, 0, 0, "\0\0\0\0\x0f"), 'connection PROTOCOL_ERROR'],
    ['too long', begun(1) . frame(PRIORITY, 0, 1, "\0\0\0\0\x0f\0"), '(?:connection|stream 1) FRAME_SIZE_ERROR'],
    ['of wrong size', begun(1) . frame(PRIORITY, 0, 1, "\0\0\0\0"), '(?:connection|stream 1) FRAME_SIZE_ERROR'],

    'section 6.4: RST_STREAM',
    ['on stream 0', frame(RST_STREAM, 0, 0, pack 'N', 8), 'connection PROTOCOL_ERROR'],
    ['too long', begun(1) . frame(RST_STREAM, 0, 1, "\0\0\0\x08\0"), 'connection FRAME_SIZE_ERROR'],
    ['of wrong size', begun(1) . frame(RST_STREAM, 0, 1, "\0\0\0"), 'connection FRAME_SIZE_ERROR'],
    ['of an unknown code', begun(1) . frame(RST_STREAM, 0, 1, pack 'N', 0xdead), 'served'],

    'section 6.5: SETTINGS',
    ['ACK with a payload', frame(SETTINGS, ACK, 0, settings(3, 1)), 'connection FRAME_SIZE_ERROR'],
    ['on a stream', frame(SETTINGS, 0, 1, settings(3, 1)), 'connection PROTOCOL_ERROR'],
    ['of wrong size', frame(SETTINGS, 0, 0, "\0\x03\0\0\0"), 'connection FRAME_SIZE_ERROR'],
    ['ENABLE_PUSH 2', frame(SETTINGS, 0, 0, settings(2, 2)), 'connection PROTOCOL_ERROR'],
    ['INITIAL_WINDOW_SIZE too large', frame(SETTINGS, 0, 0, settings(4, 0x80000000)), 'connection FLOW_CONTROL_ERROR'],
    ['MAX_FRAME_SIZE too small', frame(SETTINGS, 0, 0, settings(5, 16383)), 'connection PROTOCOL_ERROR'],
    ['MAX_FRAME_SIZE too large', frame(SETTINGS, 0, 0, settings(5, 16777216)), 'connection PROTOCOL_ERROR'],
    ['ENABLE_PUSH 0 and 1', frame(SETTINGS, 0, 0, settings(2, 1)) . frame(SETTINGS, 0, 0, settings(2, 0)), 'served'],
    ['MAX_FRAME_SIZE at both limits', frame(SETTINGS, 0, 0, settings(5, 16777215)) . frame(SETTINGS, 0, 0, settings(5, 16384)), 'served'],
    ['ENABLE_CONNECT_PROTOCOL 2', frame(SETTINGS, 0, 0, settings(8, 2)), 'connection PROTOCOL_ERROR'],
    ['NO_RFC7540_PRIORITIES 2', frame(SETTINGS, 0, 0, settings(9, 2)), 'connection PROTOCOL_ERROR'],
    ['NO_RFC7540_PRIORITIES', frame(SETTINGS, 0, 0, settings(9, 1)), 'served|connection PROTOCOL_ERROR'],
    ['an ACK that nobody waits for', frame(SETTINGS, ACK, 0, ''), 'served|connection PROTOCOL_ERROR'],
    ['a wrong value behind right ones', frame(SETTINGS, 0, 0, settings(3, 100, 4, 0xffffffff)), 'connection FLOW_CONTROL_ERROR'],
    ['a header list of size 0 is advice', frame(SETTINGS, 0, 0, settings(6, 0)) . head(1), 'status 200'],
    ['an unknown setting', frame(SETTINGS, 0, 0, settings(0xff, 1)), 'served'],
    ['all of them', frame(SETTINGS, 0, 0, settings(1, 0, 2, 0, 3, 100, 4, 65535, 5, 16384, 6, 100000)), 'served'],
    ['the same one twice: the last counts', frame(SETTINGS, 0, 0, settings(5, 100000, 5, 16384, 4, 0x7fffffff, 4, 65535)), 'served'],
    ['a header table of size 0', frame(SETTINGS, 0, 0, settings(1, 0)) . head(1), 'status 200'],
    ['a huge header table', frame(SETTINGS, 0, 0, settings(1, 0xffffffff)) . head(1), 'status 200'],

    'section 6.6: PUSH_PROMISE',
    ['from a client', frame(PUSH_PROMISE, 4, 1, pack('N', 2) . fields(@get)), 'connection PROTOCOL_ERROR'],

    'section 6.7: PING',
    ['on a stream', frame(PING, 0, 1, 'x' x 8), 'connection PROTOCOL_ERROR'],
    ['too long', frame(PING, 0, 0, 'x' x 9), 'connection FRAME_SIZE_ERROR'],
    ['an answer of wrong size', frame(PING, ACK, 0, ''), 'connection FRAME_SIZE_ERROR'],
    ['of wrong size', frame(PING, 0, 0, 'x' x 6), 'connection FRAME_SIZE_ERROR'],
    ['an answer that nobody asked for', frame(PING, ACK, 0, 'x' x 8), 'served'],

    'section 6.8: GOAWAY',
    ['on a stream', frame(GOAWAY, 0, 1, pack 'NN', 0, 0), 'connection PROTOCOL_ERROR'],
    ['of wrong size', frame(GOAWAY, 0, 0, pack 'N', 0), 'connection FRAME_SIZE_ERROR'],
    ['of an unknown code', head(1) . frame(GOAWAY, 0, 0, pack('NN', 0, 0xdead) . 'debug data'), 'status 200'],
    ['streams behind it are served', frame(GOAWAY, 0, 0, pack 'NN', 0, 0), 'served'],
    ['twice', head(1) . frame(GOAWAY, 0, 0, pack 'NN', 0x7ffffffe, 0) . frame(GOAWAY, 0, 0, pack 'NN', 0, 0), 'status 200'],
    ['streams before it are served', head(1) . frame(GOAWAY, 0, 0, pack 'NN', 0, 0), 'status 200'],

    'section 6.9: WINDOW_UPDATE',
    ['0 for the connection', frame(WINDOW_UPDATE, 0, 0, pack 'N', 0), 'connection PROTOCOL_ERROR'],
    ['0 for a stream', begun(1) . frame(WINDOW_UPDATE, 0, 1, pack 'N', 0), '(?:connection|stream 1) PROTOCOL_ERROR'],
    ['the reserved bit is ignored', frame(WINDOW_UPDATE, 0, 0, pack 'N', 0x80000001), 'served'],
    ['0 beside the reserved bit', frame(WINDOW_UPDATE, 0, 0, pack 'N', 0x80000000), 'connection PROTOCOL_ERROR'],
    ['up to the largest window', frame(WINDOW_UPDATE, 0, 0, pack 'N', 0x7fffffff - 65535), 'served'],
    ['one more', frame(WINDOW_UPDATE, 0, 0, pack 'N', 0x7fffffff - 65534), 'connection FLOW_CONTROL_ERROR'],
    ['too long', frame(WINDOW_UPDATE, 0, 0, "\0\0\0\x10\0"), 'connection FRAME_SIZE_ERROR'],
    ['of wrong size', frame(WINDOW_UPDATE, 0, 0, "\0\0\x10"), 'connection FRAME_SIZE_ERROR'],
    ['too much for the connection', frame(WINDOW_UPDATE, 0, 0, pack 'N', 0x7fffffff) x 2, 'connection FLOW_CONTROL_ERROR'],
    ['too much for a stream', begun(1) . frame(WINDOW_UPDATE, 0, 1, pack 'N', 0x7fffffff) x 2, 'stream 1 FLOW_CONTROL_ERROR'],
    ['too much by SETTINGS', begun(1) . frame(WINDOW_UPDATE, 0, 1, pack 'N', 0x7fff0000) . frame(SETTINGS, 0, 0, settings(4, 0x7fffffff)), '(?:connection|stream 1) FLOW_CONTROL_ERROR'],

    'section 6.10: CONTINUATION',
    ['after a whole block', head(1) . frame(CONTINUATION, 4, 1, ''), 'connection PROTOCOL_ERROR'],
    ['on stream 0', frame(HEADERS, 1, 1, fields(@get)) . frame(CONTINUATION, 4, 0, ''), 'connection PROTOCOL_ERROR'],
    ['after the last CONTINUATION', frame(HEADERS, 1, 1, fields(@get)) . frame(CONTINUATION, 4, 1, fields(a => 'b')) . frame(CONTINUATION, 4, 1, ''), 'connection PROTOCOL_ERROR'],
    ['after DATA', begun(1) . frame(DATA, 0, 1, 'x') . frame(CONTINUATION, 4, 1, fields(a => 'b')), 'connection PROTOCOL_ERROR'],
    ['DATA instead of it', frame(HEADERS, 0, 1, fields(@post)) . frame(DATA, 1, 1, 'x'), 'connection PROTOCOL_ERROR'],
    ['SETTINGS instead of it', frame(HEADERS, 0, 1, fields(@post)) . frame(SETTINGS, 0, 0, ''), 'connection PROTOCOL_ERROR'],
    ['several', frame(HEADERS, 1, 1, fields(@get)) . frame(CONTINUATION, 0, 1, fields(a => 'b')) . frame(CONTINUATION, 4, 1, fields(c => 'd')), 'status 200'],
    ['a block in as many frames as are allowed', frame(HEADERS, 1, 1, '') . join('', map { frame(CONTINUATION, 0, 1, $_) } unpack '(a8)6', fields(@get)) . frame(CONTINUATION, 4, 1, substr fields(@get), 48), 'status 200'],
    ['a field cut in two', frame(HEADERS, 1, 1, fields(@get) . "\0\x01") . frame(CONTINUATION, 4, 1, "x\x01y"), 'status 200'],

    'section 8.1: messages',
    ['trailers', begun(1) . frame(DATA, 0, 1, 'x') . frame(HEADERS, $whole, 1, fields('x-t' => 'v')), 'status 200'],
    ['trailers that do not end the stream', begun(1) . frame(DATA, 0, 1, 'x') . frame(HEADERS, $open, 1, fields('x-t' => 'v')), 'stream 1 PROTOCOL_ERROR'],
    ['pseudo-fields in trailers', begun(1) . frame(DATA, 0, 1, 'x') . frame(HEADERS, $whole, 1, fields(':path' => '/')), 'stream 1 PROTOCOL_ERROR'],
    ['a second head', begun(1) . begun(1), '(?:connection|stream 1) PROTOCOL_ERROR'],
    ['data behind trailers', begun(1) . frame(HEADERS, $whole, 1, fields('x-t' => 'v')) . frame(DATA, 1, 1, 'x'), '(?:connection|stream 1) STREAM_CLOSED'],
    ['upper case in trailers', begun(1) . frame(DATA, 0, 1, 'x') . frame(HEADERS, $whole, 1, fields('X-T' => 'v')), 'stream 1 PROTOCOL_ERROR'],
    ['fields of the connection in trailers', begun(1) . frame(DATA, 0, 1, 'x') . frame(HEADERS, $whole, 1, fields(connection => 'close')), 'stream 1 PROTOCOL_ERROR'],
    ['content-length, and trailers too early', begun(1, 'content-length' => 5) . frame(DATA, 0, 1, 'abc') . frame(HEADERS, $whole, 1, fields('x-t' => 'v')), 'stream 1 PROTOCOL_ERROR'],
    ['content-length that overflows', begun(1, 'content-length' => '18446744073709551619') . frame(DATA, 1, 1, 'abc'), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['content-length that is empty', begun(1, 'content-length' => '') . frame(DATA, 1, 1, ''), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['content-length 0', head(1, 'content-length' => 0), 'status 200'],
    ['padding is not content', begun(1, 'content-length' => 3) . frame(DATA, 1 | PADDED, 1, "\x05abc\0\0\0\0\0"), 'status 200'],
    ['content-length, and less data', begun(1, 'content-length' => 5) . frame(DATA, 1, 1, 'abc'), 'stream 1 PROTOCOL_ERROR'],
    ['content-length, and more data', begun(1, 'content-length' => 2) . frame(DATA, 1, 1, 'abc'), 'stream 1 PROTOCOL_ERROR'],
    ['content-length, and more data in two frames', begun(1, 'content-length' => 2) . frame(DATA, 0, 1, 'ab') . frame(DATA, 1, 1, 'c'), 'stream 1 PROTOCOL_ERROR'],
    ['content-length, and no data', head(1, 'content-length' => 5), 'stream 1 PROTOCOL_ERROR'],
    ['content-length twice', begun(1, 'content-length' => 3, 'content-length' => 3) . frame(DATA, 1, 1, 'abc'), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['content-length that is no number', begun(1, 'content-length' => '+3') . frame(DATA, 1, 1, 'abc'), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['content-length as it should be', begun(1, 'content-length' => 3) . frame(DATA, 1, 1, 'abc'), 'status 200'],

    'section 8.2: fields',
    (map { ["name \"" . ($_ =~ s/([^!-~])/sprintf '\\x%02x', ord $1/ger) . '"', head(1, $_ => 'v'), 'stream 1 PROTOCOL_ERROR'] }
        'Upper', 'sp ace', 'co:lon', "n\0ul", "c\rr", "l\nf", "h\xe9", '', 'a(b'),
    (map { ["value \"" . ($_ =~ s/([^!-~])/sprintf '\\x%02x', ord $1/ger) . '"', head(1, x => $_), 'stream 1 PROTOCOL_ERROR'] }
        "a\rb", "a\nb", "a\0b", "a\r\nHost: y", ' a', 'a ', "\ta", "a\x7fb", "a\x01b"),
    ['an empty value', head(1, x => ''), 'status 200'],
    ['obs-text', head(1, x => "\xc3\xa9"), 'status 200'],
    (map { ["field $_->[0]: $_->[1]", head(1, @$_), 'stream 1 PROTOCOL_ERROR'] } ['connection', 'close'],
        ['keep-alive', '1'], ['proxy-connection', 'x'], ['transfer-encoding', 'chunked'], ['upgrade', 'websocket'], ['te', 'gzip']),
    ['te: trailers and more', head(1, te => 'trailers, gzip'), 'stream 1 PROTOCOL_ERROR'],
    ['a field with a colon in front', head(1, ':x' => 'v'), 'stream 1 PROTOCOL_ERROR'],
    ['te: trailers', head(1, te => 'trailers'), 'status 200'],

    'section 8.3: pseudo-fields',
    (map { ["no $_", request(without($_)), 'stream 1 PROTOCOL_ERROR'] } ':method', ':scheme', ':path', ':authority'),
    (map { ["two $_", request(@get, $_ => {@get}->{$_}), 'stream 1 PROTOCOL_ERROR'] } ':method', ':scheme', ':path', ':authority'),
    (map { ["an empty $_", request(with($_, '')), 'stream 1 PROTOCOL_ERROR|status 400'] } ':method', ':scheme', ':path'),
    (map { ["the scheme $_", request(@get[ 0, 1 ], ':scheme' => $_, @get[ 4 .. 7 ]), 'stream 1 PROTOCOL_ERROR|status 400'] } "ht tp", "http\r\n", '1http'),
    ['no pseudo-field at all', request(host => 'x'), 'stream 1 PROTOCOL_ERROR'],
    ['an unknown one', request(@get, ':test' => 'x'), 'stream 1 PROTOCOL_ERROR'],
    ['one of responses', request(@get, ':status' => '200'), 'stream 1 PROTOCOL_ERROR'],
    ['behind a field', request(@get[ 0 .. 5 ], a => 'b', @get[ 6, 7 ]), 'stream 1 PROTOCOL_ERROR'],
    ['an empty path', request(@get[ 0 .. 3 ], ':path' => '', @get[ 6, 7 ]), 'stream 1 PROTOCOL_ERROR'],
    ['a path without a slash', request(@get[ 0 .. 3 ], ':path' => 'x', @get[ 6, 7 ]), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['a path with a space', request(@get[ 0 .. 3 ], ':path' => '/ HTTP/1.1', @get[ 6, 7 ]), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['a path with a line feed', request(@get[ 0 .. 3 ], ':path' => "/\r\nevil: y", @get[ 6, 7 ]), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['a path with a fragment', request(@get[ 0 .. 3 ], ':path' => '/#x', @get[ 6, 7 ]), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['an absolute path', request(@get[ 0 .. 3 ], ':path' => 'http://y/', @get[ 6, 7 ]), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['the path * of GET', request(@get[ 0 .. 3 ], ':path' => '*', @get[ 6, 7 ]), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['the path * of OPTIONS', request(':method' => 'OPTIONS', ':scheme' => 'http', ':path' => '*', ':authority' => 'x'), 'status 200'],
    ['a method with a space', request(':method' => 'GET /', @get[ 2 .. 7 ]), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['a method with a line feed', request(':method' => "GET\r\n", @get[ 2 .. 7 ]), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['an unknown method', request(':method' => 'BREW', @get[ 2 .. 7 ]), 'status 200'],
    ['host instead of :authority', request(@get[ 0 .. 5 ], host => 'x'), 'status 200'],
    ['host beside :authority', request(@get, host => 'X'), 'status 200'],
    ['another host beside :authority', request(@get, host => 'y'), 'status 400'],
    ['two hosts', request(@get[ 0 .. 5 ], host => 'x', host => 'y'), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['an empty :authority', request(@get[ 0 .. 5 ], ':authority' => ''), 'stream 1 PROTOCOL_ERROR|status (?:200|400)'],
    ['userinfo in :authority', request(@get[ 0 .. 5 ], ':authority' => 'u@x'), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['a path in :authority', request(@get[ 0 .. 5 ], ':authority' => 'x/y'), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['a port that is no number', request(@get[ 0 .. 5 ], ':authority' => 'x:y'), 'stream 1 PROTOCOL_ERROR|status 400'],

    'section 8.5: CONNECT',
    ['to any port', request(':method' => 'CONNECT', ':authority' => 'x:1'), 'status 501'],
    ['without authority', request(':method' => 'CONNECT'), 'stream 1 PROTOCOL_ERROR'],
    ['extended, without a path', request(':method' => 'CONNECT', ':protocol' => 'websocket', ':scheme' => 'http', ':authority' => 'x'), 'stream 1 PROTOCOL_ERROR'],
    ['extended, without a scheme', request(':method' => 'CONNECT', ':protocol' => 'websocket', ':path' => '/', ':authority' => 'x'), 'stream 1 PROTOCOL_ERROR'],
    ['extended, without authority', request(':method' => 'CONNECT', ':protocol' => 'websocket', ':scheme' => 'http', ':path' => '/'), 'stream 1 PROTOCOL_ERROR|status 400'],
    ['extended, two protocols', request(':method' => 'CONNECT', (':protocol' => 'websocket') x 2, @get[ 2 .. 7 ]), 'stream 1 PROTOCOL_ERROR'],
    ['extended, no protocol in it', request(':method' => 'CONNECT', ':protocol' => '', @get[ 2 .. 7 ]), 'stream 1 PROTOCOL_ERROR|status (?:400|501)'],
    [':protocol with GET', request(':protocol' => 'websocket', @get), 'stream 1 PROTOCOL_ERROR'],
    ['with a path', request(':method' => 'CONNECT', @get[ 2 .. 7 ]), 'stream 1 PROTOCOL_ERROR|status 501'],

    'RFC 7541',
    ['index 0', block("\x80"), 'connection COMPRESSION_ERROR'],
    ['an index behind the table', block("\xff\x0f"), 'connection COMPRESSION_ERROR'],
    ['a name index behind the table', block("\x7f\x40\x01x"), 'connection COMPRESSION_ERROR'],
    ['an endless integer', block("\xff" . "\xff" x 12), 'connection COMPRESSION_ERROR'],
    ['an integer with zeros behind', frame(HEADERS, $whole, 1, fields(@get) . "\xbf\x80\x80\x00" . "\x00\x01a\x01b"), 'connection COMPRESSION_ERROR'],
    ['a name index 0 of the static table', block("\x40"), 'connection COMPRESSION_ERROR'],
    ['Huffman padding of exactly 7 bits', frame(HEADERS, $whole, 1, fields(@get) . "\0\x01x\x82\xf8\x7f"), 'status 200'],
    ['a Huffman string that ends inside a symbol', block("\0\x01x\x81\xfe"), 'connection COMPRESSION_ERROR'],
    ['EOS inside a Huffman string', block("\0\x01x\x85\xff\xff\xff\xff\x1f"), 'connection COMPRESSION_ERROR'],
    ['an upper-case name in Huffman coding', block("\0\x81\x87\x01x"), 'stream 1 PROTOCOL_ERROR|connection COMPRESSION_ERROR'],
    ['a table change in a block of its own', frame(HEADERS, $whole, 1, "\x20"), 'stream 1 PROTOCOL_ERROR'],
    ['a table change in CONTINUATION', frame(HEADERS, 1, 1, '') . frame(CONTINUATION, 4, 1, "\x20" . fields(@get)), 'status 200'],
    ['a string longer than the block', block("\0\x01x\x7f\xff\x7fy"), 'connection COMPRESSION_ERROR'],
    ['Huffman padding of 8 bits', block("\0\x01x\x82\x1f\xff\xff"), 'connection COMPRESSION_ERROR'],
    ['Huffman padding of zeros', block("\0\x01x\x81\x18"), 'connection COMPRESSION_ERROR'],
    ['the symbol EOS', block("\0\x01x\x84\xff\xff\xff\xff"), 'connection COMPRESSION_ERROR'],
    ['a table larger than allowed', frame(HEADERS, $whole, 1, "\x3f\xe2\x1f" . fields(@get)), 'connection COMPRESSION_ERROR'],
    ['a smaller table', frame(HEADERS, $whole, 1, "\x20" . fields(@get)), 'status 200'],
    ['a table change behind a field', block("\x20"), 'connection COMPRESSION_ERROR'],
    ['two table changes in front', frame(HEADERS, $whole, 1, "\x20\x3f\xe1\x1f" . fields(@get)), 'status 200'],
    ['a value from an emptied table', frame(HEADERS, 1, 1, "\x82\x86\x84\x41\x01x\x40\x01a\x01b") . frame(CONTINUATION, 4, 1, '') . frame(HEADERS, $whole, 3, "\x20\xbe"), 'connection COMPRESSION_ERROR'],
    ['a field that is larger than the table', frame(HEADERS, $whole, 1, "\x82\x86\x84\x41\x01x\x40\x01a\x7f\xa1\x1f" . 'b' x 4128 . "\xbe"), 'connection COMPRESSION_ERROR'],
    ['never indexed, and without indexing', frame(HEADERS, $whole, 1, "\x82\x86\x84\x41\x01x\x10\x01a\x01b\x00\x01c\x01d\x0f\x2b\x01e"), 'status 200'],
    ['Huffman coding', frame(HEADERS, $whole, 1, "\x82\x86\x84\x41\x01x\x00\x82\x1f\xff\x82\x1f\xff"), 'connection COMPRESSION_ERROR|stream 1 PROTOCOL_ERROR|status 200'],
    ['static fields', frame(HEADERS, $whole, 1, "\x82\x86\x84\x41\x01x"), 'status 200'],
    ['a field from the dynamic table', frame(HEADERS, $whole, 1, "\x82\x86\x84\x41\x01x\x40\x01a\x01b\xbe"), 'status 200'],

    'limits',
    ['a head that is too large', frame(HEADERS, 1, 1, fields(@get)) . join('', map { frame(CONTINUATION, 0, 1, fields("x$_" => 'y' x 16000)) } 1 .. 3) . frame(CONTINUATION, 4, 1, ''), 'status 431'],
    ['a head of many small indices', frame(HEADERS, $whole, 1, fields(@get) . "\x40\x01a\x7f\xa1\x1e" . 'b' x 4000 . "\xbe" x 2000), 'status 431'],
    ['too many fields', head(1, map { ("x$_" => 1) } 1 .. 300), 'status 431'],
    ['too long a path', request(@get[ 0 .. 3 ], ':path' => '/' . 'x' x 16000, @get[ 6, 7 ]), 'status 414|status 431|status 200'],
);

# In the clear, with prior knowledge; and some of each kind over TLS.
my $nth = 0;
for my $over_tls (0, 1) {
    for my $case (@cases) {
        next if $over_tls && (!ref $case || $nth++ % 4);
        if (!ref $case) {
            note $case;
            next;
        }
        my ($name, $bytes, $want) = @$case;
        my $c = Weir::Test::H2->new($t, $over_tls ? $tls : $port, tls => $over_tls);
        my $served = $want =~ /^served/;
        $c->send($bytes . ($served ? head(101) : ''));
        my $got = eval { $c->verdict($served ? 101 : 1) } // "nothing: $@";
        my $pattern = $want =~ s/^served/status 200/r;
        like($got, qr/^(?:$pattern)$/, $over_tls ? "TLS: $name" : $name);
        $c->close;
    }
}

subtest 'the server saw no malformed request' => sub {
    is_deeply([grep { $_->{head} =~ /^host: (?!x\r$|\r$)/mi || $_->{head} =~ /\n\n|\r\r|^evil/m } $a->requests], [], 'none');
    is(scalar(grep { $_->{raw} =~ /content-length: *[^0\s]/i && $_->{method} eq 'GET' } $a->requests), 0, 'no content-length without a body');
};

subtest 'section 5.1.1: the last stream' => sub {
    my $c = Weir::Test::H2->new($t, $port);
    $c->send(head(0x7fffffff));
    ok($c->response(0x7fffffff), 'the largest number');
    $c->send(head(1));
    like($c->verdict(1), qr/^(?:connection .*|closed)$/, 'is followed by none');
};

# What a stream put into the table of HPACK is there for the next one, whatever becomes of the stream.
subtest 'section 4.3: header blocks of streams that fail count' => sub {
    my $entry = "\x40\x03x-a\x01v"; # into the table
    my $next = frame(HEADERS, $whole, 101, fields(@get) . "\xbe"); # and from it
    my %streams = (
        'a malformed one' => [frame(HEADERS, $whole, 1, fields(@get, 'X' => 'y') . $entry)],
        'a malformed field behind' => [frame(HEADERS, $whole, 1, fields(@get) . $entry . fields('X' => 'y'))],
        'malformed, with CONTINUATION' => [frame(HEADERS, 1, 1, fields(@get, 'X' => 'y')) . frame(CONTINUATION, 4, 1, $entry)],
        'no pseudo-fields' => [frame(HEADERS, $whole, 1, $entry)],
        'too many fields' => [frame(HEADERS, $whole, 1, fields(@get, map { ("x$_" => 1) } 1 .. 300) . $entry)],
        'too large a field' => [frame(HEADERS, 1, 1, fields(@get)) . join('', map { frame(CONTINUATION, 0, 1, fields("x$_" => 'y' x 16000)) } 1 .. 4) . frame(CONTINUATION, 4, 1, $entry)],
        'malformed trailers' => [begun(1) . frame(DATA, 0, 1, 'x') . frame(HEADERS, $whole, 1, fields('X' => 'y') . $entry)],
        'too many trailers' => [begun(1) . frame(DATA, 0, 1, 'x') . frame(HEADERS, $whole, 1, fields(map { ("x$_" => 1) } 1 .. 300) . $entry)],
        'a stream too many' => [join('', map { begun($_) } 1, 3, 5, 7) . frame(HEADERS, $whole, 9, fields(@get) . $entry) . join('', map { frame(RST_STREAM, 0, $_, pack 'N', 8) } 1, 3, 5, 7), $few],
        'trailers of a stream that weir has reset' => [begun(1, host => 'other') . frame(DATA, 0, 1, 'x') . frame(HEADERS, $whole, 1, $entry)],
    );
    for my $name (sort keys %streams) {
        my ($bytes, $where) = @{ $streams{$name} };
        my $c = Weir::Test::H2->new($t, $where // $port);
        my $before = $a->request_count;
        $c->send($bytes . $next);
        $c->wait_for(sub { $c->{ended}{101} || $c->{reset}{101} });
        is($c->{status}{101} // 'none', 200, $name);
        like($a->last_request->{raw}, qr/^x-a: v\r$/m, 'the next request has the field');
    }
};

subtest 'section 3.1: HTTP/1.1 on the same port' => sub {
    my $r = $t->http_get($port, '/', headers => [Connection => 'Upgrade, HTTP2-Settings', Upgrade => 'h2c', 'HTTP2-Settings' => 'AAMAAABkAAQAAP__']);
    is($r->{status}, 200, 'Upgrade: h2c is not taken: RFC 9113 knows it no more');
    unlike($a->last_request->{raw}, qr/upgrade|http2-settings/i, 'nor passed on');
    my $c = $t->tls_client($tls, 'h2');
    $c->send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    unlike(eval { $c->read_until_close } // '', qr/HTTP\/1\.1 200/, 'who agreed on h2 must speak it');
    $c->close;
    $c = $t->tls_client($tls, 'http/1.1');
    $c->send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    is($c->response->{status}, 200, 'who agreed on http/1.1 is served so');
    $c->close;
};

subtest 'section 5.1: streams that are over' => sub {
    my %late = (DATA => frame(DATA, 1, 1, 'x'), HEADERS => frame(HEADERS, $whole, 1, fields('x-t' => 'v')),
        CONTINUATION => frame(CONTINUATION, 4, 1, ''), PRIORITY => frame(PRIORITY, 0, 1, "\0\0\0\0\x0f"),
        WINDOW_UPDATE => frame(WINDOW_UPDATE, 0, 1, pack 'N', 100), RST_STREAM => frame(RST_STREAM, 0, 1, pack 'N', 8));
    my %want = (DATA => 'stream 1 STREAM_CLOSED', HEADERS => 'connection STREAM_CLOSED', CONTINUATION => 'connection PROTOCOL_ERROR');
    for my $type (sort keys %late) {
        my $c = Weir::Test::H2->new($t, $port);
        $c->send(head(1));
        $c->response(1);
        $c->send($late{$type} . head(101));
        is($c->verdict(101), $want{$type} // 'status 200', $type);
    }
    my $c = Weir::Test::H2->new($t, $port);
    $c->send(head(1));
    $c->response(1);
    $c->send($_) for split //, frame(DATA, 0, 1, 'xyz') . frame(PING, 0, 0, 'x' x 8);
    is($c->verdict(3), 'stream 1 STREAM_CLOSED', 'byte by byte');
    # A response that comes before the request's end: what is under way then is no fault.
    $c = Weir::Test::H2->new($t, $port);
    $c->send(begun(1, host => 'other'));
    $c->response(1);
    $c->wait_for(sub { $c->{reset}{1} });
    is($c->{reset}{1}, 'NO_ERROR', 'a body that nobody wants is cut short');
    $c->send(frame(DATA, 0, 1, 'x') . frame(HEADERS, $whole, 1, fields('x-t' => 'v')) . head(101));
    is($c->verdict(101), 'status 200', 'and its rest ignored');
};

subtest 'section 5.4.1: after GOAWAY the connection ends' => sub {
    for my $bytes (frame(PING, 0, 1, 'x' x 8), block("\x80"), head(2)) {
        my $c = Weir::Test::H2->new($t, $port);
        $c->send(head(1));
        $c->response(1);
        $c->send($bytes =~ s/^(.....)\0\0\0\x01/$1\0\0\0\x03/rs);
        $c->wait_for(sub { $_[0]{type} == GOAWAY });
        cmp_ok($c->{last_stream}, '>=', 1, 'which names the last stream');
        is($c->next_frame, undef, 'and is the last frame');
    }
};

subtest 'methods' => sub {
    my $c = Weir::Test::H2->new($t, $port);
    $c->request(1, [':method' => 'HEAD', @get[ 2, 3 ], ':path' => '/bytes/10', @get[ 6, 7 ]]);
    ok($c->response(1), 'HEAD');
    is($c->{body}{1}, undef, 'has no body');
    is({ map { @$_ } @{ $c->{fields}{1} } }->{'content-length'}, 10, 'but its length');
    $c->send(frame(HEADERS, $open, 3, fields(':method' => 'PUT', @get[ 2, 3 ], ':path' => '/echo', @get[ 6, 7 ])) . frame(DATA, 0, 3, 'a') . frame(DATA, 1, 3, 'b'));
    ok($c->response(3), 'PUT');
    like($c->{body}{3}, qr/\bPUT\b.*a.*b/s, 'with a body');
    $c->send(frame(HEADERS, $open, 5, fields(@post)) . frame(DATA, 1, 5, ''));
    ok($c->response(5), 'POST with an empty body');
    is($c->{status}{5}, 200, 'is one');
};

subtest 'section 3.4: the preface' => sub {
    for (['garbage', "GARBAGE * HTTP/2.0\r\n\r\nSM\r\n\r\n"], ['no SETTINGS', $preface . frame(PING, 0, 0, 'x' x 8)],
        ['another request inside', "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]) {
        my $bytes = $t->raw_exchange($port, $_->[1]);
        unlike($bytes, qr/HTTP\/1.1 200|\0\0\x08\x06\x01/, "$_->[0]: not served");
    }
    my $c = Weir::Test::H2->new($t, $port, bare => 1);
    $c->send($_) for split //, $preface . frame(SETTINGS, 0, 0, '') . head(1);
    is($c->verdict(1), 'status 200', 'byte by byte');
};

subtest 'answers to control frames' => sub {
    my $c = Weir::Test::H2->new($t, $port);
    $c->send(frame(PING, 0, 0, 'abcdefgh') . frame(SETTINGS, 0, 0, ''));
    my $pong = $c->wait_for(sub { $_[0]{type} == PING });
    is($pong->{payload}, 'abcdefgh', 'PING comes back');
    ok($pong->{flags} & ACK, 'as an answer');
    ok((grep { $_->{type} == SETTINGS && $_->{flags} & ACK } @{ $c->{seen} })
        || $c->wait_for(sub { $_[0]{type} == SETTINGS && $_[0]{flags} & ACK }), 'SETTINGS is confirmed');
};

subtest 'section 5.1.2: too many streams' => sub {
    $a->hold;
    my $c = Weir::Test::H2->new($t, $small, bare => 1);
    $c->send($preface . frame(SETTINGS, 0, 0, '') . join '', map { head($_) } 1, 3, 5, 7, 9);
    is($c->verdict(9), 'stream 9 REFUSED_STREAM', 'the fifth of four, before the client can know');
    $a->release;
    ok($c->response(7), 'the others are served');
    $c->send(head(11));
    ok($c->response(11), 'and further ones');
    $a->hold;
    $c = Weir::Test::H2->new($t, $small);
    $c->send(join '', map { head($_) } 1, 3, 5, 7, 9);
    is($c->verdict(9), 'stream 9 REFUSED_STREAM', 'one that knows the limit');
    $c->send(frame(DATA, 1, 9, 'late') . frame(RST_STREAM, 0, 3, pack 'N', 8) . head(11));
    $a->release;
    ok($c->response($_), "stream $_ is served") for 1, 5, 7, 11;
    is($c->{status}{11}, 200, 'a reset stream makes room');
    $c->send(head(13) . frame(PING, 0, 0, 'x' x 8) . head(15));
    ok($c->response($_), "stream $_ is served") for 13, 15;
    is($c->{goaway}, undef, 'the connection goes on');
};

subtest 'clients that give up often' => sub {
    my $c = Weir::Test::H2->new($t, $port);
    my $id = 1;
    for (1 .. 300) {
        $c->send(head($id) . begun($id + 2) . frame(RST_STREAM, 0, $id + 2, pack 'N', 8));
        $c->response($id) or last;
        $id += 4;
    }
    is($id, 1201, 'as many as are served');
    is($c->{goaway}, undef, 'are no flood');
    $c = Weir::Test::H2->new($t, $port);
    for (my $i = 1; $i < 1201 && !defined $c->{goaway}; $i += 4) {
        $c->send(begun($i) . frame(RST_STREAM, 0, $i, pack 'N', 0) . frame(PING, 0, 0, 'x' x 8));
        $c->wait_for(sub { $_[0]{type} == PING || $_[0]{type} == GOAWAY }) or last;
    }
    is($c->{goaway}, 'ENHANCE_YOUR_CALM', 'more are one, whatever reason they give');
};

subtest 'windows of the client' => sub {
    my $c = Weir::Test::H2->new($t, $port, settings => settings(4, 0));
    $c->request(1, [@get[ 0 .. 3 ], ':path' => '/bytes/10', @get[ 6, 7 ]]);
    $c->wait_for(sub { $_[0]{type} == HEADERS });
    is($c->{body}{1}, undef, 'nothing is sent into a closed window');
    $c->send(frame(WINDOW_UPDATE, 0, 1, pack 'N', 1));
    $c->wait_for(sub { $_[0]{type} == DATA });
    is($c->{body}{1}, 'x', 'one byte into a window of one');
    $c->send(frame(SETTINGS, 0, 0, settings(4, 3)));
    $c->wait_for(sub { $_[0]{type} == DATA });
    is($c->{body}{1}, 'xxxx', 'SETTINGS change the window of open streams');
    $c->send(frame(SETTINGS, 0, 0, settings(4, 0)) . frame(WINDOW_UPDATE, 0, 1, pack 'N', 3) . frame(PING, 0, 0, 'x' x 8));
    $c->wait_for(sub { $_[0]{type} == PING });
    is($c->{body}{1}, 'xxxx', 'a window may be negative');
    $c->send(frame(WINDOW_UPDATE, 0, 1, pack 'N', 100));
    ok($c->response(1), 'until it is opened');
    is($c->{body}{1}, 'x' x 10, 'the whole body');
    my @sizes = map { length $_->{payload} } grep { $_->{type} == DATA } @{ $c->{seen} };
    cmp_ok(List::Util::max(@sizes), '<=', 16384, 'no frame is too large');
};

subtest 'windows of weir' => sub {
    my $c = Weir::Test::H2->new($t, $small);
    my $sent = 0;
    my $send = sub { my ($id, $flags, $payload) = @_; $sent += length $payload; $c->send(frame(DATA, $flags, $id, $payload)) };
    my ($limit) = map { my %s = unpack '(nN)*', $_->{payload}; $s{4} } grep { $_->{type} == SETTINGS } @{ $c->{seen} };
    is($limit, 16384, 'the configured window is announced');

    # All of it comes back: data, padding, data for streams that are refused, reset or done.
    for my $i (0 .. 19) {
        my $id = 1 + 4 * $i;
        $c->send(begun($id));
        $send->($id, PADDED, "\xff" . 'x' x 7000 . "\0" x 255);
        $send->($id, PADDED, "\0");
        $send->($id, END_STREAM, 'y' x 3000);
        ok($c->response($id), "response $id") or last;
        $c->send(frame(HEADERS, $open, $id + 2, fields(@post, host => 'z')));
        $send->($id + 2, 0, 'x' x 4000);
        $c->wait_for(sub { $c->{reset}{$id + 2} });
        $send->($id + 2, END_STREAM, 'x' x 4000);
    }
    $c->send(frame(PING, 0, 0, 'x' x 8));
    $c->wait_for(sub { $_[0]{type} == PING });
    my $window = 4 * 16384 + 0;
    cmp_ok($sent, '>', 3 * $window, 'more than the connection\'s window was sent');
    cmp_ok($sent - ($c->{window}{0} // 0), '<', $window, 'and given back');

    $a->hold;
    $c = Weir::Test::H2->new($t, $small);
    $c->send(begun(1, 'content-length' => 100_000) . frame(DATA, 0, 1, 'x' x 16384));
    $c->send(frame(DATA, 0, 1, 'x' x 16384) x 5);
    like($c->verdict(1), qr/^(?:connection|stream 1) FLOW_CONTROL_ERROR$|^status/, 'a client that sends beyond its window');
    $a->release;
};

subtest 'slow clients' => sub {
    my $c = Weir::Test::H2->new($t, $small);
    $c->send(frame(HEADERS, 1, 1, fields(@get)));
    is($c->verdict(1), 'connection NO_ERROR', 'a head that does not end');

    my ($bytes, $how) = $t->raw_exchange($small, substr $preface, 0, 10);
    isnt($how, 'timeout', 'a preface that does not end');

    $c = Weir::Test::H2->new($t, $small);
    $c->send(begun(1, 'content-length' => 10) . frame(DATA, 0, 1, 'x') . begun(3, 'content-length' => 10));
    # Others that go on do not keep it alive.
    my $id = 5;
    while (!$c->{ended}{1} && !$c->{reset}{1} && $id < 20_000) {
        $c->send(head($id));
        $c->response($id) or last;
        $id += 2;
    }
    is($c->{status}{1}, 408, 'a body that does not go on');
    $c->response(3);
    is($c->{status}{3}, 408, 'nor begin');

    $c = Weir::Test::H2->new($t, $small, settings => settings(4, 0));
    $c->request(1, [@get[ 0 .. 3 ], ':path' => '/bytes/10', @get[ 6, 7 ]]);
    like($c->verdict(1), qr/^stream 1 (?:CANCEL|INTERNAL_ERROR)$/, 'a response that is not read');

    $c = Weir::Test::H2->new($t, $small);
    is($c->verdict(1), 'connection NO_ERROR', 'no request for too long');
};

is($weir->quit, 0, 'weir ends in peace');
done_testing;
