#!/usr/bin/perl
# UDP where the network is narrower than the datagrams: the kernel takes no run of them then, so they go one by one, in
# fragments, whole and in order.
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM SOL_SOCKET);
use Test::More;
use Weir::Test;

# The loopback device of a namespace of our own has the MTU of Ethernet.
if (!$ENV{WEIR_TEST_NARROW}) {
    plan skip_all => 'needs unshare and ip, and may make no network namespace'
        if system('unshare -n ip link set lo mtu 1500 up >/dev/null 2>&1') != 0;
    $ENV{WEIR_TEST_NARROW} = 1;
    exec 'unshare', '-n', 'sh', '-c', 'ip link set lo mtu 1500 up && exec "$@"', 'sh', $^X, (map { "-I$_" } @INC), $0
        or die "unshare: $!";
}

use constant SO_RCVBUFFORCE => 33;

my $t = Weir::Test->new;

sub udp_socket {
    my $socket = IO::Socket::IP->new(Proto => 'udp', Type => SOCK_DGRAM, @_) or die "udp: $!";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUFFORCE, pack 'i', 4 << 20;
    return $socket;
}

# Keeps what it gets until "now", then sends all of it back.
my $server_port = $t->port;
my $server = udp_socket(LocalHost => '127.0.0.1', LocalPort => $server_port);
$t->spawn(sub {
    my @kept;
    while (1) {
        my $from = recv($server, my $data, 65536, 0) // next;
        push @kept, $data;
        next if $data ne 'now';
        send $server, $_, 0, $from for @kept;
        @kept = ();
    }
});

my $port = $t->port;
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners: [{name: udp, listen: ["0.0.0.0:$port"], protocol: udp, pool: udp}]
pools: [{name: udp, protocol: udp, servers: [{name: a, address: "127.0.0.1:$server_port"}]}]
CONFIG
my ($worker) = $weir->workers;

sub hear {
    my ($client, $count) = @_;
    my ($select, @got) = IO::Select->new($client);
    while (@got < $count && $select->can_read(10)) {
        defined recv $client, my $data, 65536, 0 or last;
        push @got, $data;
    }
    return @got;
}

for my $size (1400, 3000, 9000) {
    my $client = udp_socket(PeerHost => '127.0.0.1', PeerPort => $port);
    my @sent = ((map { chr(ord('a') + $_) x $size } 0 .. 9), 'now');
    # The worker finds all of them when it goes on, and so it does with the answers.
    kill 'STOP', $worker;
    send $client, $_, 0 for @sent;
    kill 'CONT', $worker;
    is(join(' ', hear($client, scalar @sent)), join(' ', @sent), "ten datagrams of $size bytes, there and back");
}
is($weir->stats_listener('udp')->{datagrams_dropped}, 0, 'none was dropped');
is($weir->stop, 0, 'weir ends');
done_testing;
