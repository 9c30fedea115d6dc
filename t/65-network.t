#!/usr/bin/perl
# A network that loses packets: servers and clients that vanish without a word, and links that drop some of everything.
# Runs in a network namespace of its own, where nftables decides what is lost.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Test::More;

if (!$ENV{WEIR_TEST_NAMESPACE}) {
    my $tools = grep({ my $tool = $_; grep { -x "$_/$tool" } qw(/usr/sbin /sbin /usr/bin /bin) } qw(unshare ip nft)) == 3;
    plan skip_all => 'needs unshare, ip and nft' if !$tools;
    $ENV{PATH} .= ':/usr/sbin:/sbin';
    my $able = system('unshare -n sh -c "ip link set lo up && nft add table inet t && nft delete table inet t" >/dev/null 2>&1') == 0;
    plan skip_all => 'may not make a network namespace with packet filters here' if !$able;
    $ENV{WEIR_TEST_NAMESPACE} = 1;
    exec 'unshare', '-n', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh', $^X, (map { "-I$_" } @INC), $0 or die "unshare: $!";
}

require Weir::Test;
my $t = Weir::Test->new;

# Packets of this kind are lost from now on; none: nothing is.
sub lose {
    my (@rules) = @_;
    my $text = "flush ruleset\n";
    $text .= join "\n", 'table inet t {', 'chain c {', 'type filter hook input priority 0', (map { "$_ drop" } @rules), "}\n}\n"
        if @rules;
    my ($status, undef, $err) = $t->run('nft', '-f', '-', { stdin => $text });
    die "nft: $err" if $status != 0;
}

subtest 'a server that vanishes' => sub {
    my $port = $t->port;
    my ($a, $b) = map { $t->origin($_) } qw(a b);
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
  - name: web
    listen: ["127.0.0.1:$port"]
    protocol: http
    timeouts: {connect: 300ms, response: 1s}
    pool: web
pools:
  - name: web
    health: {type: http, path: /check, interval: 200ms, timeout: 300ms, rise: 2, fall: 2}
    servers:
      - {name: a, address: "@{[ $a->address ]}"}
      - {name: b, address: "@{[ $b->address ]}"}
CONFIG
    $weir->wait_server('web', $_, 'up') for qw(a b);
    my $load = $t->load(port => $port, clients => 4, keepalive => 0);
    $load->wait_ok(50);
    lose("tcp dport @{[ $a->port ]} tcp flags syn");
    is($weir->wait_server('web', 'a', 'down')->{last_check}, 'timeout', 'its health checks time out');
    $load->wait_ok(50);
    lose();
    $weir->wait_server('web', 'a', 'up');
    $load->wait_ok(50);
    my $result = $load->stop;
    is($result->{failed}, 0, 'no request fails: those that cannot connect in time go to the other server')
        or diag explain $result->{reasons};
    cmp_ok($result->{bodies}{"a\n"} // 0, '>', 0, 'both servers answered');
    cmp_ok($result->{bodies}{"b\n"} // 0, '>', 0, 'before and after');
    $weir->stop;
};

subtest 'a server that vanishes between head and body' => sub {
    my $port = $t->port;
    my $half = $t->tcp_server('half', sub {
        my ($conn) = @_;
        $conn->read_match(qr/\r\n\r\n/);
        $conn->send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        $conn->read_until_close;
    });
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, timeouts: {response: 500ms}, pool: web}
pools:
  - name: web
    servers: [{name: half, address: "@{[ $half->address ]}"}]
CONFIG
    my ($bytes, $end) = $t->raw_exchange($port, [ "GET / HTTP/1.1\r\nHost: x\r\n\r\n", sub {
        $_[0]->read_match(qr/half/);
        lose("tcp sport @{[ $half->port ]}", "tcp dport @{[ $half->port ]}");
    } ], timeout => 20);
    isnt($end, 'timeout', 'the client is told by the end of its connection');
    ok($t->wait_until(sub { $weir->stats_listener('web')->{active} == 0 }, 'both connections are gone'), 'nothing is left of it');
    lose();
    $weir->stop;
};

subtest 'a client that vanishes' => sub {
    my $port = $t->port;
    my $a = $t->origin('a');
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, timeouts: {client_body: 500ms, client_idle: 500ms}, pool: web}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $a->address ]}"}]
CONFIG
    my $client = $t->client($port);
    $client->send("GET /bytes/50000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    $client->read_bytes(100_000);
    lose("tcp sport $port", "tcp dport $port");
    ok($t->wait_until(sub { $weir->stats_listener('web')->{active} == 0 }, 'the client is gone'), 'the client is given up');
    ok($t->wait_until(sub { $weir->stats_server('web', 'a')->{active} == 0 }, 'the server is free'), 'and its server is free');
    lose();
    is($t->http_get($port, '/')->{status}, 200, 'others are served');
    $weir->stop;
};

subtest 'a link that loses one packet in fifty' => sub {
    my ($http, $tcp) = $t->ports(2);
    my $a = $t->origin('a');
    my $echo = $t->tcp_echo('echo');
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
  - {name: web, listen: ["127.0.0.1:$http"], protocol: http, pool: web}
  - {name: raw, listen: ["127.0.0.1:$tcp"], protocol: tcp, pool: raw}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $a->address ]}"}]
  - name: raw
    protocol: tcp
    servers: [{name: echo, address: "@{[ $echo->address ]}"}]
CONFIG
    my $expected = sha256_hex($t->http_get($a->port, '/bytes/300000')->{body});
    lose('numgen random mod 50 0');
    my @wrong = grep { sha256_hex($t->http_get($http, '/bytes/300000')->{body} // '') ne $expected } 1 .. 10;
    is("@wrong", '', 'large responses come whole and unchanged');
    my $sent = join '', map { pack 'N', $_ } 1 .. 50_000;
    my ($bytes, $end) = $t->raw_exchange($tcp, $sent, half_close => 1, timeout => 60);
    is(sha256_hex($bytes), sha256_hex($sent), 'so does what a TCP server echoes');
    is($end, 'closed', 'and the end of it');
    lose();
    $weir->stop;
};

done_testing;
