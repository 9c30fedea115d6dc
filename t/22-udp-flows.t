#!/usr/bin/perl
# 10,000 UDP flows over a reload, with datagrams under way all the time: none is lost, none goes to another client, and no
# flow changes its server.
use strict;
use warnings;
use IO::Socket::IP;
use IPC::Open2 qw(open2);
use POSIX ();
use Socket qw(SOCK_DGRAM SOL_SOCKET);
use Test::More;
use Weir::Test;

use constant { FLOWS => 10_000, WINDOW => 64, SO_RCVBUFFORCE => 33 };

my $t = Weir::Test->new;
my ($cc) = grep { -x } map { my $dir = $_; map { "$dir/$_" } qw(cc gcc clang) } split /:/, $ENV{PATH};
my $flows = $t->path('udp_flows');
if (!$cc || system($cc, '-O1', '-D_GNU_SOURCE', '-o', $flows, ($ENV{WEIR_SRCDIR} // '.') . '/t/lib/udp_flows.c') != 0) {
    plan skip_all => 'no C compiler';
}
my ($hard) = qx{sh -c 'ulimit -Hn'} =~ /^(\d+)/;
plan skip_all => "descriptors are limited to $hard" if defined $hard && $hard < 16_000;

sub server {
    my ($name) = @_;
    my $port = $t->port;
    my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $port, Proto => 'udp', Type => SOCK_DGRAM) or die "udp: $!";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUFFORCE, pack 'i', 8 << 20;
    $t->spawn(sub {
        while (1) {
            my $from = recv($socket, my $data, 65536, 0) // next;
            send $socket, "$name:$data", 0, $from;
        }
    });
    return "{name: $name, address: \"127.0.0.1:$port\"}";
}

my @servers = map { server($_) } qw(a b c);
for my $case ([ 'weighted_round_robin', 2 ], [ 'tuple_hash', 3 ]) {
    my ($balance, $workers) = @$case;
    subtest "$balance, $workers workers after 2" => sub {
        my $port = $t->port;
        my $config = sub {
            return $t->config(<<"CONFIG", workers => $_[0], access => 'off', global => 'limits: {sticky_entries: 200000}');
listeners: [{name: udp, listen: ["127.0.0.1:$port"], protocol: udp, pool: udp}]
pools: [{name: udp, protocol: udp, balance: $balance, servers: [@{[ join ', ', @servers ]}]}]
CONFIG
        };
        my $weir = $t->start_weir(config => $config->(2));
        my $pid = open2(my $out, my $in, $flows, $port, FLOWS, WINDOW);
        is(readline $out, "ready\n", 'all flows are there');
        $weir->reload($config->($workers));
        my $before = $weir->stats_listener('udp')->{datagrams_out};
        $t->wait_until(sub { $weir->stats_listener('udp')->{datagrams_out} >= $before + FLOWS }, 'each has had its turn with the new workers', 60);
        close $in;
        my $result = readline $out;
        waitpid $pid, 0;
        is($result =~ s/^sent \d+ //r, "lost 0 strange 0 moved 0\n", 'none was lost, or went astray') or diag $result;
        cmp_ok(($result =~ /sent (\d+)/)[0], '>=', 2 * FLOWS, 'over the reload');
        is($weir->stats_listener('udp')->{datagrams_dropped}, 0, 'weir dropped none');
        is($weir->stop, 0, 'weir ends');
    };
}

done_testing;
