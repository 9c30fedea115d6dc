#!/usr/bin/perl
# Methods of balancing, backups and limits of UDP, as clients see them: several workers, real servers.
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my %o = map { $_ => $t->origin($_) } qw(a b c d);

sub servers {
    my %weights = @_;
    return join ', ', map { "{name: $_, address: \"@{[ $o{$_}->address ]}\", $weights{$_}}" } sort keys %weights;
}

sub count {
    my ($port, $count) = @_;
    my %seen;
    for (1 .. $count) {
        my $r = $t->http_get($port, '/');
        $seen{ $r->{status} == 200 ? $r->{body} =~ s/\n//r : $r->{status} }++;
    }
    return \%seen;
}

my %port = map { $_ => $t->port } qw(wrr wlc po2 source tuple backup);
my %method = (wrr => 'weighted_round_robin', wlc => 'weighted_least_connections', po2 => 'power_of_two', source => 'source_hash',
    tuple => 'tuple_hash', backup => 'weighted_round_robin');
my $listeners = join '', map { "  - {name: $_, listen: [\"127.0.0.1:$port{$_}\"], protocol: http, pool: $_}\n" } sort keys %port;
my $weighted = servers(a => 'weight: 1', b => 'weight: 2', c => 'weight: 5', d => 'weight: 0');
my $pools = join '', map { "  - {name: $_, balance: $method{$_}, servers: [$weighted]}\n" } qw(wrr wlc po2 source tuple);
$pools .= '  - {name: backup, health: {type: tcp, interval: 100ms, timeout: 2s, rise: 1, fall: 1}, servers: ['
    . servers(a => 'weight: 1', b => 'backup: on', c => 'weight: 1') . "]}\n";
my $weir = $t->start_weir(config => $t->config("listeners:\n${listeners}pools:\n$pools", workers => 3));

subtest 'methods' => sub {
    my $seen = count($port{wrr}, 160);
    for my $name (qw(a b c)) {
        my $expected = { a => 20, b => 40, c => 100 }->{$name};
        cmp_ok(abs($seen->{$name} - $expected), '<=', 9, "round robin, all workers together: $name") or diag explain $seen;
    }
    for my $method (qw(wlc po2)) {
        my $got = count($port{$method}, 160);
        cmp_ok($got->{c}, '>', $got->{b}, "$method: the heaviest server has most");
        cmp_ok($got->{b}, '>', $got->{a}, "$method: the lightest one least") or diag explain $got;
        ok(!$got->{d}, "$method: one of weight 0 has nothing");
    }
    is(keys %{ count($port{source}, 20) }, 1, 'source hash: one client, one server, whatever worker it is with');
    is(join(' ', sort keys %{ count($port{tuple}, 60) }), 'a b c', 'tuple hash: its connections go to all');
    is($weir->stats_pool('po2')->{balance}, 'power_of_two', 'the method is shown');
};

subtest 'backups' => sub {
    $weir->wait_server('backup', $_, 'up') for qw(a b c);
    is(join(' ', sort keys %{ count($port{backup}, 20) }), 'a c', 'a backup waits');
    ok($weir->stats_server('backup', 'b')->{backup}, 'and is shown as one');
    like($weir->stats_get('/stats.csv')->{body}, qr/^backup,b,(?:[^,]*,){17}0,1,/m, 'in HAProxy\'s words, too');
    $o{$_}->stop for qw(a c);
    is_deeply(count($port{backup}, 6), { b => 6 }, 'all others refuse: it serves, before any check has found them down');
    $weir->wait_server('backup', $_, 'down') for qw(a c);
    is_deeply(count($port{backup}, 6), { b => 6 }, 'and when they are down');
    $o{c}->start;
    $weir->wait_server('backup', 'c', 'up');
    is_deeply(count($port{backup}, 6), { c => 6 }, 'no longer than needed');
    $o{a}->start;
};

is($weir->stop, 0, 'weir ends');

subtest 'limits of UDP' => sub {
    my $port = $t->port;
    my $echo = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0, Type => SOCK_DGRAM, Proto => 'udp') or die $!;
    my $pid = $t->spawn(sub {
        while (my $from = $echo->recv(my $bytes, 2000)) {
            $echo->send($bytes, 0, $from);
        }
    });
    my $its = $echo->sockport;
    $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: u, listen: ["127.0.0.1:$port"], protocol: udp, pool: u, timeouts: {flow: 1h}}
pools:
  - {name: u, protocol: udp, max_connections: 2, servers: [{name: e, address: "127.0.0.1:$its"}]}
CONFIG
    my @c = map { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port, Type => SOCK_DGRAM, Proto => 'udp') } 1 .. 3;
    for my $n (0, 1) {
        $c[$n]->send("x$n");
        IO::Select->new($c[$n])->can_read(15) or die "no answer\n";
        $c[$n]->recv(my $bytes, 100);
        is($bytes, "x$n", 'a flow');
    }
    $c[2]->send('over');
    $t->wait_until(sub { $weir->stats_pool('u')->{queue_full} == 1 }, 'the third is refused');
    is($weir->stats_pool('u')->{active}, 2, 'a third flow is refused, and counted');
    $c[0]->send('again');
    ok(IO::Select->new($c[0])->can_read(15), 'the others go on');
    is($weir->stop('TERM'), 0, 'weir ends');
};

done_testing;
