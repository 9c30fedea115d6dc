#!/usr/bin/perl
# TCP listeners: every byte arrives, in both directions, whether it is copied or passes through pipes in the kernel.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $size = 6 * 1024 * 1024;
my $data = join '', map { pack 'N', $_ * 2654435761 % 4294967296 } 0 .. $size / 4 - 1;

# "digest": answers the MD5 of all it got; "source": sends the data first; "both": sends it back after the end.
my $digest = $t->tcp_server('digest', sub {
    my ($c) = @_;
    $c->send(md5_hex($c->read_until_close));
});
my $source = $t->tcp_server('source', sub {
    my ($c) = @_;
    $c->send($data);
    $c->end_sending;
    my $got = $c->read_until_close;
});
my $echo = $t->tcp_echo('echo');

for my $splice (qw(auto off)) {
    my ($p_digest, $p_source, $p_echo, $p_none) = $t->ports(4);
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: digest, listen: ["127.0.0.1:$p_digest"], protocol: tcp, splice: $splice, pool: digest}
  - {name: source, listen: ["127.0.0.1:$p_source"], protocol: tcp, splice: $splice, pool: source}
  - {name: echo, listen: ["127.0.0.1:$p_echo"], protocol: tcp, splice: $splice, pool: echo}
pools:
  - {name: digest, protocol: tcp, servers: [{name: a, address: "@{[ $digest->address ]}"}]}
  - {name: source, protocol: tcp, servers: [{name: a, address: "@{[ $source->address ]}"}]}
  - {name: echo, protocol: tcp, servers: [{name: a, address: "@{[ $echo->address ]}"}]}
CONFIG
    subtest "splice: $splice" => sub {
        my $c = $t->client($p_digest);
        $c->send($data);
        $c->end_sending;
        is($c->read_until_close, md5_hex($data), 'a long upload arrives whole, and is answered after its end');

        $c = $t->client($p_source);
        my $got = $c->read_bytes($size);
        ok($got eq $data, 'a long download arrives whole');
        is($c->read_until_close, '', 'with its end');
        $c->send('one more word');
        $c->close;

        $c = $t->client($p_echo);
        for my $n (1, 100, 200_000, 3, 65_536, 17) {
            my $piece = substr $data, 1000, $n;
            $c->send($piece);
            ok($c->read_bytes($n) eq $piece, "$n bytes come back on a connection of long and short messages");
        }
        $c->end_sending;
        is($c->read_until_close, '', 'an end of the client is passed on, and the server\'s comes back');

        # More streams at a time than there are pipes, and nobody reads: memory stays bounded, all is there later.
        my @slow = map { $t->client($p_source) } 1 .. 80;
        $t->wait_until(sub { $weir->stats_listener('source')->{active} >= 80 }, 'all slow clients are there');
        my $whole = grep { $_->read_bytes($size) eq $data } @slow[ 0 .. 2, 77 .. 79 ];
        is($whole, 6, 'streams that stood still go on without a loss');
        my ($worker) = $weir->workers;
        my ($rss) = $t->read("/proc/$worker/status") =~ /VmRSS:\s+(\d+)/;
        cmp_ok($rss, '<', 60 * 1024 * (Weir::Test::patience() > 1 ? 20 : 1), 'standing streams hold one buffer each at most');
        $_->reset for @slow;
        $t->wait_until(sub { $weir->stats_listener('source')->{active} == 0 }, 'all have gone');
        my $pipes = grep { (readlink($_) // '') =~ /^pipe:/ } glob "/proc/$worker/fd/*";
        cmp_ok($pipes, '<=', 130, 'pipes are few');

        $c = $t->client($p_digest);
        $c->send(substr $data, 0, 1_000_000);
        $c->reset;
        $t->wait_until(sub { $weir->stats_listener('digest')->{active} == 0 }, 'a reset client is gone');
        my $bytes = $weir->stats_listener('digest')->{bytes_in};
        cmp_ok($bytes, '>=', $size, 'bytes are counted');
        is($weir->stop, 0, 'weir ends');
    };
}

subtest 'splice is an option of plain TCP alone' => sub {
    my ($p) = $t->ports(1);
    my ($exit, undef, $err) = $t->weir('-t', '-c', $t->write('bad.yaml', $t->config(<<"CONFIG")));
listeners:
  - {name: web, listen: ["127.0.0.1:$p"], protocol: http, splice: auto, pool: web}
  - {name: raw, listen: ["127.0.0.1:@{[ $p + 1 ]}"], protocol: tcp, splice: always, pool: raw}
pools:
  - {name: web}
  - {name: raw, protocol: tcp}
CONFIG
    is($exit, 1, 'refused');
    like($err, qr/splice has no meaning here; it is allowed with protocol tcp/, 'not with http');
    like($err, qr{splice.*always.*auto.*off}, 'no other words');
};

done_testing;
