# HTTP/2 clients under load notice nothing of reloads.  HTTP2_SECONDS=60 for longer.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Weir::Test;
use Weir::Test::H2 qw(:all);

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

# A client of its own: several requests at once, and a new connection when told so.
$t->spawn(sub {
    my %count = (ok => 0, failed => 0, connections => 0);
    my @get = (':method' => 'GET', ':scheme' => 'http', ':path' => '/bytes/300', ':authority' => 'x');
    while (time < $end) {
        my $c = Weir::Test::H2->new($t, $clear);
        $count{connections}++;
        for (my $id = 1; time < $end && !defined $c->{goaway}; $id += 8) {
            my @ids = map { $id + 2 * $_ } 0 .. 3;
            # In one piece: a small segment before it would wait for its acknowledgement.
            $c->send(frame(WINDOW_UPDATE, 0, 0, pack 'N', 1200) . join '', map { frame(HEADERS, END_HEADERS | END_STREAM, $_, fields(@get)) } @ids);
            for (@ids) {
                my $ok = eval { $c->response($_) } && $c->{status}{$_} == 200 && length $c->{body}{$_} == 300;
                $count{ $ok ? 'ok' : 'failed' }++;
            }
            @{ $c->{seen} } = ();
        }
        $c->close;
    }
    $t->write('client', join ' ', map { "$_ $count{$_}" } sort keys %count);
}, 'client.log');

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
for my $who (qw(client curl)) {
    $t->wait_until(sub { length $t->read($who) }, "$who has ended", 30);
    note $who, ': ', $t->read($who);
    like($t->read($who), qr/failed 0 ok [1-9]/, "$who: no request failed") or diag $t->read($who), $t->read('curl-error'), $t->read("$who.log");
}
$t->wait_until(sub { $weir->stats_listener('clear')->{active} == 0 }, 'the old connections have ended');
is($weir->quit, 0, 'weir ends in peace');
done_testing;
