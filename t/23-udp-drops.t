#!/usr/bin/perl
# UDP that finds no room: whatever is lost on the way through weir is counted, in the kernel's buffers too.
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;

# Sends each datagram back but those that begin with "none"; on "flood FILE" waits for FILE, and then says much.
my $server_port = $t->port;
my $server = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $server_port, Proto => 'udp', Type => SOCK_DGRAM)
    or die "udp: $!";
$t->spawn(sub {
    while (1) {
        my $from = recv($server, my $data, 65536, 0) // next;
        next if $data =~ /^none/;
        send $server, $data, 0, $from;
        if ($data =~ /^flood (\S+)/) {
            select undef, undef, undef, 0.02 while !-e $1;
            send $server, 'f' x 1000, 0, $from for 1 .. 2000;
        }
    }
});

my @names = qw(plain proxy);
my %port;
@port{@names} = $t->ports(scalar @names);
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1, access => 'off'));
listeners:
  - {name: plain, listen: ["127.0.0.1:$port{plain}"], protocol: udp, timeouts: {flow: 10m}, pool: plain}
  - {name: proxy, listen: ["127.0.0.1:$port{proxy}"], protocol: udp, timeouts: {flow: 10m}, pool: proxy}
pools:
  - {name: plain, protocol: udp, servers: [{name: a, address: "127.0.0.1:$server_port"}]}
  - {name: proxy, protocol: udp, proxy_protocol: v2, servers: [{name: a, address: "127.0.0.1:$server_port"}]}
CONFIG
my ($worker) = $weir->workers;

sub client {
    my ($name) = @_;
    return IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port{$name}, Proto => 'udp', Type => SOCK_DGRAM) // die "udp: $!";
}

sub hear {
    my ($client) = @_;
    IO::Select->new($client)->can_read(10) or return undef;
    recv($client, my $data, 65536, 0) // return undef;
    return $data;
}

sub ask {
    my ($client, $data) = @_;
    send $client, $data, 0;
    return hear($client);
}

sub dropped { return $weir->stats_listener($_[0])->{datagrams_dropped} }

# What the kernel has dropped at the sockets whose "local remote" addresses match.
sub kernel_drops {
    my ($addresses) = @_;
    my $sum = 0;
    for my $line (split /\n/, $t->read('/proc/net/udp')) {
        my (undef, $local, $remote, @f) = split ' ', $line;
        $sum += $f[-1] if "$local $remote" =~ $addresses;
    }
    return $sum;
}

sub hex_address { return sprintf '0100007F:%04X', $_[0] }

subtest 'a datagram that its PROXY header makes too large' => sub {
    my $c = client('proxy');
    my $largest = 65_507;
    is(length(ask($c, 'x' x ($largest - 28))), $largest, 'the largest that has room for a header');
    send $c, 'x' x ($largest - 27), 0;
    $t->wait_until(sub { dropped('proxy') == 1 }, 'one byte more: dropped, and counted');
    like(ask($c, 'hello'), qr/hello\z/, 'the flow goes on');
    is($weir->stats_listener('proxy')->{requests}, 1, 'and is the same');
};

subtest 'clients that send more than the listener takes in' => sub {
    my $c = client('plain');
    my $at = hex_address($port{plain});
    ok(ask($c, 'hello'), 'all is well');
    kill 'STOP', $worker;
    for (1 .. 5000) {
        send $c, 'none' . 'x' x 60_000, 0;
        last if $_ % 10 == 0 && kernel_drops(qr/^$at /) > 0;
    }
    my $drops = kernel_drops(qr/^$at /);
    cmp_ok($drops, '>', 0, "the kernel drops $drops");
    kill 'CONT', $worker;
    # The worker asks for the number now and then, when something comes.
    $t->wait_until(sub { send $c, 'none', 0; dropped('plain') >= $drops }, 'they are counted');
};

subtest 'servers that send more than a flow takes in' => sub {
    my $c = client('plain');
    my $go = $t->path('go');
    my $from = hex_address($server_port);
    my $before = dropped('plain');
    is(ask($c, "flood $go"), "flood $go", 'the server is ready');
    kill 'STOP', $worker;
    $t->write('go', '');
    $t->wait_until(sub { kernel_drops(qr/ $from$/) > 0 }, 'the kernel drops what it sends');
    kill 'CONT', $worker;
    defined hear($c) or last for 1 .. 10;
    # The flow ends with the first datagram after its server's maintenance has begun.
    $t->weirctl('-S', $weir->control_socket, 'server', 'plain/a', 'maint');
    my $drops = kernel_drops(qr/ $from$/);
    $t->wait_until(sub { send $c, 'none', 0; $weir->stats_listener('plain')->{active} <= 1 }, 'the flow ends');
    cmp_ok(dropped('plain'), '>=', $before + $drops, 'they are counted when the flow ends');
};

is($weir->stop, 0, 'weir ends');
done_testing;
