# Connections that last are taken over from OpenSSL, those that come and go are not: both must serve alike.
use strict;
use warnings;
use POSIX ();
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

# openssl s_client with -msg, driven line by line: it says what it sends and gets.
sub s_client {
    my ($name, @args) = @_;
    my ($fifo, $out) = ($t->path("$name.fifo"), $t->path("$name.out"));
    POSIX::mkfifo($fifo, 0600) or die "mkfifo: $!";
    my $pid = $t->spawn(sub {
        open STDIN, '<', $fifo or die "$fifo: $!";
        open STDOUT, '>', $out or die "$out: $!";
        open STDERR, '>', '/dev/null';
        exec qw(openssl s_client -msg -tls1_3 -connect), "127.0.0.1:$port", @args;
    });
    open my $in, '>', $fifo or die "$fifo: $!";
    my $say = sub { syswrite $in, $_[0] };
    my $hear = sub { my ($re, $n) = @_; $t->wait_until(sub { my $k = () = $t->read($out) =~ /$re/mg; $k >= $n }, "$n x $re"); pass("$n x $re") };
    $t->wait_until(sub { $t->read($out) =~ /^SSL handshake has read/m }, 'the handshake is over');
    return ($say, $hear, sub { close $in; $t->end_process($pid, 'TERM'); return $t->read($out) });
}
my $request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

subtest 'keys change on the way' => sub {
    my ($say, $hear, $end) = s_client('update');
    $say->($request);
    $hear->(qr{^HTTP/1\.1 200}m, 1);
    $say->("k\n");
    $hear->(qr/^>>> TLS 1\.3, Handshake \[length 0005\], KeyUpdate/m, 1);
    $say->($request);
    $hear->(qr{^HTTP/1\.1 200}m, 2);
    for my $round (1 .. 3) {
        $say->("K\n");
        $hear->(qr/^>>> TLS 1\.3, Handshake \[length 0005\], KeyUpdate/m, 1 + $round);
        $say->($request);
        $hear->(qr/^<<< TLS 1\.3, Handshake \[length 0005\], KeyUpdate/m, $round);
        $hear->(qr{^HTTP/1\.1 200}m, 2 + $round);
    }
    my $out = $end->();
    is(() = $out =~ /^<<< TLS 1\.3, Handshake \[length 0005\], KeyUpdate/mg, 3, 'weir changes its own when asked, and only then');
};

# Lengths of the records that came, data or not.
sub lengths {
    my ($name) = @_;
    return map { hex s/ //gr } $t->read($t->path("$name.out")) =~ /<<< TLS 1\.2, RecordHeader \[length 0005\]\n\s+17 03 03 (.. ..)/g;
}

for my $case (['short', 20_000, '-maxfraglen', 512], ['grow', 200_000]) {
    my ($name, $size, @args) = @$case;
    subtest "records: $name" => sub {
        my ($say, $hear, $end) = s_client($name, @args);
        $say->("GET /bytes/$size HTTP/1.1\r\nHost: x\r\n\r\n");
        $t->wait_until(sub { my $sum = 0; $sum += $_ for lengths($name); $sum > $size }, 'all of it');
        my @lens = lengths($name);
        $end->();
        if (@args) {
            is_deeply([grep { $_ > 512 + 1 + 16 } @lens], [], 'as short as a client wants them');
        } else {
            cmp_ok(scalar(grep { $_ > 1000 && $_ < 1500 } @lens), '>=', 10, 'the first fit a frame each');
            cmp_ok(scalar(grep { $_ > 16000 } @lens), '>=', 9, 'then they are as long as can be');
        }
    };
}

subtest 'after many that came and went' => sub {
    my $before = $weir->stats_listener('web')->{tls_handshakes};
    $t->curl('-sk', '-m', 20, '-H', 'Connection: close', "https://127.0.0.1:$port/[1-60]");
    is($weir->stats_listener('web')->{tls_handshakes}, $before + 60, 'sixty short connections');
    serves();
    is($weir->stats_listener('web')->{tls_failures}, 0, 'no handshake failed');
};

is($weir->quit, 0, 'weir ends in peace');
done_testing;
