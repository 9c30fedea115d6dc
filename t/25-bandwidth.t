#!/usr/bin/perl
# Bandwidth limits: shared by listeners and workers, in each direction, for all that listeners speak.  That nothing comes
# faster than it may is seen whatever else the machine does; how near it comes is shown in t/unit/bucket.c.
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(time);
use Weir::Test;

my $t = Weir::Test->new;
my ($rate, $size) = (1_000_000, 600_000);    # bytes a second, bytes
my $least = ($size - 0.1 * $rate - 70_000) / $rate;    # a burst, and what was on its way

$t->make_cert($t->path('certs'), 'cert-1', ['localhost']);
my $web = $t->origin('web', handler => sub {
    my ($request) = @_;
    return { body => length $request->{body} } if $request->{method} eq 'POST';
    return { body => 'x' x $size };
});
# "N\n": sends N bytes; else says how many came, when the client ends.
my $bytes = $t->tcp_server('bytes', sub {
    my ($c) = @_;
    my $first = $c->read_match(qr/\n/);
    return $c->send('y' x $1) if $first =~ /^(\d+)\n/;
    $c->send(length($c->read_until_close) . "\n");
});
my $udp_port = $t->port;
my $udp = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $udp_port, Proto => 'udp', Type => SOCK_DGRAM) or die "udp: $!";
$t->spawn(sub {
    while (defined(my $from = recv $udp, my $data, 65536, 0)) {
        send $udp, $data, 0, $from;
    }
});

my @kinds = qw(http https tcp copied udp free);
my %port;
@port{@kinds} = $t->ports(scalar @kinds);
my $extra = $t->port;
my $body = <<"CONFIG";
bandwidths:
  http: {in: 8m, out: 8m}
  https: {in: 8m, out: 8m}
  tcp: {in: 8m, out: 8m}
  copied: {out: 8m}
  udp: {in: 160k, out: 80k}
  one-way: {in: 64k}
listeners:
  - {name: http, listen: ["127.0.0.1:$port{http}"], protocol: http, bandwidth: http, http2: {cleartext: on}, pool: web}
  - {name: http-too, listen: ["127.0.0.1:$extra"], protocol: http, bandwidth: http, pool: web}
  - {name: https, listen: ["127.0.0.1:$port{https}"], protocol: https, bandwidth: https, tls: {certificate: cert-1, alpn: [h2, http/1.1]}, pool: web}
  - {name: tcp, listen: ["127.0.0.1:$port{tcp}"], protocol: tcp, bandwidth: tcp, pool: bytes}
  - {name: copied, listen: ["127.0.0.1:$port{copied}"], protocol: tcp, splice: off, bandwidth: copied, pool: bytes}
  - {name: udp, listen: ["127.0.0.1:$port{udp}"], protocol: udp, bandwidth: udp, pool: udp}
  - {name: free, listen: ["127.0.0.1:$port{free}"], protocol: http, bandwidth: one-way, pool: web}
pools:
  - {name: web, protocol: http, servers: [{name: a, address: "@{[ $web->address ]}"}]}
  - {name: bytes, protocol: tcp, servers: [{name: a, address: "@{[ $bytes->address ]}"}]}
  - {name: udp, protocol: udp, servers: [{name: a, address: "127.0.0.1:$udp_port"}]}
CONFIG
my $file = $t->write('upload', 'u' x $size);

# Runs each in a process of its own: [ what it found, seconds ].
sub together {
    my @runs = map {
        my $sub = $_;
        pipe my $out, my $in or die "pipe: $!";
        $t->spawn(sub {
            close $out;
            my $start = time;
            my $found = $sub->();
            print {$in} $found, "\n", time - $start, "\n";
            close $in;
        });
        close $in;
        $out;
    } @_;
    return map { chomp(my ($found, $seconds) = readline $_); [ $found, $seconds ] } @runs;
}

# Not $t->curl, which processes side by side cannot use.
sub curl {
    my ($arguments) = @_;
    return scalar qx{curl -q -sS -k --noproxy '*' --max-time 60 $arguments};
}

sub download {
    my ($url, @more) = @_;
    return sub { curl("-o /dev/null -w '%{size_download}' @more $url") };
}

sub upload {
    my ($url, @more) = @_;
    return sub { curl("-H Expect: --data-binary '\@$file' @more $url") };
}

sub stream {
    my ($port) = @_;
    return sub {
        my $c = $t->client($port);
        $c->send("$size\n");
        return length $c->read_until_close;
    };
}

sub push_stream {
    my ($port) = @_;
    return sub {
        my $c = $t->client($port);
        $c->send("go\n");
        $c->send('z' x $size);
        $c->end_sending;
        return $c->read_until_close =~ s/\n//r;
    };
}

for my $workers (1, 4) {
    subtest "with $workers workers" => sub {
        my $weir = $t->start_weir(config => $t->config($body, workers => $workers));
        my @what = ('HTTP/1, down', 'HTTP/1, up', 'HTTPS with HTTP/2, down', 'HTTPS with HTTP/2, up', 'TCP, down', 'TCP, up', 'TCP copied, down');
        my @runs = together(
            download("http://127.0.0.1:$port{http}/"), upload("http://127.0.0.1:$port{http}/", '--http1.1'),
            download("https://localhost:$port{https}/", '--http2'), upload("https://localhost:$port{https}/", '--http2'),
            stream($port{tcp}), push_stream($port{tcp}), stream($port{copied}));
        for my $i (0 .. $#runs) {
            is($runs[$i][0], $size, "$what[$i]: all bytes come");
            cmp_ok($runs[$i][1], '>=', $least, '... not before their time');
        }
        cmp_ok($weir->stats_listener($_)->{held}, '>', 0, "$_ was held") for qw(http https tcp copied);
        @runs = together(download("http://127.0.0.1:$port{http}/"), download("http://127.0.0.1:$extra/"), download("http://127.0.0.1:$port{http}/", '--http2-prior-knowledge'));
        is($_->[0], $size, 'all bytes come') for @runs;
        my ($last) = sort { $b <=> $a } map { $_->[1] } @runs;
        cmp_ok($last, '>=', (3 * $size - 0.1 * $rate - 200_000) / $rate, 'two listeners and three connections share one limit');
        is((together(download("http://127.0.0.1:$port{free}/")))[0][0], $size, 'the direction without a limit');
        is($weir->stats_listener('free')->{held}, 0, '... is not held');
        is($weir->stop, 0, 'weir ends');
    };
}

subtest 'datagrams' => sub {
    my $weir = $t->start_weir(config => $t->config($body, workers => 1));
    my $c = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port{udp}, Proto => 'udp', Type => SOCK_DGRAM) or die "udp: $!";
    my $select = IO::Select->new($c);
    # 2,000 bytes of "in" and 1,000 of "out" are there at once; so two of these pass, and one of their answers.
    my $start = time;
    send $c, 'd' x 1500, 0 for 1 .. 20;
    $t->wait_until(sub { my $l = $weir->stats_listener('udp'); $l->{datagrams_in} + $l->{datagrams_limited} >= 20 }, 'all have come');
    my $elapsed = time - $start;
    my $l = $weir->stats_listener('udp');
    cmp_ok($l->{datagrams_in}, '>=', 1, 'some pass');
    cmp_ok($l->{bytes_in}, '<=', 2000 + 1500 + 20_000 * $elapsed, 'and not more than may');
    cmp_ok($l->{datagrams_limited}, '>', 0, 'the others are counted');
    ok($select->can_read(10), 'an answer passes, too');
    is($weir->stop, 0, 'weir ends');
};

subtest 'a reload changes the limit, and keeps what was taken' => sub {
    my $weir = $t->start_weir(config => $t->config($body, workers => 1));
    my ($run) = together(sub {
        my $c = $t->client($port{tcp});
        $c->send("3000000\n");
        my $got = length $c->read_bytes(300_000);
        $weir->reload($t->config($body =~ s/(  tcp: .*out: )8m/${1}1g/r, workers => 1));
        my $next = $t->client($port{tcp});
        $next->send("$size\n");
        return $got + length $next->read_until_close;
    });
    is($run->[0], 300_000 + $size, 'new connections are under the new one');
    is($weir->stop, 0, 'weir ends');
};

done_testing;
