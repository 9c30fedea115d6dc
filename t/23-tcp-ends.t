#!/usr/bin/perl
# How TCP sessions end: half-close and resets in each direction, copied, spliced and out of TLS; sessions that are blocked;
# servers that do not accept; the drain limit of reloads and upgrades.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use FindBin;
use IO::Socket::IP;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $python = '/usr/bin/python3';
my ($no_python) = $t->run($python, '-c', 'import ssl');
$t->make_cert($t->path('certs'), 'id1', ['localhost']);

# What a server saw of each session, by the word of its order: how the client's bytes ended.
my $server = $t->tcp_server('server', sub {
    my ($c) = @_;
    my ($order, $name, $n) = split ' ', $c->read_match(qr/\n/);
    if ($order eq 'reset') {
        $c->send('y' x $n . 'last words');
        $t->wait_until(sub { -e $t->path("go-$name") }, 'the client has them') if $n;
        return $c->reset;
    } elsif ($order eq 'deaf') {
        $t->wait_until(sub { -e $t->path("go-$name") }, 'the test lets it go', 100);
        return;
    } elsif ($order eq 'first') {
        $c->send('over');
        $c->end_sending;
    } elsif ($order eq 'flood') {
        eval { $c->send('z' x 65536) while 1 };
        return $t->write("end-$name", 'cut');
    }
    $c->send('x' x $n) if $order eq 'hear'; # who reads them knows that the session has come here
    my $got = eval { $c->read_until_close };
    my $end = defined $got ? 'closed' : $@ =~ /timeout/ ? 'timeout' : 'reset';
    eval { $c->send("goodbye $n " . md5_hex($got)) } if $order eq 'last' && defined $got;
    $t->write("end-$name", "$end " . length($got // $c->{in}));
});
sub heard { my ($name) = @_; return $t->wait_until(sub { $t->read("end-$name") }, "the server sees the end of $name") }
sub how { my ($c) = @_; return eval { $c->read_until_close; 1 } ? 'closed' : $@ =~ /timeout/ ? 'timeout' : 'reset' }

my ($plain, $copied, $tls, $deaf_port, $spare) = $t->ports(5);
my $deaf = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $deaf_port, Listen => 1, Proto => 'tcp') or die $!;
my @fill = map { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $deaf_port, Proto => 'tcp', Blocking => 0) } 1 .. 8;
my $body = <<"CONFIG";
listeners:
  - {name: plain, listen: ["127.0.0.1:$plain"], protocol: tcp, pool: server}
  - {name: copied, listen: ["127.0.0.1:$copied"], protocol: tcp, splice: off, pool: server}
  - {name: tls, listen: ["127.0.0.1:$tls"], protocol: tls, tls: {certificate: id1}, pool: server}
  - {name: spare, listen: ["127.0.0.1:$spare"], protocol: tcp, pool: spare, timeouts: {connect: 300ms}}
pools:
  - {name: server, protocol: tcp, servers: [{name: a, address: "@{[ $server->address ]}"}]}
  - {name: spare, protocol: tcp, servers: [{name: deaf, address: "127.0.0.1:$deaf_port"}, {name: a, address: "@{[ $server->address ]}"}]}
CONFIG
my %limits = (workers => 1, global => 'limits: {drain: 1s}');
my $weir = $t->start_weir(config => $t->config($body, %limits));
my $big = join '', map { pack 'N', $_ * 2654435761 % 4294967296 } 1 .. 2_000_000;

for my $way (['spliced', $plain], ['copied', $copied]) {
    my ($name, $port) = @$way;
    subtest $name => sub {
        my $c = $t->client($port);
        $c->send("last $name-half 7\n");
        $c->send($big);
        $c->end_sending;
        is($c->read_until_close, 'goodbye 7 ' . md5_hex($big), 'a client that ended its side hears the server, which got every byte');
        is(heard("$name-half"), 'closed ' . length $big, 'and saw an orderly end');
        $c = $t->client($port);
        $c->send("first $name-first 0\n");
        is($c->read_until_close, 'over', 'a server that ended its side');
        $c->send($big);
        $c->end_sending;
        is(heard("$name-first"), 'closed ' . length $big, 'hears the client');
        $c = $t->client($port);
        $c->send("hear $name-reset 2\n" . 'x' x 100_000);
        $c->read_bytes(2);
        $c->reset;
        like(heard("$name-reset"), qr/^reset /, 'a reset of the client comes to the server as one');
        $c = $t->client($port);
        $c->send("reset $name-go 300000\n");
        is(length $c->read_bytes(300_010), 300_010, 'bytes of the server');
        $t->write("go-$name-go", '');
        is(how($c), 'reset', 'a reset of the server comes to the client as one');
        $c = $t->client($port);
        $c->send("reset $name-now 0\n");
        is(how($c), 'reset', 'also right behind its last bytes');
    };
}

subtest 'one side takes nothing' => sub {
    my $active = sub { $weir->stats_listener('plain')->{active} };
    $t->wait_until(sub { $active->() == 0 }, 'all have gone');
    my $c = $t->client($plain);
    $c->send("deaf blocked 0\n");
    my ($sent, $still) = (0, 0);
    $t->wait_until(sub { my $n = syswrite $c->socket, 'x' x 65536; $sent += $n // 0; $still = defined $n ? 0 : $still + 1; $still > 10 },
        'all buffers on the way are full');
    $c->reset;
    $t->wait_until(sub { $active->() == 0 }, 'the session has ended');
    pass("a reset of the client ends a session whose server does not read ($sent bytes on the way)");
    $t->write('go-blocked', '');
    $c = $t->client($plain);
    $c->send("flood slow 0\n");
    $c->read_bytes(1);
    $server->stop;    # kills the one that sends: what it could not send is gone, so the kernel resets
    is(how($c) =~ s/closed/reset/r, 'reset', 'a server that goes while the client does not read: no more comes');
    $c->close;    # the processes of the server would have it, too
    $server->start;
};

subtest 'a server that does not accept' => sub {
    for (1 .. 2) {
        my $c = $t->client($spare);
        $c->send("first spare$_ 0\n");
        is($c->read_bytes(4), 'over', 'another one is tried');
        $c->close;
    }
    cmp_ok($weir->stats_server('spare', 'deaf')->{connect_errors}, '>=', 1, 'after the connect timeout, which counts');
};

for my $version ($no_python ? () : qw(TLSv1_2 TLSv1_3)) {
    subtest $version => sub {
        my $peer = sub { my (undef, $out, $err) = $t->run($python, "$FindBin::Bin/lib/tls_peer.py", $tls, $version, @_, { timeout => 60 }); diag $err if $err; chomp $out; return $out };
        is($peer->("send:last $version-1 5\\nabc", 'notify', 'rest'), '42|' . substr('goodbye 5 ' . md5_hex('abc'), -40) . '|notify',
            'close_notify of the client: the server still answers, and ends in order') if $version eq 'TLSv1_3';
        is(heard("$version-1"), 'closed 3', 'it saw an orderly end') if $version eq 'TLSv1_3';
        is($peer->("send:first $version-2 0\\n", 'rest', 'send:still here', 'notify'), '4|over|notify', 'a server that ended its side: close_notify');
        is(heard("$version-2"), 'closed 10', 'and it hears the client');
        is($peer->("send:reset $version-3 0\\n", 'rest'), '10|last words|reset', 'a reset of the server never looks complete');
        $peer->("send:hear $version-4 0\\nabc", 'fin');
        like(heard("$version-4"), qr/^reset /, 'nor does what a client sent that ends without close_notify');
        $peer->("send:hear $version-5 2\\nabc", 'read:2', 'reset');
        like(heard("$version-5"), qr/^reset /, 'a reset of the client comes to the server as one');
        is($peer->("send:hear $version-6 0\\n", 'flood:6553600', 'notify', 'rest'), '0||notify', 'megabytes') if $version eq 'TLSv1_3';
        is(heard("$version-6"), 'closed 6553600', 'and their end') if $version eq 'TLSv1_3';
    };
}

for my $change ('reload', 'upgrade') {
    subtest "the drain limit, $change" => sub {
        $t->wait_until(sub { $weir->stats_server('server', 'a')->{active} == 0 }, 'all others have gone');
        my @c = map { my $c = $t->client($_); $c->send("hear $change-$_ 0\n"); $c } $plain, $copied;
        $t->wait_until(sub { $weir->stats_server('server', 'a')->{active} == 2 }, 'two sessions');
        my $before = $weir->stats_listener('plain')->{ends}{drained} // 0;
        if ($change eq 'reload') {
            $weir->reload($t->config($body =~ s/300ms/301ms/r, %limits));
        } else {
            $weir->signal('USR2');
            $weir->follow_pid_file;
        }
        $_->send('after') for @c;
        is(how($_), 'reset', 'survives it, and is cut') for @c;
        like(heard("$change-$_"), qr/^reset/, 'on the side of the server, too') for $plain, $copied;
        $t->wait_until(sub { $t->read('access.log') =~ /"listener":"plain".*"bytes_in":@{[ length("hear $change-$plain 0\n") + 5 ]}.*"end":"drained"/ }, 'it is logged, with what came after the change');
        pass('logged');
        $t->wait_until(sub { ($weir->stats_listener('plain')->{ends}{drained} // 0) == $before + 1 }, 'counted');
        pass('counted');
    };
}

$weir->quit;
done_testing;
