#!/usr/bin/perl
# Connections of HTTP/1: pipelining, half-close, timeouts, retries, large bodies, stickiness, redirects.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Weir::Test;
use Weir::Test::Script;

my $t = Weir::Test->new;
my ($port, $fast, $redirect, $redirect_own, $sticky, $sticky_tls, $many, $dead, $dead_port) = $t->ports(9);
my $ok = $Weir::Test::Script::probe_answer;
my $got = $Weir::Test::Script::probe_got;
my $get = sub { my ($name, $more) = @_; return "GET /$name HTTP/1.1\r\nHost: t\r\n" . ($more // '') . "\r\n" };
my $close = "Connection: close\r\n";
my $size = 24 << 20;

my %cases = (
    malformed => { answer => "HTTP/1.1 200 OK\nX\n\n" },
    truncated => { answer => "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 9\r\n\r\nab", close => 1 },
    silent => { answer => sub { $_[0]->note; $_[0]->read_until_close; 0 } },
    stalls => { answer => sub { my ($c) = @_; $c->note; $c->send("HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 9\r\n\r\nab"); $c->read_until_close; 0 } },
    slow => { answer => sub { my ($c) = @_; $c->note; select undef, undef, undef, 0.3; $c->send($ok); 1 } },
    post => { body => 5, answer => $ok },
    # Answers, then goes; the next request on that connection meets its end.
    goes => { answer => sub { my ($c) = @_; $c->note; $c->send($ok); eval { $c->read_match(qr/\r\n\r\n/) }; $c->{name} = 'left-alone'; $c->cut } },
    large => { answer => sub {
        my ($c) = @_;
        $c->note;
        $c->send("HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: $size\r\n\r\n");
        my $sent = 0;
        my $block = join '', map { chr(33 + $_ % 90) } 0 .. 65535;
        while ($sent < $size) {
            $c->send($block);
            $sent += length $block;
            $t->write('large-sent', $sent);
        }
        1;
    } },
    upload => { answer => sub {
        my ($c, $head) = @_;
        my ($length) = $head =~ /Content-Length: (\d+)/;
        $t->wait_until(sub { -e $t->path('upload-read') }, 'the server may read');
        my ($sum, $left) = (0, $length);
        while ($left > 0) {
            $c->fill or last;
            $sum += unpack '%32C*', $c->{in};
            $left -= length $c->{in};
            $c->{in} = '';
        }
        $sum %= 2**32;
        $c->note;
        $c->send("HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: " . length($sum) . "\r\n\r\n$sum");
        1;
    } },
    early => { answer => sub { my ($c) = @_; $c->note; $c->send("HTTP/1.1 413 Large\r\nDate: D\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge"); 0 } },
);
my $script = Weir::Test::Script->new($t, \%cases);
my ($a, $b) = map { $t->origin($_) } qw(a b);
$t->make_cert($t->path('certs'), 'cert');
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
  - name: fast
    listen: ["127.0.0.1:$fast"]
    protocol: http
    timeouts: {client_head: 300ms, client_body: 300ms, client_idle: 300ms, response: 300ms}
    pool: web
  - {name: redirect, listen: ["127.0.0.1:$redirect"], protocol: http, redirect: {scheme: https, port: 8443}}
  - {name: redirect-own, listen: ["127.0.0.1:$redirect_own"], protocol: http, redirect: {scheme: https, status: 308}}
  - {name: sticky, listen: ["127.0.0.1:$sticky"], protocol: http, pool: sticky}
  - {name: sticky-tls, listen: ["127.0.0.1:$sticky_tls"], protocol: https, pool: sticky, tls: {certificate: cert}}
  - {name: many, listen: ["127.0.0.1:$many"], protocol: http, pool: many}
  - {name: dead, listen: ["127.0.0.1:$dead"], protocol: http, pool: dead}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $script->address ]}"}]
  - name: sticky
    sticky: {by: cookie_insert, name: WHERE, timeout: 90m}
    servers: [{name: a, address: "@{[ $a->address ]}"}, {name: b, address: "@{[ $b->address ]}"}]
  - name: many
    servers: [{name: gone, address: "127.0.0.1:$dead_port"}, {name: a, address: "@{[ $a->address ]}"}]
  - name: dead
    servers: [{name: gone, address: "127.0.0.1:$dead_port"}]
CONFIG

# Memory of the workers, in bytes.  How much a blocked sender gets rid of is up to the kernel's buffers; none of it may
# be in weir's.
sub memory {
    my $sum = 0;
    $sum += 1024 * (($t->read("/proc/$_/status") =~ /^VmRSS:\s+(\d+)/m)[0] // 0) for $weir->workers;
    return $sum;
}

sub exchange { my ($to, $bytes, %o) = @_; return $t->raw_exchange($to, $bytes, timeout => 10, %o) }

# Pipelining.
my ($bytes, $how) = exchange($port, join('', map { $get->("p$_") } 1 .. 200) . $get->('last', $close));
is($bytes, $ok x 200 . $got, '201 requests in one write are answered, each once');
is(join(' ', map { $_->{name} } grep { $_->{name} =~ /^p\d/ } $script->seen), join(' ', map { "p$_" } 1 .. 200), 'and reach the server in their order');
($bytes, $how) = exchange($port, $get->('slow') . $get->('q') . $get->('last', $close));
is($bytes, "$ok$ok$got", 'a slow answer is not overtaken');
($bytes, $how) = exchange($port, "POST /post HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello" . $get->('q') . $get->('last', $close));
is($bytes, "$ok$ok$got", 'a request behind a body is found');
($bytes, $how) = exchange($port, $get->('q') . $get->('malformed') . $get->('last', $close));
like($bytes, qr{\A\Q$ok\EHTTP/1\.1 502 .*\r\n\r\n.*?</html>\n\Q$got\E\z}s, 'a malformed response in the middle: the others are answered');
($bytes, $how) = exchange($port, $get->('q') . $get->('truncated') . $get->('last', $close));
is($bytes, "${ok}HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 9\r\n\r\nab", 'a truncated response ends everything behind it');
isnt($how, 'timeout', 'with the connection');
($bytes, $how) = exchange($port, $get->('q', $close) . $get->('behind-close'));
is($bytes, $got, 'nothing is answered behind Connection: close');
is(scalar(my @none = $script->seen('behind-close')), 0, 'nor passed on');
($bytes, $how) = exchange($port, [ map { split //, $get->("b$_", $_ == 3 ? $close : '') } 1 .. 3 ]);
is($bytes, "$ok$ok$got", 'requests byte by byte');
($bytes, $how) = exchange($redirect, $get->('x') x 5000 . $get->('x', $close));
is(() = $bytes =~ m{HTTP/1\.1 301}g, 5001, 'thousands of requests that need no server');

# Half-close: a client that has sent everything still gets its answer.
($bytes, $how) = exchange($port, $get->('slow'), half_close => 1);
is($bytes, $ok, 'a client that ended its side gets the response');
is($how, 'closed', 'and then the end');
($bytes, $how) = exchange($port, $get->('slow') . $get->('q'), half_close => 1);
is($bytes, "$ok$ok", 'also to what it had pipelined');
($bytes, $how) = exchange($port, "POST /post HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhel", half_close => 1);
is($bytes, '', 'a body that does not come to its end has no response');
($bytes, $how) = exchange($port, "GET /half HTTP/1.1\r\nHo", half_close => 1);
is($bytes, '', 'nor has half a head');
($bytes, $how) = exchange($port, '', half_close => 1);
is("$bytes$how", 'closed', 'a connection without a request just ends');

# A reset: the request is given up, and so is the server's connection.
my $client = $t->client($port);
$client->send($get->('silent'));
$t->wait_until(sub { $script->seen('silent') }, 'the server has the request');
$client->reset;
$t->wait_until(sub { $weir->stats_server('web', 'a')->{active} == 0 }, 'a reset client frees the server');
pass('a reset client frees the server');

# Timeouts.
($bytes, $how) = exchange($fast, "GET /late HTTP/1.1\r\nHost:");
like($bytes, qr{\AHTTP/1\.1 408 .*\r\nConnection: close\r\n}s, 'half a head: 408');
is($how, 'closed', 'and closed');
($bytes, $how) = exchange($fast, '');
is("$bytes$how", 'closed', 'no request: closed without a word');
($bytes, $how) = exchange($fast, $get->('q'));
is("$bytes$how", "${ok}closed", 'no second request: likewise');
($bytes, $how) = exchange($fast, $get->('q') . "GET /late HT");
like($bytes, qr{\A\Q$ok\EHTTP/1\.1 408 }, 'half of a second head: 408');
($bytes, $how) = exchange($fast, "POST /post HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhel");
like($bytes, qr{\AHTTP/1\.1 408 .*\r\nConnection: close\r\n}s, 'half a body: 408');
($bytes, $how) = exchange($fast, $get->('silent') . $get->('q', $close));
like($bytes, qr{\AHTTP/1\.1 504 .*error=http_response_timeout.*\Q$got\E\z}s, 'no response: 504, and the connection goes on');
($bytes, $how) = exchange($fast, $get->('stalls'));
is("$bytes$how", "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 9\r\n\r\nabreset", 'half a response: cut');

# Retries.
$script->run($port, 'goes') for ();
for my $case ([ 'GET', '', 1 ], [ 'HEAD', '', 1 ], [ 'PUT', "Content-Length: 0\r\n", 1 ], [ 'POST', "Content-Length: 0\r\n", 0 ]) {
    my ($method, $fields, $again) = @$case;
    exchange($port, $get->('goes', $close));
    ($bytes, $how) = exchange($port, "$method /again HTTP/1.1\r\nHost: t\r\n${fields}Connection: close\r\n\r\n");
    like($bytes, $again ? qr{^HTTP/1\.1 200 } : qr{^HTTP/1\.1 502 },
        "$method on a kept connection that dies: " . ($again ? 'sent again' : 'not sent twice'));
}
is((grep { $_->{name} eq 'again' } $script->seen), 3, 'the server answered those that may be repeated');
for (1 .. 6) {
    ($bytes, $how) = exchange($many, $get->('x', $close));
    like($bytes, qr{^HTTP/1\.1 200 .*\r\na\n\z}s, "refused by one server: the other answers at once ($_)");
}
($bytes, $how) = exchange($many, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n${close}\r\nhello") for 1 .. 2;
like($bytes, qr{^HTTP/1\.1 200 .*hello\z}s, 'a POST too, with its body');
($bytes, $how) = exchange($dead, $get->('x') . $get->('x', $close));
is(() = $bytes =~ m{^Proxy-Status: weir; error=connection_refused\r$}mg, 2, 'all servers refuse: 503, and the connection goes on') or diag $bytes;

# Large bodies pass through bounded buffers: the sender waits for the reader.
my $before = memory();
$client = $t->client($port);
$client->send($get->('large', $close));
$client->read_match(qr/\r\n\r\n/);
my $sent = 0;
$t->wait_until(sub { my $now = $t->read('large-sent') || 0; my $still = $now == $sent && $now > 0; $sent = $now; select undef, undef, undef, 0.2; $still },
    'the server does not get on');
cmp_ok(memory() - $before, '<', $size / 4, "what a client does not read is not kept in memory (of $sent bytes sent)");
my ($sum, $len) = (0, length $client->{in});
$sum = unpack '%32C*', $client->{in};
$client->{in} = '';
while ($client->fill) {
    $len += length $client->{in};
    $sum += unpack '%32C*', $client->{in};
    $client->{in} = '';
}
my $block = join '', map { chr(33 + $_ % 90) } 0 .. 65535;
is("$len " . $sum % 2**32, "$size " . (unpack('%32C*', $block) * ($size / 65536)) % 2**32, 'and gets every byte when it does');

$before = memory();
$client = $t->client($port);
$client->send("POST /upload HTTP/1.1\r\nHost: t\r\n${close}Content-Length: $size\r\n\r\n");
my $up = 0;
while (IO::Select->new($client->socket)->can_write(0.5)) {
    my $n = syswrite $client->socket, $block, length($block) - $up % 65536, $up % 65536;
    $up += $n // 0;
    last if $up >= $size - 65536;
}
cmp_ok(memory() - $before, '<', $size / 4, "nor is what a server does not read (of $up bytes sent)");
$t->write('upload-read', '');
$client->send(substr $block x 2, $up % 65536, $size - $up < 65536 ? $size - $up : 65536 - $up % 65536), $up += 65536 - $up % 65536 while $up < $size;
my $r = $client->response('POST');
is($r->{body}, (unpack('%32C*', $block) * ($size / 65536)) % 2**32, 'which gets every byte when it does');

# An early answer to an upload that goes on: the client can read it.
$client = $t->client($port);
eval { $client->send("POST /early HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n" . 'x' x 150_000) };
$r = eval { $client->response('POST') };
is($r && $r->{body}, 'large', 'an early response is read whole') or diag $@;
is($r->{headers}{connection}, 'close', 'and says that the connection ends');

# Redirects.
$r = $t->http_get($redirect, '/a/b?c=d&e', host => 'example.com:80');
is("$r->{status} $r->{headers}{location}", '301 https://example.com:8443/a/b?c=d&e', 'redirect with a port');
$r = $t->http_get($redirect_own, '/', host => 'example.com:80');
is("$r->{status} $r->{headers}{location}", '308 https://example.com/', "redirect to the scheme's own port");
$r = $t->http_get($redirect, '/', host => '[2001:db8::1]:80');
is($r->{headers}{location}, 'https://[2001:db8::1]:8443/', 'redirect of an IPv6 address');
like(scalar exchange($redirect, "GET http://o:1?q HTTP/1.1\r\nHost: x\r\n$close\r\n"), qr{^Location: https://o:8443/\?q\r$}m, 'redirect of an absolute target');
like(scalar exchange($redirect, "HEAD /h HTTP/1.1\r\nHost: x\r\n$close\r\n"), qr{\AHTTP/1\.1 301.*\r\n\r\n\z}s, 'redirect of HEAD has no body');
like(scalar exchange($redirect, "GET / HTTP/1.0\r\n\r\n"), qr{\AHTTP/1\.1 400 }, 'HTTP/1.0 without Host cannot be redirected');
like(scalar exchange($redirect, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" . $get->('x')), qr{\AHTTP/1\.1 301 (?!.*HTTP/1\.1)}s,
    'redirect of a request with a body closes');

# Sticky cookies.
$r = $t->http_get($sticky, '/');
my ($cookie) = ($r->{headers}{'set-cookie'} // '') =~ /^(WHERE=[0-9a-f]{32}); Path=\/; Max-Age=5400; HttpOnly$/;
ok($cookie, 'a first response sets the cookie') or diag $r->{head};
my $server = $r->{body};
$_->forget for $a, $b;
for my $field ($cookie, "x=y; $cookie", "$cookie; x=y", "x=y; $cookie; z=\"1 2\"", "x=y;$cookie;z") {
    $r = $t->http_get($sticky, '/', headers => [ Cookie => $field ]);
    is($r->{body}, $server, "'$field' leads to the same server");
    is($r->{headers}{'set-cookie'}, undef, 'and is not set again');
}
is(join('|', map { $_->{headers}{cookie} // '-' } $a->requests, $b->requests), '-|x=y|x=y|x=y; z="1 2"|x=y;z',
    'the server sees its own cookies, not this one');
$r = $t->http_get($sticky, '/', headers => [ Cookie => 'WHERE=0123456789abcdef0123456789abcdef; a=b' ]);
like($r->{headers}{'set-cookie'}, qr/^WHERE=/, 'an unknown value is replaced');
my ($exit, $out) = $t->curl('-k', '-i', "https://127.0.0.1:$sticky_tls/");
like($out, qr/^Set-Cookie: WHERE=[0-9a-f]{32}; Path=\/; Max-Age=5400; HttpOnly; Secure\r$/mi, 'over TLS the cookie is Secure');
my ($owner, $other) = $server eq "a\n" ? ($a, $b) : ($b, $a);
$owner->stop;
$r = $t->http_get($sticky, '/', headers => [ Cookie => $cookie ]);
is($r->{body}, $other->name . "\n", 'its server is gone: another answers');
like($r->{headers}{'set-cookie'}, qr/^WHERE=(?!\Q$cookie\E)/, 'and the cookie moves');

is($weir->stop, 0, 'weir ends with status 0');
done_testing;
