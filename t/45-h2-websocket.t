#!/usr/bin/perl
# WebSocket towards servers that speak HTTP/2 (RFC 8441), from clients of HTTP/1.1 and of HTTP/2.

use strict;
use warnings;
use Digest::SHA qw(sha1_base64);
use Test::More;
use Weir::Test;
use Weir::Test::H2 qw(:all);
use Weir::Test::H2Server;

my $t = Weir::Test->new;
my %port = map { $_ => $t->port } qw(web none short over inner over_tls inner_tls);
my ($key, $accept) = ('dGhlIHNhbXBsZSBub25jZQ==', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='); # of RFC 6455 section 1.3
my $go = sub { my ($s, $id) = @_; return $s->head($id, [':status' => 200]) };
my $tries = $t->path('tries');
my $large = 3_000_000;
my %cases = (
    'begin:echo' => sub { $_[0]->head($_[1], [':status' => 200, 'sec-websocket-protocol' => 'chat', 'sec-websocket-accept' => 'forged']) },
    'data:echo' => sub { $_[0]->pour($_[1], $_[3]) },
    'echo' => sub { $_[0]->pour($_[1], 'bye', 1) },
    'begin:greets' => sub { $go->(@_); $_[0]->data($_[1], 'welcome') },
    'begin:other-2xx' => sub { $_[0]->head($_[1], [':status' => 202]); $_[0]->data($_[1], 'odd') },
    'begin:interim' => sub { $_[0]->head($_[1], [':status' => 103, link => '</a>']); $go->(@_); $_[0]->data($_[1], 'late') },
    # Ends its side first, then listens.
    'begin:listens' => sub { $go->(@_); $_[0]->end($_[1], 'over') },
    'listens' => sub { },
    'begin:ends' => sub { $_[0]->head($_[1], [':status' => 200], END_STREAM) },
    'ends' => sub { },
    'begin:dies' => sub { $go->(@_); $_[0]->data($_[1], 'ugh')->rst($_[1], 11) },
    'begin:falls' => sub { $go->(@_); $_[0]->data($_[1], 'ugh'); $_[0]{client}->reset },
    'begin:pours' => sub { $go->(@_); $_[0]->pour($_[1], 'x' x $large, 1) },
    'begin:mute' => $go,
    'mute:mute' => 1,
    'begin:silent' => $go,
    'length' => sub { },
    'begin:refuses' => sub { $_[0]->head($_[1], [':status' => 403, 'content-length' => 3])->end($_[1], "no\n") },
    'begin:length' => sub { $_[0]->head($_[1], [':status' => 200, 'content-length' => 3])->end($_[1], "no\n") },
    'begin:leaves' => sub { my ($s, $id) = @_; $go->(@_); $s->goaway($id, 0)->data($id, 'still here') },
    'data:leaves' => sub { $_[0]->data($_[1], "got $_[3]") },
    'begin:refused-once' => sub {
        my ($s, $id) = @_;
        Weir::Test::Origin::append($tries, 'x');
        length $t->read('tries') == 1 ? $s->rst($id, 7) : $go->($s, $id)->data($id, 'second');
    },
    'begin:resets' => sub { $_[0]->rst($_[1], 8) },
);
# Those that say nothing of it end when their client does.
/^begin:(.*)/ and $cases{$1} //= sub { $_[0]->end($_[1]) } for keys %cases;
my $server = Weir::Test::H2Server->start($t, 'server', \%cases, settings => pack 'nN', 8, 1);
my $none = Weir::Test::H2Server->start($t, 'none', \%cases);
# One of HTTP/1.1, behind a listener of weir's that speaks HTTP/2.
my $old = $t->tcp_server('old', sub {
    my ($c) = @_;
    my ($its) = $c->read_match(qr/\r\n\r\n/) =~ /^sec-websocket-key: (\S+)\r$/mi;
    $c->send("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
        . sha1_base64("${its}258EAFA5-E914-47DA-95CA-C5AB0DC85B11") . "=\r\n\r\n");
    while ($c->fill) {
        my $bytes = $c->{in};
        $c->{in} = '';
        $c->send($bytes);
    }
    $c->send('bye');
});
$t->make_cert($t->path('certs'), 'web', ['localhost']);
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1, access => $t->path('access.log')));
listeners:
  - {name: web, listen: ["127.0.0.1:$port{web}"], protocol: http, http2: {cleartext: on}, pool: web}
  - {name: none, listen: ["127.0.0.1:$port{none}"], protocol: http, http2: {cleartext: on}, pool: none}
  - {name: short, listen: ["127.0.0.1:$port{short}"], protocol: http, http2: {cleartext: on}, timeouts: {tunnel: 500ms}, pool: web}
  - {name: over, listen: ["127.0.0.1:$port{over}"], protocol: http, http2: {cleartext: on}, pool: inner}
  - {name: inner, listen: ["127.0.0.1:$port{inner}"], protocol: http, http2: {cleartext: on}, pool: old}
  - {name: over_tls, listen: ["127.0.0.1:$port{over_tls}"], protocol: http, http2: {cleartext: on}, pool: inner_tls}
  - {name: inner_tls, listen: ["127.0.0.1:$port{inner_tls}"], protocol: https, tls: {certificate: web, alpn: [h2]}, pool: old}
pools:
  - {name: web, protocol: h2c, servers: [{name: a, address: "@{[ $server->address ]}"}]}
  - {name: none, protocol: h2c, servers: [{name: a, address: "@{[ $none->address ]}"}]}
  - {name: inner, protocol: h2c, servers: [{name: a, address: "127.0.0.1:$port{inner}"}]}
  - {name: inner_tls, protocol: h2, tls: {verify: off}, servers: [{name: a, address: "127.0.0.1:$port{inner_tls}"}]}
  - {name: old, servers: [{name: a, address: "@{[ $old->address ]}"}]}
CONFIG
my ($worker) = $weir->workers;

sub active { return $weir->stats_server('web', 'a')->{active} }
sub seen {
    my ($path, $test) = @_;
    my $seen;
    $t->wait_until(sub { ($seen) = grep { $_->{field}{':path'} eq "/$path" && $test->($_) } reverse $server->seen($path =~ /^([^?]*)/); $seen }, "the server saw $path");
    return $seen;
}

# --- clients, which look alike to the tests: say, hear, finish, is_over, cut ---

package H1Client {
    sub new {
        my ($class, $path, %o) = @_;
        my $c = $t->client($o{port} // $port{web});
        $c->send(join "\r\n", "GET /$path HTTP/1.1", 'Host: name.test', 'Connection: Upgrade, X-Hop', 'Upgrade: ' . ($o{upgrade} // 'websocket'),
            'X-Hop: 1', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Protocol: chat', @{ $o{key} // ["Sec-WebSocket-Key: $key"] }, '', $o{behind} // '');
        my $self = bless { c => $c }, $class;
        do { $self->{head} = $c->read_match(qr/\r\n\r\n/) } while $self->{head} =~ m{^HTTP/1\.1 1(?!01)};
        ($self->{status}) = $self->{head} =~ m{^HTTP/1\.1 (\d+) };
        return $self;
    }
    sub began { return $_[0]{status} == 101 }
    sub say { return $_[0]{c}->send($_[1]) }
    sub hear { return $_[0]{c}->read_bytes($_[1]) }
    sub finish { return $_[0]{c}->end_sending }
    # How the server's side ended, after what it said meanwhile.
    sub rest {
        my ($c) = $_[0]{c};
        my $rest = eval { $c->read_until_close };
        return ($rest // $c->{in}, defined $rest ? 'end' : 'reset');
    }
    sub cut { return $_[0]{c}->reset }
}

package H2Client {
    use Weir::Test::H2 qw(:all);
    sub new {
        my ($class, $path, %o) = @_;
        my $c = Weir::Test::H2->new($t, $o{port} // $port{web});
        $c->request(1, [':method' => 'CONNECT', ':protocol' => 'websocket', ':scheme' => 'http', ':path' => "/$path", ':authority' => 'name.test',
            'sec-websocket-version' => 13, 'sec-websocket-protocol' => 'chat'], END_HEADERS);
        $c->send(frame(DATA, 0, 1, $o{behind})) if $o{behind};
        my $self = bless { c => $c, heard => 0 }, $class;
        $c->wait_for(sub { $c->{status}{1} || $c->{reset}{1} });
        $self->{status} = $c->{status}{1};
        return $self;
    }
    sub began { return $_[0]{status} == 200 }
    sub say {
        my ($self, $bytes) = @_;
        $self->{c}->send(frame(DATA, 0, 1, $_)) for unpack '(a16000)*', $bytes;
        return;
    }
    sub more {
        my ($c) = @_;
        my $f = $c->next_frame or return;
        return 1 if $f->{type} != DATA || !length $f->{payload};
        $c->send(join '', map { frame(WINDOW_UPDATE, 0, $_, pack 'N', length $f->{payload}) } 0, 1);
        return 1;
    }
    sub hear {
        my ($self, $n) = @_;
        my $c = $self->{c};
        while (length($c->{body}{1} // '') < $n && !$c->{ended}{1} && !$c->{reset}{1}) { more($c) or last }
        return substr $c->{body}{1} // '', 0, $n, '';
    }
    sub finish { return $_[0]{c}->send(frame(DATA, END_STREAM, 1, '')) }
    sub rest {
        my ($c) = $_[0]{c};
        while (!$c->{ended}{1} && !$c->{reset}{1}) { more($c) or last }
        return ($c->{body}{1} // '', $c->{ended}{1} ? 'end' : $c->{reset}{1} // 'reset');
    }
    sub cut { return $_[0]{c}->send(frame(RST_STREAM, 0, 1, pack 'N', 8)) }
}

package main;

my %name = (H1Client => 'HTTP/1.1', H2Client => 'HTTP/2');

# Both ways at a time, as windows and buffers allow.
sub echo_large {
    my ($c, $bytes) = @_;
    my $at = 0;
    my $back = '';
    while (length $back < length $bytes) {
        while ($at < length $bytes && $at - length $back < 30_000) {
            $c->say(substr $bytes, $at, 10_000);
            $at += 10_000;
        }
        my $piece = $c->hear($at - length $back > 10_000 ? 10_000 : $at - length $back);
        last if $piece eq '';
        $back .= $piece;
    }
    return $back;
}

for my $class (qw(H1Client H2Client)) {
    my ($reset, $calm) = $class eq 'H1Client' ? ('reset', 'reset') : ('CANCEL', 'ENHANCE_YOUR_CALM');
    subtest "from $name{$class}" => sub {
        $t->wait_until(sub { active() == 0 }, 'no tunnel yet');
        my $c = $class->new('echo');
        ok($c->began, 'begun');
        $c->say('ping');
        is($c->hear(4), 'ping', 'bytes both ways');
        is(active(), 1, 'the tunnel counts as active');
        $c->say("\0\r\n\xff-more");
        is($c->hear(9), "\0\r\n\xff-more", 'as they are');
        my $bytes = join '', map { chr(97 + $_ % 26) x 10_000 } 0 .. 29;
        ok(echo_large($c, $bytes) eq $bytes, 'more than all windows');
        $c->say('last');
        $c->finish;
        is_deeply([$c->rest], ['lastbye', 'end'], 'the client ends its side, the server still answers');
        my $seen = seen('echo', sub { $_[0]{body} =~ /last\z/ });
        is_deeply([map { join '=', @$_ } @{ $seen->{fields} }], [':method=CONNECT', ':protocol=websocket', ':scheme=http',
            ':authority=name.test', ':path=/echo', 'sec-websocket-version=13', 'sec-websocket-protocol=chat', 'x-forwarded-for=127.0.0.1'],
            'what the server was asked: no key, nothing of the connection') or diag explain $seen->{fields};
        is($seen->{reset}, undef, 'its stream ended in peace');

        is($class->new('greets')->hear(7), 'welcome', 'bytes right behind the head');
        is($class->new('other-2xx')->hear(3), 'odd', 'any 2xx is a yes');
        is($class->new('interim')->hear(4), 'late', '1xx before it');
        $c = $class->new('echo', behind => 'early');
        is($c->hear(5), 'early', 'bytes right behind the request');

        $c = $class->new('listens');
        is($c->hear(4), 'over', 'the server ends its side');
        $c->say('x' x 50_000) for 1 .. 2;
        $c->say('last words');
        $c->finish;
        is(length seen('listens', sub { $_[0]{body} =~ /last words\z/ })->{body}, 100_010, 'and still hears all of the client');
        $c = $class->new('ends');
        is_deeply([$c->rest], ['', 'end'], 'a server that ends with its head');
        $c->say('last words');
        $c->finish;
        is(seen('ends', sub { $_[0]{body} ne '' })->{body}, 'last words', 'hears the client, too');

        is_deeply([$class->new('dies')->rest], ['ugh', $calm], "a server that resets the stream: $calm");
        is_deeply([$class->new('falls')->rest], ['ugh', $reset], "a server that falls: $reset");
        $c = $class->new('silent?cut');
        $c->cut;
        is(seen('silent?cut', sub { defined $_[0]{reset} })->{reset}, 8, 'a client that breaks off: CANCEL');
        $c = $class->new('silent?idle', port => $port{short});
        is(($c->rest)[1], $class eq 'H1Client' ? 'reset' : 'CANCEL', 'silence for too long');
        is(seen('silent?idle', sub { defined $_[0]{reset} })->{reset}, 8, 'which the server is told');

        $c = $class->new('leaves');
        is($c->hear(10), 'still here', 'GOAWAY');
        $c->say('?');
        is($c->hear(5), 'got ?', 'does not end the tunnel');

        unlink $tries;
        $c = $class->new('refused-once');
        is($c->began && $c->hear(6), 'second', 'REFUSED_STREAM: asked once more');

        is($class->new('refuses')->{status}, 403, 'a server that says no');
        $c = $class->new('length');
        is_deeply([$c->rest], ["no\n", 'end'], 'content-length means nothing there');
        unlike($c->{head} // join('', map { @$_ } @{ $c->{c}{fields}{1} }), qr/content-length/i, 'and is not passed');
        $c->finish;
        is($class->new('resets')->{status}, 502, 'a reset instead of an answer');
        is($class->new('echo', port => $port{none})->{status}, 502, 'a server that does not know extended CONNECT');
        is(scalar(grep { $_->{field}{':method'} eq 'CONNECT' } $none->seen), 0, 'is not asked');
        is($t->http_get($port{none}, '/x')->{status}, 200, 'and serves others');
        undef $c;
    };
}

subtest 'HTTP/1.1: the handshake' => sub {
    my $c = H1Client->new('echo?h1');
    my %fields = map { lc($_->[0]) => $_->[1] } map { [split /: /] } grep { /: / } split /\r\n/, $c->{head};
    is($c->{head} =~ s/\r\n.*//sr, 'HTTP/1.1 101 Switching Protocols', 'the switch');
    is($fields{'sec-websocket-accept'}, $accept, 'answers the key');
    is($fields{'sec-websocket-protocol'}, 'chat', 'the protocol that the server chose');
    is(lc $fields{$_->[0]}, $_->[1], $_->[0]) for ['connection', 'upgrade'], ['upgrade', 'websocket'];
    is(() = $c->{head} =~ /forged/g, 0, 'the server cannot answer it');
    # What is no handshake that HTTP/2 could pass on is a request like others.
    for (['another protocol', 'chat?1', upgrade => 'chat'], ['no key', 'chat?2', key => []],
        ['two keys', 'chat?3', key => ["Sec-WebSocket-Key: $key", "Sec-WebSocket-Key: $key"]],
        ['a key of another size', 'chat?4', key => ['Sec-WebSocket-Key: ' . 'x' x 5000]]) {
        my ($what, $path, @how) = @$_;
        is(H1Client->new($path, @how)->{status}, 200, "$what: not offered");
        my $seen = seen($path, sub { 1 });
        is("$seen->{field}{':method'} " . ($seen->{field}{upgrade} // 'none'), 'GET none', 'and not passed');
    }
    my $r = H1Client->new('echo', port => $port{none});
    like($r->{head}, qr/^Proxy-Status: .*error=http_upgrade_failed/mi, 'Proxy-Status says what is missing');
    like($t->read('access.log'), qr/"status":502,.*"end":"server-no-websocket"/, 'and so does the log');
};

sub memory { return $t->read("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : die 'no memory' }

subtest 'backpressure' => sub {
    my $before = memory();
    my @c = map { H1Client->new("pours?$_") } 1 .. 10;
    my @d = map { H2Client->new("pours?h2-$_") } 1 .. 10;
    is($t->http_get($port{web}, '/x')->{status}, 200, 'clients that do not read: others are served');
    cmp_ok(memory() - $before, '<', 20_000, '60 MB for them stay with the server') if ($ENV{WEIR_SANITIZERS} // '') ne 'yes';
    for (@c[0, 9], @d[0, 9]) {
        my ($rest, $how) = $_->rest;
        is(length($rest) . " $how", "$large end", 'all of it comes when they do');
    }
    $_->cut for @c[1 .. 8], @d[1 .. 8];

    my $c = H1Client->new('mute?1', port => $port{short});
    my $total = 0;
    while ($total < 200_000_000) {
        my $n = syswrite $c->{c}->socket, 'x' x 65536;
        last if !defined $n && !$!{EAGAIN};
        IO::Select->new($c->{c}->socket)->can_write(20) or last;
        $total += $n // 0;
    }
    cmp_ok($total, '<', 20_000_000, 'a server that does not read stops the client, until that is too long');
    is($t->http_get($port{web}, '/x')->{status}, 200, 'and others are served');
    $c->cut;
    my $h2 = H2Client->new('mute?2');
    $h2->say('x' x 60_000);
    is($t->http_get($port{web}, '/x')->{status}, 200, 'a server that reads less than the window of the client allows');
    $h2->{c}->send(frame(PING, 0, 0, 'x' x 8));
    $h2->{c}->wait_for(sub { $_[0]{type} == PING });
    cmp_ok($h2->{c}{window}{1} // 0, '<=', 140_000, 'is not hurried');
    $h2->cut;
};

for my $way (qw(over over_tls)) {
    for my $class (qw(H1Client H2Client)) {
        my $c = $class->new('chain', port => $port{$way});
        ok($c->began, "$way: $name{$class} to HTTP/2 to HTTP/1.1");
        my $bytes = 'ab' x 100_000;
        ok(echo_large($c, $bytes) eq $bytes, 'bytes both ways');
        $c->finish;
        is_deeply([$c->rest], ['bye', 'end'], 'and both ends');
    }
}

$t->wait_until(sub { active() == 0 }, 'all tunnels have ended');
cmp_ok($weir->stats_listener('web')->{bytes_in}, '>', 800_000, 'their bytes are counted: in');
cmp_ok($weir->stats_listener('web')->{bytes_out}, '>', 4 * $large, 'and out');
is($weir->quit, 0, 'weir ends in peace');
done_testing;
