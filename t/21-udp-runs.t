#!/usr/bin/perl
# UDP in bursts: what clients and servers send at once arrives whole, in order and in the sizes it was sent in, whether
# the kernel handles it as one (UDP_SEGMENT, UDP_GRO) or not.
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM SOL_SOCKET);
use Test::More;
use Weir::Test;

use constant { SOL_UDP => 17, UDP_SEGMENT => 103, SO_RCVBUFFORCE => 33 };

my $t = Weir::Test->new;

sub udp_socket {
    my $socket = IO::Socket::IP->new(Proto => 'udp', Type => SOCK_DGRAM, @_) or die "udp: $!";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUFFORCE, pack 'i', 4 << 20;
    return $socket;
}

# Sends each datagram back; on "burst SIZE COUNT REST" COUNT of SIZE bytes and one of REST, at once; on "many COUNT" so
# many, one after the other, of 1 byte, of 2 and so on; on "none" nothing.
my $server_port = $t->port;
my $server = udp_socket(LocalHost => '127.0.0.1', LocalPort => $server_port);
my $can_segment = setsockopt $server, SOL_UDP, UDP_SEGMENT, pack 'i', 0;
$t->spawn(sub {
    while (1) {
        my $from = recv($server, my $data, 65536, 0) // next;
        if ($data =~ /^burst (\d+) (\d+) (\d+)/) {
            setsockopt $server, SOL_UDP, UDP_SEGMENT, pack 'i', $1;
            send $server, join('', map { chr(ord('a') + $_) x $1 } 0 .. $2 - 1) . 'z' x $3, 0, $from;
            setsockopt $server, SOL_UDP, UDP_SEGMENT, pack 'i', 0;
        } elsif ($data =~ /^many (\d+)/) {
            send $server, 'm' x $_, 0, $from for 1 .. $1;
        } elsif ($data !~ /^none/) {
            send $server, $data, 0, $from;
        }
    }
});
# Says what it got, in hexadecimal, of the header and behind it.
my $proxied_port = $t->port;
my $proxied = udp_socket(LocalHost => '127.0.0.1', LocalPort => $proxied_port);
$t->spawn(sub {
    while (1) {
        my $from = recv($proxied, my $data, 65536, 0) // next;
        send $proxied, unpack('H24', $data) . ' ' . length($data), 0, $from;
    }
});

my @names = qw(plain wild proxy);
my %port;
@port{@names} = $t->ports(scalar @names);
my $has_ip6 = -e '/proc/net/if_inet6' && IO::Socket::IP->new(LocalHost => '::1', Proto => 'udp', Type => SOCK_DGRAM);
my $ip6 = $has_ip6 ? ", \"[::1]:$port{proxy}\"" : '';
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: plain, listen: ["127.0.0.1:$port{plain}"], protocol: udp, pool: echo}
  - {name: wild, listen: ["0.0.0.0:$port{wild}"], protocol: udp, pool: echo}
  - {name: proxy, listen: ["127.0.0.1:$port{proxy}"$ip6], protocol: udp, pool: proxy}
pools:
  - {name: echo, protocol: udp, servers: [{name: a, address: "127.0.0.1:$server_port"}]}
  - {name: proxy, protocol: udp, proxy_protocol: v2, servers: [{name: a, address: "127.0.0.1:$proxied_port"}]}
CONFIG

sub client {
    my ($name, $host) = @_;
    return udp_socket(PeerHost => $host // '127.0.0.1', PeerPort => $port{$name});
}

sub hear {
    my ($client, $count) = @_;
    my ($select, @got) = IO::Select->new($client);
    while (@got < $count && $select->can_read(10)) {
        defined recv $client, my $data, 65536, 0 or last;
        push @got, $data;
    }
    return @got;
}

for my $listener ([ 'plain', '127.0.0.1' ], [ 'wild', '127.0.0.1' ], [ 'wild', '127.0.0.5' ]) {
    my ($name, $host) = @$listener;
    subtest "$name, spoken to at $host" => sub {
        my $c = client($name, $host);
        for my $sizes ([ (100) x 40 ], [ (1200) x 30, 7 ], [ 1, 2, 3, 2, 1, 1, 1 ], [ 5, 0, 5, 0, 0, 5 ], [ (1400) x 3, 65000, 1400 ], [ (9000) x 8 ], [ 65_507, 65_507 ]) {
            my @sent = map { chr(ord('A') + $_ % 26) x $sizes->[$_] } 0 .. $#$sizes;
            send $c, $_, 0 for @sent;
            is_deeply([ map { length } hear($c, scalar @sent) ], $sizes, @$sizes . " datagrams, the first of $sizes->[0] bytes");
        }
    };
}

subtest 'the bytes are those that were sent, flow by flow' => sub {
    my @clients = map { client('plain') } 1 .. 20;
    for my $round (0 .. 9) {
        send $clients[$_], "client $_ round $round" . '.' x ($round % 3), 0 for 0 .. $#clients;
    }
    my @got = map { join ',', hear($_, 10) } @clients;
    for my $i (0 .. $#clients) {
        is($got[$i], join(',', map { "client $i round $_" . '.' x ($_ % 3) } 0 .. 9), "client $i");
    }
};

subtest 'PROXY protocol: each datagram has its header' => sub {
    my $c = client('proxy');
    send $c, 'x' x 10, 0 for 1 .. 20;
    is_deeply([ hear($c, 20) ], [ ('0d0a0d0a000d0a515549540a ' . (16 + 12 + 10)) x 20 ], 'one by one');
    return if !$has_ip6;
    $c = client('proxy', '::1');
    send $c, 'x' x 10, 0;
    is_deeply([ hear($c, 1) ], [ '0d0a0d0a000d0a515549540a ' . (16 + 36 + 10) ], 'the larger one with addresses of IPv6');
};

SKIP: {
    skip 'this kernel has no UDP_SEGMENT', 2 if !$can_segment;
    subtest 'runs of clients' => sub {
        my $c = client('plain');
        setsockopt $c, SOL_UDP, UDP_SEGMENT, pack 'i', 100;
        send $c, join('', map { chr(ord('a') + $_) x 100 } 0 .. 9) . 'end', 0;
        setsockopt $c, SOL_UDP, UDP_SEGMENT, pack 'i', 0;
        is(join(' ', hear($c, 11)), join(' ', (map { chr(ord('a') + $_) x 100 } 0 .. 9), 'end'), 'eleven datagrams, in order');
        $c = client('proxy');
        setsockopt $c, SOL_UDP, UDP_SEGMENT, pack 'i', 10;
        send $c, 'y' x 35, 0;
        is_deeply([ map { s/.* //r - 28 } hear($c, 4) ], [ 10, 10, 10, 5 ], 'with a header for each');
    };
    subtest 'runs of servers' => sub {
        for my $name (qw(plain wild)) {
            my $c = client($name);
            send $c, 'burst 200 12 50', 0;
            is(join(' ', hear($c, 13)), join(' ', (map { chr(ord('a') + $_) x 200 } 0 .. 11), 'z' x 50), "$name: thirteen datagrams, in order");
        }
    };
}

subtest 'servers that answer more than they were asked, or less' => sub {
    for my $name (qw(plain wild)) {
        my $c = client($name);
        my $want = sub {
            my ($count, $what) = @_;
            is_deeply([ map { length } hear($c, $count) ], [ 1 .. $count ], "$name: $what");
        };
        send $c, 'many 2', 0;
        $want->(2, 'two answers to one');
        send $c, 'many 40', 0;
        $want->(40, 'forty');
        send $c, 'none', 0 for 1 .. 20;
        send $c, 'many 3', 0;
        $want->(3, 'three, after twenty that got none');
        send $c, 'many 1', 0 for 1 .. 30;
        is(scalar hear($c, 30), 30, "$name: then one for each of thirty");
        send $c, 'many 9', 0;
        $want->(9, 'nine');
    }
};

subtest 'they are counted as what they are' => sub {
    my $before = $weir->stats_listener('plain');
    my $c = client('plain');
    send $c, 'x' x 50, 0 for 1 .. 25;
    hear($c, 25);
    $t->wait_until(sub { $weir->stats_listener('plain')->{datagrams_out} == $before->{datagrams_out} + 25 }, 'answers');
    my $after = $weir->stats_listener('plain');
    is($after->{datagrams_in} - $before->{datagrams_in}, 25, 'datagrams');
    is($after->{bytes_in} - $before->{bytes_in}, 25 * 50, 'bytes');
    is($after->{datagrams_dropped}, 0, 'none was dropped');
};

is($weir->stop, 0, 'weir ends');
done_testing;
