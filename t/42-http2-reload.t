# HTTP/2 clients under load notice nothing of reloads.  HTTP2_SECONDS=60 for longer.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Weir::Test;

my $seconds = $ENV{HTTP2_SECONDS} // 5;
my $t = Weir::Test->new(watchdog => 300 + $seconds);
my ($tls, $clear) = $t->ports(2);
my $a = $t->origin('a');
$t->make_cert($t->path('certs'), 'web', ['localhost'], type => 'ec');
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", access => 'off'));
listeners:
  - {name: tls, listen: ["127.0.0.1:$tls"], protocol: https, tls: {certificate: web, alpn: [h2, http/1.1]}, pool: web}
  - {name: clear, listen: ["127.0.0.1:$clear"], protocol: http, http2: {cleartext: on}, pool: web}
pools:
  - {name: web, servers: [{name: a, address: "@{[ $a->address ]}"}]}
CONFIG
my $end = time + $seconds;

# Clients under load that connect again after GOAWAY, over TLS and in the clear: no request that weir took may fail.
my %clients = (tls => $tls, clear => $clear);
for my $how (sort keys %clients) {
    $t->spawn(sub {
        open STDOUT, '>', $t->path("clients-$how");
        exec $t->program('programs/h2clients'), $clients{$how}, $how, $seconds, 4, 8, '/bytes/300', 300;
    }, "clients-$how.err");
}

# And curl, which must not see an error either.
$t->spawn(sub {
    my ($ok, $failed) = (0, 0);
    while (time < $end) {
        my ($status, $out) = $t->curl('-k', '--http2', '-o', '/dev/null', '-o', '/dev/null', '-o', '/dev/null', '-w', '%{http_version}:%{http_code}\n',
            map { "https://127.0.0.1:$tls/bytes/$_" } 100, 1000, 100_000);
        $status == 0 && $out eq "2:200\n" x 3 ? $ok++ : $failed++;
        $t->write('curl-error', "$status $out") if $failed;
    }
    $t->write('curl', "failed $failed ok $ok");
}, 'curl.log');

my $reloads = 0;
for (my $next = time + 1; time < $end; $next += 1) {
    $weir->reload;
    $reloads++;
    select undef, undef, undef, $next - time if $next > time;
}
cmp_ok($reloads, '>=', 1, "$reloads reloads");
for my $how (sort keys %clients) {
    $t->wait_until(sub { $t->read("clients-$how") =~ /\n$/ }, "clients, $how: they have ended", 30);
    my %count = split /\s+/, $t->read("clients-$how");
    note join ' ', $how, %count;
    is($count{failed}, 0, "clients, $how: no request failed that was sent") or diag $t->read("clients-$how"), $t->read("clients-$how.err");
    is($count{ok}, $count{sent} - $count{unprocessed}, "clients, $how: each was answered");
    cmp_ok($count{goaways}, '>=', 1, "clients, $how: they were told to go");
    cmp_ok($count{unprocessed}, '<=', $count{goaways}, "clients, $how: hardly one had to be sent again");
}
$t->wait_until(sub { length $t->read('curl') }, 'curl has ended', 30);
like($t->read('curl'), qr/failed 0 ok [1-9]/, 'curl: no request failed') or diag $t->read('curl'), $t->read('curl-error'), $t->read('curl.log');
$t->wait_until(sub { $weir->stats_listener('clear')->{active} == 0 }, 'the old connections have ended');
is($weir->quit, 0, 'weir ends in peace');
done_testing;
