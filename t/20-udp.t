#!/usr/bin/perl
# UDP listeners: flows, their servers, the addresses they speak from, and what becomes of them in a reload.
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM inet_aton inet_ntoa pack_sockaddr_in unpack_sockaddr_in);
use Test::More;
use Time::HiRes qw(time sleep);
use Weir::Test;

my $t = Weir::Test->new;

# Answers NAME:SOURCE PORT:DATAGRAM; "silent" is not answered, "twice" is answered two times, "later N" after N ms.
sub udp_server {
    my ($name, %o) = @_;
    my $port = $o{port} // $t->port;
    my $socket = IO::Socket::IP->new(LocalHost => $o{host} // '127.0.0.1', LocalPort => $port, Proto => 'udp',
        Type => SOCK_DGRAM);
    die "udp $port: $!" if !$socket;
    setsockopt($socket, Socket::SOL_SOCKET(), 33, pack 'i', 4 << 20);    # SO_RCVBUFFORCE
    my $pid = $t->spawn(sub {
        while (1) {
            my $from = recv($socket, my $data, 65536, 0);
            next if !defined $from || $data eq '' || $data eq 'silent';
            my ($from_port) = unpack 'x2n', $from;
            sleep $1 / 1000 if $data =~ /^later (\d+)/;
            send $socket, "$name:$from_port:$data", 0, $from for 1 .. ($data eq 'twice' ? 2 : 1);
        }
    });
    close $socket;
    return { name => $name, port => $port, address => ($o{host} // '127.0.0.1') . ":$port", pid => $pid };
}

sub udp_client {
    my ($port, %o) = @_;
    my $socket = IO::Socket::IP->new(PeerHost => $o{host} // '127.0.0.1', PeerPort => $port, Proto => 'udp', Type => SOCK_DGRAM);
    die "udp client: $!" if !$socket;
    return $socket;
}

# One datagram there and its answer, or undef.
sub ask {
    my ($client, $data, $seconds) = @_;
    send $client, $data, 0;
    return hear($client, $seconds);
}

sub hear {
    my ($client, $seconds) = @_;
    my $answer;
    return undef if !IO::Select->new($client)->can_read($seconds // 10);
    return undef if !defined recv $client, $answer, 65536, 0;
    return $answer;
}

my ($a, $b) = map { udp_server($_) } qw(a b);

subtest 'datagrams and answers' => sub {
    my ($udp, $none) = $t->ports(2);
    my $echo = $t->tcp_echo('echo');
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 2));
listeners:
  - {name: dns, listen: ["*:$udp"], protocol: udp, timeouts: {flow: 30s}, pool: dns}
  - {name: dns-tcp, listen: ["*:$udp"], protocol: tcp, pool: tcp}
  - {name: none, listen: ["127.0.0.1:$none"], protocol: udp, pool: none}
pools:
  - name: dns
    protocol: udp
    servers: [{name: a, address: "$a->{address}"}, {name: b, address: "$b->{address}"}]
  - {name: tcp, protocol: tcp, servers: [{name: a, address: "@{[ $echo->address ]}"}]}
  - {name: none, protocol: udp}
CONFIG
    my @clients = map { udp_client($udp) } 1 .. 40;
    my %servers;
    for my $c (@clients) {
        my ($name, $port, $data) = split /:/, ask($c, 'hello') // '';
        is($data, 'hello', 'a datagram is answered');
        $servers{$name}++;
        my ($again, $same_port) = split /:/, ask($c, 'again') // '';
        is("$again:$same_port", "$name:$port", 'the next one goes the same way');
    }
    cmp_ok($servers{$_} // 0, '>=', 15, "server $_ gets its share of the flows") for qw(a b);

    my $c = udp_client($udp);
    my $big = 'x' x 60_000;
    like(ask($c, $big), qr/:x{60000}\z/, 'the largest datagrams pass');
    ask($c, 'twice');
    like(hear($c), qr/:twice\z/, 'so do two answers to one datagram');
    is(ask($c, 'silent', 0.3), undef, 'and none');
    send $c, '', 0;
    like(ask($c, 'after an empty one'), qr/after an empty one/, 'an empty datagram is nothing special');

    # An answer that comes from another address than the one asked would not reach a connected socket.
    for my $host ('127.0.0.1', '127.0.0.5', -e '/proc/net/if_inet6' ? '::1' : ()) {
        my $client = eval { udp_client($udp, host => $host) } or next;
        like(ask($client, "to $host") // 'nothing', qr/to \Q$host/, "the answer comes from $host, which was asked");
    }
    # One socket that speaks to two addresses: each is a flow of its own, and answers for itself.
    my $requests = $weir->stats_listener('dns')->{requests};
    my $both = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0, Proto => 'udp', Type => SOCK_DGRAM);
    my %from;
    for my $host ('127.0.0.1', '127.0.0.5', '127.0.0.1', '127.0.0.5') {
        send $both, $host, 0, pack_sockaddr_in($udp, inet_aton($host));
        my $from = IO::Select->new($both)->can_read(10) && recv $both, my $answer, 65536, 0;
        my (undef, $port, $asked) = split /:/, $answer // '';
        is($asked && inet_ntoa((unpack_sockaddr_in($from))[1]), $asked, "the answer to $host");
        $from{$host}{$port}++;
    }
    is_deeply([ map { values %$_ } values %from ], [ 2, 2 ], 'each address keeps its socket towards the server');
    is($weir->stats_listener('dns')->{requests}, $requests + 2, 'two flows');
    is(scalar $t->raw_exchange($udp, 'over TCP', half_close => 1), 'over TCP', 'TCP has the same port');

    my $lost = udp_client($none);
    is(ask($lost, 'anybody?', 0.3), undef, 'without a server there is no answer');
    $t->wait_until(sub { $weir->stats_listener('none')->{datagrams_dropped} == 1 }, 'the datagram is counted');
    is($weir->stats_pool('none')->{no_server}, 1, 'so is the want of a server');
    my $stats = $weir->stats_listener('dns');
    is($stats->{protocol}, 'udp', 'statistics know the protocol');
    is($stats->{active}, $stats->{requests}, 'flows are open for as long as their timeout says');
    is($stats->{datagrams_out}, $weir->stats_pool('dns')->{datagrams_out}, 'answers are counted');
    cmp_ok($stats->{datagrams_in}, '>=', 85, 'datagrams too');
    is($weir->stop, 0, 'weir ends');
    my @log = grep { /"listener":"dns"/ } split /\n/, $t->read('access.log');
    is(scalar @log, $stats->{requests}, 'each flow has a line in the access log');
};

subtest 'a flow ends, and the next one is balanced anew' => sub {
    my $udp = $t->port;
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: dns, listen: ["127.0.0.1:$udp"], protocol: udp, timeouts: {flow: 300ms}, pool: dns}
pools:
  - name: dns
    protocol: udp
    servers: [{name: a, address: "$a->{address}"}]
CONFIG
    my $c = udp_client($udp);
    my (undef, $first) = split /:/, ask($c, '1');
    $t->wait_until(sub { $weir->stats_listener('dns')->{active} == 0 }, 'the flow is over');
    my (undef, $second) = split /:/, ask($c, '2');
    is($weir->stats_listener('dns')->{requests}, 2, 'the same client begins another');
    $weir->stop;
};

subtest 'access lists, limits' => sub {
    my ($open, $shut) = $t->ports(2);
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1, global => 'limits: {connections: 5}'));
acls:
  here: {networks: [127.0.0.0/8]}
listeners:
  - {name: open, listen: ["127.0.0.1:$open"], protocol: udp, access: {acl: here}, pool: dns}
  - {name: shut, listen: ["127.0.0.1:$shut"], protocol: udp, access: {acl: here, mode: deny}, pool: dns}
pools:
  - {name: dns, protocol: udp, servers: [{name: a, address: "$a->{address}"}]}
CONFIG
    my @c = map { udp_client($open) } 1 .. 6;
    my @answers = map { ask($_, 'hello', 5) } @c[ 0 .. 4 ];
    is(scalar(grep { defined } @answers), 5, 'allowed clients are served');
    is(ask($c[5], 'one too many', 0.3), undef, 'more flows than limits.connections are refused');
    like(ask($c[0], 'still'), qr/still/, 'those that are there go on');
    is(ask(udp_client($shut), 'hello', 0.3), undef, 'a denied client gets no answer');
    is($weir->stats_listener('shut')->{refused}, 1, 'and is counted');
    $weir->stop;
};

subtest 'balancing and stickiness' => sub {
    my ($source, $tuple, $sticky) = $t->ports(3);
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 2));
listeners:
  - {name: source, listen: ["127.0.0.1:$source"], protocol: udp, pool: source}
  - {name: tuple, listen: ["127.0.0.1:$tuple"], protocol: udp, pool: tuple}
  - {name: sticky, listen: ["127.0.0.1:$sticky"], protocol: udp, pool: sticky}
pools:
  - name: source
    protocol: udp
    balance: source_hash
    servers: [{name: a, address: "$a->{address}"}, {name: b, address: "$b->{address}"}]
  - name: tuple
    protocol: udp
    balance: tuple_hash
    servers: [{name: a, address: "$a->{address}"}, {name: b, address: "$b->{address}"}]
  - name: sticky
    protocol: udp
    sticky: {by: source_ip, timeout: 30m}
    servers: [{name: a, address: "$a->{address}"}, {name: b, address: "$b->{address}"}]
CONFIG
    my %seen;
    for my $port ($source, $tuple, $sticky) {
        for (1 .. 30) {
            my ($name) = split /:/, ask(udp_client($port), 'x') // 'none';
            $seen{$port}{$name}++;
        }
    }
    is(keys %{ $seen{$source} }, 1, 'source_hash: one server for one address');
    is(keys %{ $seen{$tuple} }, 2, 'tuple_hash: ports count');
    is(keys %{ $seen{$sticky} }, 1, 'sticky by source_ip: the first choice stays');
    cmp_ok($weir->stats_pool('sticky')->{sticky_hits}, '>=', 28, 'which is counted');
    $weir->stop;
};

subtest 'health: refused is down, silence is up' => sub {
    my ($udp, $closed) = $t->ports(2);
    my $mute = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => my $mute_port = $t->port, Proto => 'udp', Type => SOCK_DGRAM);
    my $c = udp_server('c');
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: dns, listen: ["127.0.0.1:$udp"], protocol: udp, pool: dns}
pools:
  - name: dns
    protocol: udp
    health: {type: udp, interval: 200ms, timeout: 100ms, rise: 1, fall: 2}
    servers:
      - {name: c, address: "$c->{address}"}
      - {name: closed, address: "127.0.0.1:$closed"}
      - {name: mute, address: "127.0.0.1:$mute_port", weight: 0}
CONFIG
    is($weir->wait_server('dns', 'closed', 'down')->{last_check}, 'connection refused', 'ICMP tells that nobody is there');
    is($weir->wait_server('dns', 'mute', 'up')->{last_check}, 'not refused', 'silence is no failure');
    $weir->wait_server('dns', 'c', 'up');
    my $client = udp_client($udp);
    my ($name, $port) = split /:/, ask($client, 'x') // '';
    is($name, 'c', 'the server that is up gets the flow');
    $t->end_process($c->{pid}, 'KILL');
    $weir->wait_server('dns', 'c', 'down');
    is(ask($client, 'x', 0.3), undef, 'none is up: no answer');
    my $again = udp_server('d', port => $c->{port});
    $weir->wait_server('dns', 'c', 'up');
    is((split /:/, ask($client, 'x') // '')[0], 'd', 'it is back: the client is served again');
    $weir->stop;
};

subtest 'health: with a payload an answer must come, and the one that is expected' => sub {
    my $udp = $t->port;
    my $c = udp_server('c');
    my $servers = 'servers: [{name: c, address: "' . $c->{address} . '"}]';
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: dns, listen: ["127.0.0.1:$udp"], protocol: udp, pool: any}
pools:
  - {name: any, protocol: udp, health: {type: udp, interval: 100ms, timeout: 5s, payload: ping}, $servers}
  - {name: silent, protocol: udp, health: {type: udp, interval: 100ms, timeout: 100ms, fall: 1, payload: silent}, $servers}
  - {name: other, protocol: udp, health: {type: udp, interval: 100ms, timeout: 200ms, fall: 1, payload: ping, expect: pong}, $servers}
  - {name: bytes, protocol: udp, health: {type: udp, interval: 100ms, timeout: 5s, payload: "0x0070", expect: "0x0070"}, $servers}
CONFIG
    is($weir->wait_server('any', 'c', 'up')->{last_check}, 'answered', 'an answer');
    is($weir->wait_server('silent', 'c', 'down')->{last_check}, 'timeout', 'no answer is a failure');
    is($weir->wait_server('other', 'c', 'down')->{last_check}, 'other answer than expected', 'so is another answer');
    is($weir->wait_server('bytes', 'c', 'up')->{last_check}, 'answered', 'bytes that no text can have');
    $weir->stop;
    $t->end_process($c->{pid}, 'KILL');
};

subtest 'a server that refuses loses its flows without a health check' => sub {
    my ($udp, $closed) = $t->ports(2);
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: dns, listen: ["127.0.0.1:$udp"], protocol: udp, pool: dns}
pools:
  - name: dns
    protocol: udp
    servers: [{name: closed, address: "127.0.0.1:$closed"}, {name: a, address: "$a->{address}"}]
CONFIG
    for my $n (1 .. 6) {
        my $client = udp_client($udp);
        my $answer;
        $t->wait_until(sub { $answer = ask($client, 'x', 0.2) }, "client $n is served");
        like($answer, qr/^a:/, "client $n ends up with the server that is there");
    }
    cmp_ok($weir->stats_server('dns', 'closed')->{connect_errors}, '>=', 1, 'refusals are counted');
    $weir->stop;
};

subtest 'reload: no flow changes its server, no answer is lost' => sub {
    my $udp = $t->port;
    my $config = sub {
        my ($workers) = @_;
        return $t->config(<<"CONFIG", workers => $workers, access => 'off');
listeners:
  - {name: dns, listen: ["127.0.0.1:$udp"], protocol: udp, pool: dns}
pools:
  - name: dns
    protocol: udp
    servers: [{name: a, address: "$a->{address}"}, {name: b, address: "$b->{address}"}]
CONFIG
    };
    my $weir = $t->start_weir(config => $config->(2));
    my @clients = map { udp_client($udp) } 1 .. 300;
    my (%server, $wrong, $lost);
    for my $c (@clients) {
        ($server{$c}) = split /:/, ask($c, 'first');
    }
    # Answers under way when the workers change come by way of the old ones.
    my @slow = @clients[ 0, 1 ];
    send $_, 'later 1500', 0 for @slow;
    for my $workers (2, 3, 1) {
        $weir->reload($config->($workers));
        ($wrong, $lost) = (0, 0);
        for my $c (@clients[ 2 .. $#clients ]) {
            my $answer = ask($c, 'next', 20);
            $lost++ if !defined $answer;
            $wrong++ if defined $answer && $answer !~ /^$server{$c}:\d+:next/;
        }
        is($lost, 0, "reload to $workers workers: no datagram is lost");
        is($wrong, 0, 'and each flow keeps its server');
    }
    like(hear($_, 20) // 'nothing', qr/:later 1500/, 'an answer that was under way arrives') for @slow;
    is($weir->stop, 0, 'weir ends');
};

subtest 'what is wrong in a configuration' => sub {
    my ($exit, undef, $err) = $t->weir('-t', '-c', $t->write('bad.yaml', $t->config(<<"CONFIG")));
listeners:
  - {name: a, listen: ["127.0.0.1:5300"], protocol: udp, pool: tcp}
  - {name: b, listen: ["127.0.0.1:5300"], protocol: udp, pool: udp}
  - {name: c, listen: ["127.0.0.1:5301"], protocol: udp, pool: udp, routes: []}
pools:
  - {name: tcp, protocol: tcp, servers: [{name: a, address: "127.0.0.1:1"}]}
  - {name: udp, protocol: udp, sticky: {by: cookie_insert}, servers: [{name: a, address: "127.0.0.1:1"}]}
CONFIG
    is($exit, 1, 'refused');
    like($err, qr/pool "tcp" has protocol tcp; this listener needs one with protocol udp/, 'a pool of TCP');
    like($err, qr/address 127.0.0.1:5300 is taken already by listener "a"/, 'one address twice');
    like($err, qr/routes has no meaning here/, 'routes');
    like($err, qr/protocol udp and is sticky by cookie/, 'cookies');
};

done_testing;
