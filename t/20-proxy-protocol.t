#!/usr/bin/perl
# The PROXY protocol: servers are told who the client is, and others may tell weir.
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM inet_aton);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $signature = "\r\n\r\n\0\r\nQUIT\n";

sub v2 {
    my ($from, $from_port, $to, $to_port) = @_;
    return $signature . pack('CCn', 0x21, 0x11, 12) . inet_aton($from) . inet_aton($to) . pack('nn', $from_port, $to_port);
}

# Answers what came up to a ";" at the end, in hexadecimal.  Ports are bytes too, and one may be a ";".
my $hex = $t->tcp_server('hex', sub {
    my ($c) = @_;
    $c->send(unpack('H*', $c->read_match(qr/\w;\z/)) . "\n");
});
# Speaks first: what it has got by then.
my $greeter = $t->tcp_server('greeter', sub {
    my ($c) = @_;
    my $header = $c->read_bytes(28);
    $c->send('hello ' . unpack('H*', $header) . "\n");
    my $rest = $c->read_until_close;
});

subtest 'towards servers' => sub {
    my ($v1, $v2, $first) = $t->ports(3);
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: v1, listen: ["127.0.0.1:$v1"], protocol: tcp, pool: v1}
  - {name: v2, listen: ["127.0.0.1:$v2"], protocol: tcp, pool: v2}
  - {name: first, listen: ["127.0.0.1:$first"], protocol: tcp, pool: first}
pools:
  - {name: v1, protocol: tcp, proxy_protocol: v1, servers: [{name: a, address: "@{[ $hex->address ]}"}]}
  - {name: v2, protocol: tcp, proxy_protocol: v2, servers: [{name: a, address: "@{[ $hex->address ]}"}]}
  - {name: first, protocol: tcp, proxy_protocol: v2, servers: [{name: a, address: "@{[ $greeter->address ]}"}]}
CONFIG
    my $c = $t->client($v1);
    my $port = $c->port_here;
    $c->send('x;');
    is(pack('H*', $c->read_match(qr/^(?=.*\n)/s) . ($c->read_match(qr/\n/) =~ s/\n//r)), "PROXY TCP4 127.0.0.1 127.0.0.1 $port $v1\r\nx;", 'version 1');
    $c->close;
    $c = $t->client($v2);
    $port = $c->port_here;
    $c->send('y;');
    is($c->read_match(qr/\n/), unpack('H*', v2('127.0.0.1', $port, '127.0.0.1', $v2) . 'y;') . "\n", 'version 2');
    $c->close;
    $t->wait_until(sub { $weir->stats_listener('v2')->{active} == 0 }, 'it is over');
    is($weir->stats_listener('v2')->{bytes_in}, 2, 'the header is not the client\'s');
    $c = $t->client($first);
    $port = $c->port_here;
    is($c->read_match(qr/\n/), 'hello ' . unpack('H*', v2('127.0.0.1', $port, '127.0.0.1', $first)) . "\n",
        'a server that speaks first has it before');
    $c->close;
    is($weir->stop, 0, 'weir ends');
};

subtest 'health checks say that they are weir\'s own' => sub {
    my $log = $t->path('checks');
    my $server = $t->tcp_server('checked', sub {
        my ($c) = @_;
        my $got = $c->read_match(qr/\r\n\r\n\z|\0\0\0\z/);
        open my $out, '>>', $log;
        print $out unpack('H*', $got), "\n";
        close $out;
        $c->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    my ($p1, $p2) = $t->ports(2);
    my $udp_port = $t->port;
    my $udp = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $udp_port, Proto => 'udp', Type => SOCK_DGRAM);
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: tcp, listen: ["127.0.0.1:$p1"], protocol: tcp, pool: tcp}
  - {name: udp, listen: ["127.0.0.1:$p2"], protocol: udp, pool: udp}
pools:
  - name: tcp
    protocol: tcp
    proxy_protocol: v2
    health: {type: tcp, interval: 200ms}
    servers: [{name: a, address: "@{[ $server->address ]}"}]
  - name: udp
    protocol: udp
    proxy_protocol: v2
    health: {type: udp, interval: 200ms, timeout: 150ms}
    servers: [{name: a, address: "127.0.0.1:$udp_port"}]
CONFIG
    $weir->wait_server('tcp', 'a', 'up');
    my $local = unpack 'H*', $signature . pack 'CCn', 0x20, 0, 0;
    $t->wait_until(sub { $t->read($log) =~ /^$local/m }, 'a TCP check sends LOCAL');
    pass('a TCP check sends LOCAL');
    IO::Select->new($udp)->can_read(10);
    recv $udp, my $datagram, 1000, 0;
    is(unpack('H*', $datagram), $local, 'a UDP check too');
    my $client = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $p2, Proto => 'udp', Type => SOCK_DGRAM);
    my $expected = $signature . pack('CCn', 0x21, 0x12, 12) . inet_aton('127.0.0.1') x 2 . pack('nn', $client->sockport, $p2);
    for my $word ('one', 'two', '') {
        send $client, $word, 0;
        my $got = '';
        $t->wait_until(sub {
            IO::Select->new($udp)->can_read(1) or return 0;
            my $from = recv $udp, $got, 1000, 0;
            send $udp, 'answer', 0, $from if $got =~ /two/;
            return unpack('H*', $got) ne $local;
        }, 'the datagram comes');
        is(unpack('H*', $got), unpack('H*', $expected . $word), "each datagram of a flow has the header (\"$word\")");
    }
    recv $client, my $answer, 1000, 0;
    is($answer, 'answer', 'answers have none');
    $weir->stop;
};

subtest 'from clients' => sub {
    my ($http, $tls, $tcp, $other, $out) = $t->ports(5);
    $t->make_cert($t->path('certs'), 'id1', ['localhost']);
    my $origin = $t->origin('web');
    my $echo = $t->tcp_echo('echo');
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
acls:
  friends: {networks: [192.0.2.0/24]}
listeners:
  - {name: http, listen: ["127.0.0.1:$http"], protocol: http, proxy_protocol: {from: [127.0.0.0/8]}, pool: web, timeouts: {client_head: 2s}}
  - {name: tls, listen: ["127.0.0.1:$tls"], protocol: https, tls: {certificate: id1}, proxy_protocol: {from: [127.0.0.0/8]}, pool: web}
  - {name: tcp, listen: ["127.0.0.1:$tcp"], protocol: tcp, proxy_protocol: {from: [127.0.0.0/8]}, access: {acl: friends}, pool: echo}
  - {name: other, listen: ["127.0.0.1:$other"], protocol: tcp, proxy_protocol: {from: [10.0.0.0/8]}, pool: echo}
  - {name: out, listen: ["127.0.0.1:$out"], protocol: tcp, proxy_protocol: {from: [127.0.0.1]}, pool: hex}
pools:
  - {name: web, servers: [{name: a, address: "@{[ $origin->address ]}"}]}
  - {name: echo, protocol: tcp, servers: [{name: a, address: "@{[ $echo->address ]}"}]}
  - {name: hex, protocol: tcp, proxy_protocol: v2, servers: [{name: a, address: "@{[ $hex->address ]}"}]}
CONFIG
    my $request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for my $header ("PROXY TCP4 192.0.2.7 198.51.100.1 1000 80\r\n", v2('192.0.2.7', 1000, '198.51.100.1', 80),
        "PROXY TCP6 2001:db8::7 ::1 1000 80\r\n") {
        my $expected = $header =~ /TCP6/ ? '2001:db8::7' : '192.0.2.7';
        like(scalar $t->raw_exchange($http, $header . $request), qr/^HTTP\/1.1 200 /, 'a request after the header');
        is($origin->last_request->{headers}{'x-forwarded-for'}, $expected, 'comes from the client it names');
        my $c = $t->client($http);
        for my $byte (split //, $header) {
            $c->send($byte);
            select undef, undef, undef, 0.002;
        }
        $c->send($request);
        like($c->read_until_close, qr/^HTTP\/1.1 200 /, 'byte by byte, too');
    }
    like(scalar $t->raw_exchange($http, "PROXY UNKNOWN\r\n$request"), qr/^HTTP\/1.1 200 /, 'UNKNOWN');
    is($origin->last_request->{headers}{'x-forwarded-for'}, '127.0.0.1', 'speaks for itself');

    my ($exit, $body, $err) = $t->curl('-k', '--haproxy-protocol', "https://127.0.0.1:$tls/");
    is($body, "web\n", 'TLS begins after the header') or diag $err;

    for my $bad ($request, "PROXY TCP4 192.0.2.7 198.51.100.1 1000\r\n", $signature . "\x31\0\0\0", "\r\n\r\n\0\r\nQUIT!") {
        my ($got, $how) = $t->raw_exchange($http, $bad);
        is("$got$how", 'reset', 'what is no header is refused');
    }
    my ($got, $how) = $t->raw_exchange($http, 'PROXY TCP4 192');
    is($got, '', 'half a header is waited for, for timeouts.client_head');

    is(scalar $t->raw_exchange($tcp, v2('192.0.2.9', 1, '127.0.0.1', 2) . 'hello', half_close => 1), 'hello',
        'access lists look at the client that was named');
    (undef, $how) = $t->raw_exchange($tcp, v2('198.51.100.9', 1, '127.0.0.1', 2) . 'hello');
    is($how, 'reset', 'and refuse it');
    $how = eval { ($t->raw_exchange($other, v2('192.0.2.9', 1, '127.0.0.1', 2) . 'hello'))[1] } // $@;
    like($how, qr/reset/, 'others than those in "from" are refused');
    is($weir->stats_listener('other')->{refused}, 1, 'and counted');

    my $c = $t->client($out);
    $c->send(v2('192.0.2.9', 77, '127.0.0.9', 99) . 'z;');
    is($c->read_match(qr/\n/), unpack('H*', v2('192.0.2.9', 77, '127.0.0.1', $out) . 'z;') . "\n", 'in and out: the server learns of the first client');
    $c->close;
    $t->wait_until(sub { $weir->stats_listener('http')->{active} == 0 }, 'all have gone');
    cmp_ok($weir->stats_listener('http')->{connections}, '==', 7, 'a connection counts once');
    is($weir->stop, 0, 'weir ends');
};

subtest 'what is wrong in a configuration' => sub {
    my ($exit, undef, $err) = $t->weir('-t', '-c', $t->write('bad.yaml', $t->config(<<"CONFIG")));
listeners:
  - {name: a, listen: ["127.0.0.1:5300"], protocol: udp, proxy_protocol: {from: [10.0.0.0/8]}, pool: udp}
  - {name: b, listen: ["127.0.0.1:5301"], protocol: tcp, proxy_protocol: {from: []}, pool: tcp}
  - {name: c, listen: ["127.0.0.1:5302"], protocol: tcp, proxy_protocol: {}, pool: tcp}
pools:
  - {name: tcp, protocol: tcp, proxy_protocol: v3}
  - {name: http, proxy_protocol: v2}
  - {name: udp, protocol: udp, proxy_protocol: v1}
CONFIG
    is($exit, 1, 'refused');
    like($err, qr/:\d+:\d+: error: proxy_protocol has no meaning here; it is allowed with protocol tcp, tls, http or https/, 'from clients of UDP');
    like($err, qr/error: from.*is needed|error:.*from/, 'nobody to come from');
    like($err, qr/proxy_protocol: "v3" is not known here; allowed: off, v1 or v2/, 'a version');
    like($err, qr/pool "http" has protocol http and a proxy_protocol; allowed: off, or protocol tcp or udp/, 'servers of HTTP');
    like($err, qr/pool "udp" has protocol udp and proxy_protocol v1; allowed: off or v2/, 'version 1 in datagrams');
};

done_testing;
