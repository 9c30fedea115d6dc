# HTTP/2 towards clients: ALPN, prior knowledge, bodies both ways, errors, drain.
use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($tls, $clear, $plain, $redirect) = $t->ports(4);
my $a = $t->origin('a');
make_cert();

my $weir = $t->start_weir(config => $t->config(<<"CONFIG", access => $t->path('access.log')));
listeners:
  - name: tls
    listen: ["127.0.0.1:$tls"]
    protocol: https
    tls: {certificate: web, alpn: [h2, http/1.1]}
    forwarded: {proto: on}
    pool: web
  - {name: clear, listen: ["127.0.0.1:$clear"], protocol: http, http2: {cleartext: on}, pool: web}
  - {name: plain, listen: ["127.0.0.1:$plain"], protocol: http, pool: web}
  - {name: redirect, listen: ["127.0.0.1:$redirect"], protocol: http, http2: {cleartext: on}, redirect: {port: $tls}}
pools:
  - {name: web, sticky: {by: cookie_insert}, servers: [{name: a, address: "@{[ $a->address ]}"}]}
CONFIG

sub make_cert { $t->make_cert($t->path('certs'), 'web', ['localhost'], type => 'ec') }

# Runs curl with HTTP/2; returns {head, body, version}.
sub h2 {
    my ($url, @more) = @_;
    my @how = $url =~ /^https/ ? ('-k', '--http2') : ('--http2-prior-knowledge');
    my ($status, $out, $err) = $t->curl('-sS', '-m', 20, @how, '-i', @more, '-w', '\n%{http_version}', $url);
    my ($head, $body) = split /\r\n\r\n/, $out, 2;
    $body =~ s/\n([\d.]+)\z// if defined $body;
    return {exit => $status, head => $head, body => $body, version => $1, err => $err};
}

subtest 'ALPN and prior knowledge' => sub {
    my $r = h2("https://127.0.0.1:$tls/hello?x=1");
    is($r->{version}, '2', 'ALPN agrees on HTTP/2') or diag $r->{err};
    like($r->{head}, qr{^HTTP/2 200}, 'status');
    is($r->{body}, "a\n", 'body');
    like($r->{head}, qr/^set-cookie: SERVERID=[0-9a-f]{32}; Path=\/; Max-Age=1800; HttpOnly; Secure/m, 'cookie');
    my $seen = $a->last_request;
    is($seen->{path}, '/hello?x=1', 'the server saw the path');
    is($seen->{version}, 'HTTP/1.1', 'as HTTP/1.1');
    like($seen->{head}, qr/^host: 127\.0\.0\.1:$tls\r$/mi, ':authority is Host');
    like($seen->{head}, qr/^X-Forwarded-For: 127\.0\.0\.1\r$/m, 'X-Forwarded-For');
    like($seen->{head}, qr/^X-Forwarded-Proto: https\r$/m, 'X-Forwarded-Proto');
    $t->wait_until(sub { $t->read('access.log') =~ m{"target":"/hello\?x=1","protocol":"HTTP/2"} },
        'the access log to say HTTP/2');
    is(h2("http://127.0.0.1:$clear/")->{version}, '2', 'prior knowledge');
    is($t->http_get($clear, '/')->{status}, 200, 'HTTP/1.1 on the same listener');
    isnt(h2("http://127.0.0.1:$plain/")->{exit}, 0, 'not where it is off');
};

subtest 'bodies' => sub {
    my $size = 1_000_000;
    my $file = $t->write('upload', join '', map { chr(97 + $_ % 26) } 1 .. $size);

    is(length h2("https://127.0.0.1:$tls/bytes/$size")->{body}, $size, 'a large response');
    is(length h2("https://127.0.0.1:$tls/chunked/100000")->{body}, 100000, 'a chunked response');
    is(length h2("https://127.0.0.1:$tls/until-close/50000")->{body}, 50000, 'a response until close');
    is(h2("https://127.0.0.1:$tls/up", '--data-binary', "\@$file")->{head} =~ m{^HTTP/2 200}, 1, 'a large request');
    is(length $a->last_request->{body}, $size, 'arrives whole');
    is($a->last_request->{body}, $t->read('upload'), 'and unchanged');
    is(h2("https://127.0.0.1:$tls/up", '-T', $file, '-H', 'content-length:')->{head} =~ m{^HTTP/2 200}, 1,
        'a request without Content-Length');
    like($a->last_request->{head}, qr/^transfer-encoding: chunked\r$/mi, 'becomes chunked');
    is($a->last_request->{body}, $t->read('upload'), 'with the same bytes');
    my $head = h2("https://127.0.0.1:$tls/bytes/1000", '-I');
    like($head->{head}, qr/^content-length: 1000\r?$/mi, 'HEAD keeps Content-Length');
    is($head->{body}, '', 'without a body');
    like(h2("https://127.0.0.1:$tls/status/204")->{head}, qr{^HTTP/2 204}, 'no content');
};

subtest 'cookies and fields' => sub {
    h2("https://127.0.0.1:$tls/", '-H', 'cookie: a=1; b=2', '-H', 'X-Odd: v');
    like($a->last_request->{head}, qr/^cookie: a=1; b=2\r$/mi, 'cookie');
    like($a->last_request->{head}, qr/^x-odd: v\r$/m, 'names are lower case');
};

subtest 'weir answers itself' => sub {
    my $r = h2("http://127.0.0.1:$redirect/p?q");
    like($r->{head}, qr{^HTTP/2 301}, 'redirect');
    like($r->{head}, qr{^location: https://127\.0\.0\.1:$tls/p\?q\r?$}mi, 'location');
    $a->stop;
    like(h2("https://127.0.0.1:$tls/")->{head}, qr{^HTTP/2 503}, 'no server: 503');
    $a->start;
    like(h2("https://127.0.0.1:$tls/")->{head}, qr{^HTTP/2 200}, 'and again');
};

subtest 'many streams, over reloads' => sub {
    plan skip_all => 'h2load is not installed' if ($t->run('sh', '-c', 'command -v h2load'))[0] != 0;
    my (undef, $out) = $t->run('h2load', '-n', 4000, '-c', 5, '-m', 20, "https://127.0.0.1:$tls/bytes/300",
        {timeout => 60});
    like($out, qr/ 4000 succeeded, 0 failed/, '100 streams at once') or diag $out;
    ok($t->wait_until(sub { $weir->stats_listener('tls')->{active} == 0 }, 'all connections end'), 'no connection is left');
    $weir->reload;
    like(h2("https://127.0.0.1:$tls/")->{head}, qr{^HTTP/2 200}, 'after a reload');
};

# A few frames by hand.
sub frame { my ($type, $flags, $id, $payload) = @_; substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $id) . $payload }
my $preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(4, 0, 0, '');
# HPACK: :method GET, :scheme http, :path /, :authority x
my $get = "\x82\x86\x84\x41\x01x";

subtest 'floods end the connection, and only that' => sub {
    my %floods = (
        'rapid reset' => join('', map { frame(1, 5, $_ * 2 + 1, $get) . frame(3, 0, $_ * 2 + 1, pack('N', 8)) } 0 .. 400),
        'pings' => frame(6, 0, 0, 'x' x 8) x 4000,
        'settings' => frame(4, 0, 0, '') x 4000,
        'empty data' => frame(1, 4, 1, "\x83\x86\x84\x41\x01x") . frame(0, 0, 1, '') x 4000,
        'continuations' => frame(1, 0, 1, $get) . frame(9, 0, 1, '') x 4000,
        'large header list' => frame(1, 0, 1, $get) . join('', map { frame(9, 0, 1, "\x40\x02x$_\x7f\x81\x7e" . 'y' x 382) } 0 .. 9) x 30,
        'made you reset' => join('', map { frame(1, 4, $_ * 2 + 1, "\x83\x86\x84\x41\x01x") . frame(8, 0, $_ * 2 + 1, pack('N', 0)) } 0 .. 400),
    );
    for my $name (sort keys %floods) {
        my (undef, $how) = $t->raw_exchange($clear, $preface . $floods{$name}, timeout => 20);
        isnt($how, 'timeout', "$name: the connection is ended");
        like(h2("https://127.0.0.1:$tls/")->{head}, qr{^HTTP/2 200}, 'others are served');
    }
    cmp_ok($weir->stats_listener('clear')->{floods}, '>=', 3, 'and counted');
};

subtest 'bad frames' => sub {
    my %bad = (
        'no preface settings' => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(6, 0, 0, 'x' x 8),
        'too large a frame' => $preface . pack('NCCN', 0, 0, 0, 0) . substr(pack('N', 20000), 1) . pack('CCN', 0, 0, 1) . 'x' x 20000,
        'even stream' => $preface . frame(1, 5, 2, $get),
        'bad HPACK' => $preface . frame(1, 5, 1, "\xff\xff\xff\xff\xff\xff"),
        'DATA on stream 0' => $preface . frame(0, 0, 0, 'x'),
    );
    for my $name (sort keys %bad) {
        my (undef, $how) = $t->raw_exchange($clear, $bad{$name}, timeout => 20);
        isnt($how, 'timeout', "$name: refused");
    }
    my $before = $a->request_count;
    for my $field ("\x40\x11transfer-encoding\x07chunked", "\x40\x0aconnection\x05close", "\x40\x01X\x01y", "\x40\x01x\x03a\r\n", "\x40\x01x\x02\x00a") {
        my $bytes = $t->client($clear);
        $bytes->send($preface . frame(1, 5, 1, $get . $field));
        ok($bytes->read_match(qr/\x03.\x00\x00\x00\x01|\x01.\x00\x00\x00\x01/s), 'a forbidden field: reset or refused');
        $bytes->close;
    }
    is($a->request_count, $before, 'the server saw nothing of it');
};

is($weir->quit, 0, 'weir ends in peace');
done_testing;
