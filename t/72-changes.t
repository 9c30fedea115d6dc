#!/usr/bin/perl
# Reloads and upgrades under full load of every kind at once: not one request fails, and nothing is left over.
# RELOADS and UPGRADES say how many; t/long/changes.t runs a thousand and fifty.
use strict;
use warnings;
use IO::Socket::IP;
use POSIX ();
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(sleep);
use Weir::Test;

my $reloads = $ENV{RELOADS} // 12;
my $upgrades = $ENV{UPGRADES} // 2;
my $t = Weir::Test->new(watchdog => 300 + 5 * ($reloads + 10 * $upgrades));
my ($http, $tls, $tcp, $udp, $extra, $udp_port) = $t->ports(6);
my $a = $t->origin('a');
my $echo = $t->tcp_echo('echo');
$t->make_cert($t->path('certs'), 'web', ['localhost']);
$t->spawn(sub {
    my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $udp_port, Proto => 'udp', Type => SOCK_DGRAM) or die $!;
    while (1) {
        my $from = recv($socket, my $data, 65536, 0) // next;
        send $socket, $data, 0, $from;
    }
});

sub config {
    my ($workers, $has_extra) = @_;
    my $more = $has_extra ? "  - {name: extra, listen: [\"127.0.0.1:$extra\"], protocol: http, pool: web}\n" : '';
    return $t->config(<<"CONFIG", workers => $workers, global => 'limits: {drain: 10s}');
listeners:
  - {name: web, listen: ["127.0.0.1:$http"], protocol: http, pool: web}
  - {name: tls, listen: ["127.0.0.1:$tls"], protocol: https, tls: {certificate: web}, pool: web}
  - {name: raw, listen: ["127.0.0.1:$tcp"], protocol: tcp, pool: raw}
  - {name: dns, listen: ["127.0.0.1:$udp"], protocol: udp, timeouts: {flow: 2s}, pool: dns}
${more}pools:
  - name: web
    health: {type: tcp, interval: 1s, timeout: 5s}
    servers: [{name: a, address: "@{[ $a->address ]}"}]
  - {name: raw, protocol: tcp, servers: [{name: e, address: "@{[ $echo->address ]}"}]}
  - {name: dns, protocol: udp, servers: [{name: e, address: "127.0.0.1:$udp_port"}]}
CONFIG
}

my $weir = $t->start_weir(config => config(3, 0));

# HTTP/2 over TLS, a run after the other; each writes its counts.
$t->spawn(sub {
    open STDOUT, '>>', $t->path('h2') or die $!;
    while (!-e $t->path('stop')) {
        system $t->program('programs/h2clients'), $tls, 'tls', 2, 2, 4, '/bytes/300', 300;
    }
    print "ended\n";
    close STDOUT;
    POSIX::_exit(0);
}, 'h2.err');

sub udp_clients {
    my %sum = (ok => 0, failed => 0);
    while (!-e $t->path('stop')) {
        my $socket = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $udp, Proto => 'udp', Type => SOCK_DGRAM) or die $!;
        for my $n (1 .. 200) {
            send $socket, "datagram $n", 0;
            my $ready = '';
            vec($ready, fileno $socket, 1) = 1;
            my $came = select($ready, undef, undef, 10) > 0;
            recv $socket, my $back, 65536, 0 if $came;
            $sum{ $came && $back eq "datagram $n" ? 'ok' : 'failed' }++;
            sleep 0.002;
        }
    }
    $t->write('udp.sum', "ok $sum{ok} failed $sum{failed}\n");
    POSIX::_exit(0);
}
$t->spawn(\&udp_clients);

my %load = (
    'kept connections' => $t->load(port => $http, clients => 3),
    'a connection for each request' => $t->load(port => $http, clients => 2, requests_per_connection => 1),
    'sessions of TCP' => $t->load(port => $tcp, clients => 2, tcp => 1, requests_per_connection => 200),
);
$_->wait_ok(10) for values %load;

sub descriptors { my @all = glob "/proc/$_[0]/fd/*"; return scalar @all }
sub resident { my ($kb) = $t->read("/proc/$_[0]/status") =~ /VmRSS:\s+(\d+)/; return $kb }

sub change {
    my ($n) = @_;
    my $workers = 1 + $n % 4;
    my $has_extra = $n % 3 == 1;
    $weir->reload(config($workers, $has_extra));
    my $answer = eval { $t->http_get($extra, '/')->{status} } // 'none';
    return $has_extra ? $answer eq '200' : $answer ne '200' || $weir->workers('draining');
}

sub upgrade {
    my $old = $weir->pid;
    $weir->signal('USR2');
    $weir->follow_pid_file;
    $t->wait_until(sub { waitpid $old, POSIX::WNOHANG(); !kill 0, $old }, 'the old master is gone', 60);
    return $weir->pid != $old;
}

# Sockets for the largest number of workers stay open: the measure is taken when all were there.
change($_) for 0 .. 5;
upgrade();
$weir->reload(config(3, 0));
my %before = (fds => descriptors($weir->pid), kb => resident($weir->pid));

my ($served, $taken) = (0, 0);
for my $n (1 .. $reloads) {
    $served++ if change($n);
    next if $n % POSIX::ceil($reloads / $upgrades);
    $taken++ if upgrade();
}
$taken++ while $taken < $upgrades && upgrade();
is($served, $reloads, "$reloads reloads: what is configured is served");
is($taken, $upgrades, "$upgrades upgrades: another master each time");
$weir->reload(config(3, 0));
$_->wait_ok(10) for values %load;
for my $kind (sort keys %load) {
    my $r = $load{$kind}->stop;
    is($r->{failed}, 0, "$kind: none of $r->{ok} failed") or diag explain $r->{reasons};
}
$t->write('stop', '');
my ($udp_ok, $udp_failed) = @{ $t->wait_until(sub { my @n = $t->read('udp.sum') =~ /ok (\d+) failed (\d+)\n/; @n && \@n }, 'UDP clients end', 60) };
is($udp_failed, 0, "datagrams: none of $udp_ok failed");
$t->wait_until(sub { $t->read('h2') =~ /^ended$/m }, 'HTTP/2 clients end', 60);
my ($h2_ok, $h2_failed) = (0, 0);
$h2_ok += $_ for $t->read('h2') =~ /ok (\d+)/g;
$h2_failed += $_ for $t->read('h2') =~ /failed (\d+)/g;
is($h2_failed, 0, "HTTP/2 over TLS: none of $h2_ok failed") or diag $t->read('h2.err');
cmp_ok($h2_ok, '>', 0, 'of many');

$t->wait_until(sub { $weir->children == 4 }, 'three workers and control remain', 60);
ok(eval { $t->wait_until(sub { descriptors($weir->pid) <= $before{fds} }, 'descriptors', 30) }, "the master has $before{fds} descriptors, as before")
    or diag descriptors($weir->pid);
my $kb = resident($weir->pid);
cmp_ok($kb, '<', $before{kb} + 2048, "and no more memory: $before{kb} kB before, $kb kB now");
my $stats = $weir->stats;
is($stats->{worker_deaths}, 0, 'no worker died');
is($stats->{reload_failures}, 0, 'no reload failed');
$weir->quit;
ok(!$weir->is_running, 'weir ends in peace');
done_testing;
