# Connections that last are taken over from OpenSSL, those that come and go are not: both must serve alike.
use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $port = $t->port;
my $a = $t->origin('a');
$t->make_cert($t->path('certs'), 'web', ['localhost'], type => 'ec');
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: https, tls: {certificate: web, alpn: [http/1.1]}, pool: web}
pools:
  - {name: web, servers: [{name: a, address: "@{[ $a->address ]}"}]}
CONFIG

# Two requests on one connection, the second with a body of several records each way.
sub serves {
    my $upload = $t->write('upload', 'u' x 100_000);
    my ($status, $out, $err) = $t->curl('-sSk', '-m', 20, "https://127.0.0.1:$port/", '--next', '-sSk', '-m', 20,
        '--data-binary', "\@$upload", '-w', '%{num_connects}', "https://127.0.0.1:$port/bytes/200000");
    is($status, 0, 'served') or diag $err;
    is(length $out, length("a\n") + 200_000 + 1, 'whole');
    like($out, qr/0\z/, 'on one connection');
    is(length $a->last_request->{body}, 100_000, 'and the server got all');
    return;
}

subtest 'at first connections are expected to last' => \&serves;

subtest 'after many that came and went' => sub {
    my $before = $weir->stats_listener('web')->{tls_handshakes};
    $t->curl('-sk', '-m', 20, '-H', 'Connection: close', "https://127.0.0.1:$port/[1-60]");
    is($weir->stats_listener('web')->{tls_handshakes}, $before + 60, 'sixty short connections');
    serves();
    is($weir->stats_listener('web')->{tls_failures}, 0, 'no handshake failed');
};

is($weir->quit, 0, 'weir ends in peace');
done_testing;
