#!/usr/bin/perl
# Servers that are killed, frozen, refuse, reset, are slow, or accept and say nothing, while clients send requests: what
# doc/balancing.md promises is what they see.
use strict;
use warnings;
use IO::Socket::IP;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my %o = map { $_ => $t->origin($_) } qw(a b c);
my $dead = $t->port;

sub server {
    my ($name, $address) = @_;
    return "{name: $name, address: \"" . ($address // $o{$name}->address) . '"}';
}

sub start {
    my ($pool, %o) = @_;
    my $port = $t->port;
    my $protocol = $o{protocol} // 'http';
    my $timeouts = $o{timeouts} // '{}';
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 2));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: $protocol, pool: web, timeouts: $timeouts}
pools:
  - {name: web, protocol: $protocol, $pool}
CONFIG
    return ($weir, $port);
}

my $checks = 'health: {type: http, interval: 100ms, timeout: 300ms, rise: 1, fall: 2}';

sub statuses {
    my ($port, $count) = @_;
    my %seen;
    for (1 .. $count) {
        my $r = $t->http_get($port, '/');
        $seen{ $r->{status} == 200 ? $r->{body} =~ s/\n//r : $r->{status} }++;
    }
    return \%seen;
}

subtest 'killed' => sub {
    my ($weir, $port) = start("$checks, servers: [@{[ server('a') ]}, @{[ server('b') ]}]");
    $weir->wait_server('web', $_, 'up') for qw(a b);
    my $load = $t->load(port => $port, clients => 6);
    $load->wait_ok(200);
    $o{a}->stop;
    $load->wait_ok(200);
    $weir->wait_server('web', 'a', 'down');
    my $failed = $load->failed_count;
    cmp_ok($failed, '<=', 6, 'at most what was with it fails: one request of each client');
    $load->wait_ok(200);
    is($load->failed_count, $failed, 'nothing after that');
    $o{a}->start;
    $weir->wait_server('web', 'a', 'up');
    my $before = $o{a}->request_count;
    $load->wait_ok(400);
    my $result = $load->stop;
    is($result->{failed}, $failed, 'nor when it comes back');
    cmp_ok($o{a}->request_count, '>', $before, 'when it gets requests again');
    my %expected = map { $_ => 1 } qw(200 502);
    is_deeply([ grep { !$expected{$_} } keys %{ $result->{statuses} } ], [], 'the answers were good, or 502') or diag explain $result;
    is($weir->stop, 0, 'weir ends');
};

subtest 'refusing' => sub {
    my ($weir, $port) = start("servers: [@{[ server('a') ]}, @{[ server('x', qq{127.0.0.1:$dead}) ]}, @{[ server('b') ]}]");
    my $load = $t->load(port => $port, clients => 4, keepalive => 0);
    $load->wait_ok(300);
    my $result = $load->stop;
    is($result->{failed}, 0, 'without health checks another server is tried: no client sees it') or diag explain $result;
    ok($weir->stats_pool('web')->{retries} > 0, 'each time');
    ok($weir->stats_server('web', 'x')->{connect_errors} > 0, 'which is counted');
    is($weir->stop, 0, 'weir ends');
    my ($alone, $its_port) = start("servers: [@{[ server('x', qq{127.0.0.1:$dead}) ]}]");
    my $r = $t->http_get($its_port, '/');
    is($r->{status}, 503, 'the only one refuses: 503');
    is($r->{headers}{'proxy-status'}, 'weir; error=connection_refused', 'and the reason');
    is($alone->stop, 0, 'weir ends');
};

subtest 'frozen' => sub {
    my ($weir, $port) = start("$checks, servers: [@{[ server('a') ]}, @{[ server('b') ]}]", timeouts => '{response: 1s}');
    $weir->wait_server('web', $_, 'up') for qw(a b);
    my $load = $t->load(port => $port, clients => 4);
    $load->wait_ok(100);
    kill 'STOP', $o{a}->pid;
    $weir->wait_server('web', 'a', 'down');
    is($weir->stats_server('web', 'a')->{last_check}, 'timeout', 'health checks find it')
        or diag explain $weir->stats_server('web', 'a');
    $load->wait_ok(200);
    kill 'CONT', $o{a}->pid;
    $weir->wait_server('web', 'a', 'up');
    $load->wait_ok(200);
    my $result = $load->stop;
    cmp_ok($result->{failed}, '<=', 4, 'at most what was with it fails, and is not repeated') or diag explain $result;
    is_deeply([ grep { $_ ne '200' && $_ ne '504' } keys %{ $result->{statuses} } ], [], 'the answers were good, or 504');
    is($weir->stop, 0, 'weir ends');
};

subtest 'frozen, without health checks' => sub {
    my ($weir, $port) = start("eject: {errors: 2, time: 300ms}, servers: [@{[ server('a') ]}, @{[ server('b') ]}]",
        timeouts => '{response: 300ms}');
    kill 'STOP', $o{a}->pid;
    my $seen = statuses($port, 8);
    is_deeply([ sort keys %$seen ], [ 504, 'b' ], 'some are answered by the other, some with 504');
    is($seen->{504}, 2, 'two: then it is left out') or diag explain $seen;
    kill 'CONT', $o{a}->pid;
    $t->wait_until(sub { $t->http_get($port, '/')->{body} eq "a\n" }, 'it comes back');
    is_deeply([ sort keys %{ statuses($port, 8) } ], [ 'a', 'b' ], 'and serves again');
    is($weir->stop, 0, 'weir ends');
};

# The kernel accepts for it, up to its backlog; then it does not even answer SYN.
subtest 'half-open' => sub {
    my $deaf = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1, Proto => 'tcp') or die $!;
    my $address = '127.0.0.1:' . $deaf->sockport;
    my ($weir, $port) = start("servers: [@{[ server('x', $address) ]}, @{[ server('b') ]}]",
        timeouts => '{connect: 300ms, response: 300ms}');
    my $r = (grep { $_->{status} != 200 } map { $t->http_get($port, '/') } 1 .. 2)[0];
    is($r->{status}, 504, 'it accepts and says nothing: 504');
    is($r->{headers}{'proxy-status'}, 'weir; error=http_response_timeout', 'and the reason');
    my @fill = map { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $deaf->sockport, Proto => 'tcp', Blocking => 0) } 1 .. 8;
    my $before = $weir->stats_server('web', 'x')->{connect_errors};
    is_deeply([ keys %{ statuses($port, 4) } ], ['b'], 'it does not even accept: another server is tried');
    cmp_ok($weir->stats_server('web', 'x')->{connect_errors}, '>', $before, 'after the connect timeout');
    is($weir->stop, 0, 'weir ends');
    my ($alone, $its_port) = start("servers: [@{[ server('x', $address) ]}]", timeouts => '{connect: 300ms}');
    $r = $t->http_get($its_port, '/');
    is($r->{status}, 504, 'the only one does not accept: 504');
    is($r->{headers}{'proxy-status'}, 'weir; error=connection_timeout', 'and the reason');
    is($alone->stop, 0, 'weir ends');
};

subtest 'resetting' => sub {
    my $early = $t->tcp_server('early', sub { $_[0]->read_match(qr/\r\n\r\n/); $_[0]->reset });
    my $middle = $t->tcp_server('middle', sub {
        $_[0]->read_match(qr/\r\n\r\n/);
        $_[0]->send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        $_[0]->reset;
    });
    my ($weir, $port) = start("eject: {errors: 3, time: 1h, time_max: 1h}, servers: [@{[ server('x', $early->address) ]}, @{[ server('b') ]}]");
    my $seen = statuses($port, 20);
    is_deeply($seen, { 502 => 3, b => 17 }, 'before an answer: 502, until it is left out');
    is($weir->stop, 0, 'weir ends');
    ($weir, $port) = start("servers: [@{[ server('x', $middle->address) ]}]");
    my ($bytes, $how) = $t->raw_exchange($port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    like($bytes, qr/^HTTP\/1.1 200 .*\r\n\r\n(half)?$/s, 'in the middle of one: the client has what came, ...');
    isnt($how, 'timeout', '... and sees its connection end before the length that was promised');
    is($weir->stats_server('web', 'x')->{response_errors}, 1, 'it is counted');
    is($weir->stop, 0, 'weir ends');
    like($t->read('access.log'), qr/"end":"response-truncated"/, 'the log says what happened');
};

subtest 'slow' => sub {
    my $slow = $t->tcp_server('slow', sub {
        my ($c) = @_;
        while ($c->read_match(qr/\r\n\r\n/)) {
            for my $piece ('HTTP/1.1 200 OK', "\r\nContent-", "Length: 6\r\n", "\r\n", split //, "slowly") {
                $c->send($piece);
                select undef, undef, undef, 0.03;
            }
        }
    });
    my ($weir, $port) = start("eject: {errors: 1, time: 1h, time_max: 1h, keep: 0}, servers: [@{[ server('x', $slow->address) ]}, @{[ server('b') ]}]",
        timeouts => '{response: 5s}');
    my $seen = statuses($port, 8);
    is_deeply($seen, { slowly => 4, b => 4 }, 'what comes slowly comes as it is, and is no failure');
    ok(!$weir->stats_server('web', 'x')->{ejected}, 'it is not left out');
    is($weir->stop, 0, 'weir ends');
};

subtest 'TCP sessions' => sub {
    my $echo = $t->tcp_echo('echo');
    my $resets = $t->tcp_server('resets', sub { $_[0]->read_bytes(1); $_[0]->reset });
    my ($weir, $port) = start("eject: {errors: 2, time: 1h, time_max: 1h, keep: 0}, servers: [@{[ server('x', $resets->address) ]}, "
        . "@{[ server('y', qq{127.0.0.1:$dead}) ]}, @{[ server('e', $echo->address) ]}]", protocol => 'tcp');
    my $lives = 0;
    for (1 .. 12) {
        my $c = $t->client($port);
        $lives += eval { $c->send('x'); $c->read_bytes(1) eq 'x' } // 0;
        $c->close;
    }
    is($lives, 10, 'two are reset; who would have been refused got another server');
    $t->wait_until(sub { $weir->stats_server('web', 'x')->{ejected} }, 'left out');
    ok(!$weir->stats_server('web', 'e')->{ejected}, 'the good one is not left out');
    is($weir->stop, 0, 'weir ends');

    # One that is left out keeps its sessions.
    my $moody = $t->tcp_server('moody', sub {
        while (1) {
            my $byte = $_[0]->read_bytes(1);
            $byte eq '!' ? return $_[0]->reset : $_[0]->send($byte);
        }
    });
    ($weir, $port) = start("balance: source_hash, eject: {errors: 2, time: 1h, time_max: 1h, keep: 0}, servers: ["
        . "@{[ server('x', $moody->address) ]}, @{[ server('y', $moody->address) ]}]", protocol => 'tcp');
    my $held = $t->client($port);
    $held->send('1');
    is($held->read_bytes(1), '1', 'a session');
    for (1 .. 2) {
        my $c = $t->client($port);
        $c->send('!');
        $t->wait_until(sub { $c->is_closed }, 'reset');
    }
    $t->wait_until(sub { grep { $weir->stats_server('web', $_)->{ejected} } qw(x y) }, 'its server is left out');
    $held->send('2');
    is($held->read_bytes(1), '2', 'it goes on when its server is left out');
    $held->close;
    is($weir->stop, 0, 'weir ends');
};

done_testing;
