#!/usr/bin/perl
# Rates of sources: connections and requests of one address, or one IPv6 network, in all workers together.  Bursts are as
# long as the test needs and rates low, so that nothing depends on how fast it runs.
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
$t->make_cert($t->path('certs'), 'cert-1', ['localhost']);
my $web = $t->origin('web');
my $echo = $t->tcp_echo('echo');
my $udp_port = $t->port;
my $udp = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $udp_port, Proto => 'udp', Type => SOCK_DGRAM) or die "udp: $!";
$t->spawn(sub {
    while (defined(my $from = recv $udp, my $data, 65536, 0)) {
        send $udp, $data, 0, $from;
    }
});
my @names = qw(web tls tcp udp six front);
my %port;
@port{@names} = $t->ports(scalar @names);
# 60/h with bursts of five minutes: five at once, and the next after a minute.
my $rate = 'connections: 60/h, burst: 5m';
my $body = <<"CONFIG";
listeners:
  - {name: web, listen: ["127.0.0.1:$port{web}"], protocol: http, rate: {requests: 60/h, burst: 5m}, http2: {cleartext: on}, pool: web}
  - {name: tls, listen: ["127.0.0.1:$port{tls}"], protocol: https, rate: {$rate}, tls: {certificate: cert-1}, pool: web}
  - {name: tcp, listen: ["127.0.0.1:$port{tcp}"], protocol: tcp, rate: {$rate}, pool: echo}
  - {name: udp, listen: ["127.0.0.1:$port{udp}"], protocol: udp, rate: {$rate}, pool: udp}
  - {name: six, listen: ["[::1]:$port{six}"], protocol: tcp, rate: {$rate}, proxy_protocol: {from: "::1"}, pool: echo}
  - {name: front, listen: ["127.0.0.1:$port{front}"], protocol: http, rate: {requests: 60/h, burst: 1s}, proxy_protocol: {from: 127.0.0.1}, pool: web}
pools:
  - {name: web, protocol: http, servers: [{name: a, address: "@{[ $web->address ]}"}]}
  - {name: echo, protocol: tcp, servers: [{name: a, address: "@{[ $echo->address ]}"}]}
  - {name: udp, protocol: udp, servers: [{name: a, address: "127.0.0.1:$udp_port"}]}
CONFIG
my $weir = $t->start_weir(config => $t->config($body, workers => 4));

sub get { return $t->http_get($port{web}, '/', @_) }

# Does a new connection get its bytes back?
sub works {
    my ($port, %o) = @_;
    my $c = eval { $t->client($port, host => $o{host} // '127.0.0.1') } or return 0;
    my $got = eval { $c->send(($o{header} // '') . 'ping'); $c->read_bytes(4) } // '';
    $c->close;
    return $got eq 'ping' ? 1 : 0;
}

subtest 'requests' => sub {
    is(join(' ', map { get()->{status} } 1 .. 5), '200 200 200 200 200', 'a burst passes');
    my $r = get();
    is($r->{status}, 429, 'the next one does not');
    like($r->{headers}{'retry-after'}, qr/^(?:[1-9]|[1-5]\d|60)$/, 'Retry-After');
    is($r->{headers}{'proxy-status'}, 'weir; error=http_request_denied', 'Proxy-Status');
    my $c = $t->client($port{web});
    is(join(' ', map { $c->get('/')->{status} } 1 .. 3), '429 429 429', 'the connection stays');
    $r = $c->request('POST', '/', body => 'x' x 20);
    is($r->{status}, 429, 'a request with a body');
    is($r->{headers}{connection}, 'close', '... which nobody reads');
    $c->close;
    is(($t->curl('--http2-prior-knowledge', '-o', '/dev/null', '-w', '%{http_code}', "http://127.0.0.1:$port{web}/"))[1], 429, 'HTTP/2');
    is($t->http_get($port{web}, '/', to => '127.0.0.1', headers => [ 'X-Forwarded-For' => '192.0.2.7' ])->{status}, 429, 'what the client says of itself does not count');
    is($weir->stats_listener('web')->{requests_limited}, 7, 'they are counted');
    $t->wait_until(sub { $t->read('access.log') =~ /"end":"too-often"/ }, 'they are logged');
};

subtest 'sources behind a trusted sender' => sub {
    my @status = map {
        my $answer = $t->raw_exchange($port{front}, "PROXY TCP4 $_ 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        $answer =~ m{^HTTP/1.1 (\d+)};
    } qw(192.0.2.1 192.0.2.1 192.0.2.2);
    is("@status", '200 429 200', 'are those that it names');
};

subtest 'connections' => sub {
    is(join('', map { works($port{tcp}) } 1 .. 7), '1111100', 'TCP');
    is($weir->stats_listener('tcp')->{connections_limited}, 2, 'counted');
    is($weir->stats_listener('tcp')->{connections}, 5, 'the others are no connections');
    my @code = map { ($t->curl('-k', '-o', '/dev/null', '-w', '%{http_code}', "https://127.0.0.1:$port{tls}/"))[1] } 1 .. 6;
    is("@code", '200 200 200 200 200 000', 'TLS');
    my $l = $weir->stats_listener('tls');
    is("$l->{tls_handshakes} $l->{tls_failures} $l->{connections_limited}", '5 0 1', '... refused before it costs anything');
};

subtest 'flows' => sub {
    my @clients = map { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port{udp}, Proto => 'udp', Type => SOCK_DGRAM) } 1 .. 7;
    my $ask = sub { my ($c) = @_; send $c, 'ping', 0; IO::Select->new($c)->can_read(10) && defined recv $c, my $d, 99, 0 };
    ok($ask->($clients[$_]), "flow $_ passes") for 0 .. 4;
    send $_, 'ping', 0 for @clients[ 5, 6 ];
    $t->wait_until(sub { $weir->stats_listener('udp')->{connections_limited} == 2 }, 'two more are dropped');
    ok($ask->($_), 'one that is there goes on') for @clients[ 0 .. 4 ];
    $weir->reload;
    ok($ask->($_), '... over a reload') for @clients[ 0 .. 4 ];
    ok(!IO::Select->new(@clients[ 5, 6 ])->can_read(0), 'the others had no answer');
};

subtest 'IPv6 networks' => sub {
    my $from = sub { works($port{six}, host => '::1', header => "PROXY TCP6 $_[0] ::1 1 2\r\n") };
    is(join('', map { $from->("2001:db8:0:1::$_") } 1 .. 7), '1111100', 'a /64 is one source');
    is($from->('2001:db8:0:2::1'), 1, 'the next is another');
};

subtest 'a reload forgets nothing' => sub {
    $weir->reload;
    is(get()->{status}, 429, 'requests');
    is(works($port{tcp}), 0, 'connections');
    $weir->reload($t->config($body =~ s/requests: 60/requests: 3600/r, workers => 2));
    is($weir->stats_listener('web')->{requests_limited}, 8, 'counts stay');
    $weir->reload($t->config($body =~ s/, rate: \{[^}]*\}//gr, workers => 2));
    is(get()->{status}, 200, 'without a rate all pass');
    is(works($port{tcp}), 1, 'connections, too');
};

is($weir->stop, 0, 'weir ends');
done_testing;
