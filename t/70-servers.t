#!/usr/bin/perl
# Servers that come, go and change weight while weir runs: no new workers, nothing lost.

use strict;
use warnings;
use IO::Socket::IP;
use IO::Socket::UNIX;
use JSON::PP ();
use Socket qw(SOCK_DGRAM);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my %origin = map { $_ => $t->origin($_) } qw(a b c d);
my ($web, $fixed, $echo_port, $udp_port) = $t->ports(4);
my %echo = map { $_ => $t->tcp_echo($_) } qw(e f);
my $health = 'health: {type: tcp, interval: 200ms, timeout: 2s, rise: 1, fall: 1}';

# UDP servers that answer with their name.
my %udp;
for my $name (qw(u v)) {
    my $port = $t->port;
    $t->spawn(sub {
        my $sock = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $port, Type => SOCK_DGRAM) or die $!;
        while (defined $sock->recv(my $data, 2048)) { $sock->send("$name $data") }
    });
    $udp{$name} = "127.0.0.1:$port";
}

sub address_of { my ($name) = @_; return $udp{$name} // ($origin{$name} // $echo{$name})->address }

# "a", "a=3" or "a@d": the server a, with weight 3, at the address of d.
sub servers {
    return join ', ', map {
        my ($name, $at, $weight) = /^(\w+)(?:@(\w+))?(?:=(\d+))?$/;
        sprintf '{name: %s, address: "%s", weight: %d}', $name, address_of($at // $name), $weight // 1;
    } @_;
}

# web, tcp, udp: the servers of each; meta: something that takes new workers.
sub config {
    my (%o) = @_;
    my %s = map { $_ => servers(@{ $o{$_} }) } qw(web tcp udp);
    my $meta = $o{meta} // 'none';
    return $t->config(<<"CONFIG", workers => 2);
listeners:
  - {name: web, listen: ["127.0.0.1:$web"], protocol: http, pool: web}
  - {name: fixed, listen: ["127.0.0.1:$fixed"], protocol: http, pool: fixed}
  - {name: echo, listen: ["127.0.0.1:$echo_port"], protocol: tcp, pool: tcp}
  - {name: udp, listen: ["127.0.0.1:$udp_port"], protocol: udp, pool: udp}
pools:
  - {name: web, $health, servers: [$s{web}], meta: {turn: "$meta"}}
  - {name: fixed, sticky: {by: cookie_insert, name: STICK, timeout: 1h}, servers: [$s{web}]}
  - {name: tcp, protocol: tcp, drain: {timeout: 1h}, servers: [$s{tcp}]}
  - {name: udp, protocol: udp, servers: [$s{udp}]}
CONFIG
}

my %now = (web => [qw(a b)], tcp => ['e'], udp => ['u']);
my $weir = $t->start_weir(config => config(%now));
my @ctl = ('-S', $weir->control_socket);

# Takes effect before it returns.
sub change {
    %now = (%now, @_);
    $weir->configure(config(%now));
    my ($exit, $out, $err) = $t->weirctl(@ctl, 'reload');
    is($exit, 0, 'weirctl reload') or diag $err;
    return $out;
}

# Do the servers answer about so many requests of their sum?  Each worker has a round of its own, which it need not end.
sub shares_are {
    my ($wanted, $what) = @_;
    my %wanted = map { /(\w+):(\d+)/ } split / /, $wanted;
    my ($count, %seen) = 0;
    $count += $_ for values %wanted;
    for (1 .. $count) {
        my $r = $t->http_get($web, '/');
        chomp(my $name = $r->{body});
        $seen{ $r->{status} == 200 ? $name : $r->{status} }++;
    }
    my $near = join(' ', sort keys %seen) eq join(' ', sort keys %wanted)
        && !grep { abs($seen{$_} - $wanted{$_}) > 4 } keys %wanted;
    ok($near, $what) or diag 'wanted ' . $wanted . ', have ' . join ' ', map { "$_:$seen{$_}" } sort keys %seen;
    return;
}

sub descriptors { return join ' ', map { scalar(() = glob "/proc/$_/fd/*") } $weir->pid, sort $weir->children }
sub processes { return join ' ', $weir->pid, sort $weir->children }

my $processes = processes();

sub same_processes {
    my ($what) = @_;
    is(processes(), $processes, "$what: the same processes as before");
    return;
}

subtest 'servers come, go and change' => sub {
    shares_are('a:20 b:20', 'two servers');
    like(change(web => [qw(a b c)]), qr/servers changed without new workers: 2 added, 0 removed, 0 changed, in 2 pools/,
        'weirctl tells what was done');
    shares_are('a:10 b:10 c:10', 'one came');
    change(web => [qw(a=3 b c)]);
    shares_are('a:30 b:10 c:10', 'a weight changed');
    change(web => [qw(c b a=3)]);
    shares_are('a:30 b:10 c:10', 'another order');
    like(change(web => [qw(b)]), qr/0 added, 4 removed/, 'two went');
    shares_are('b:10', 'and get nothing any more');
    change(web => [qw(b@d)]);
    shares_are('d:10', 'one has another address');
    $weir->wait_server('web', 'b', 'up');
    change(web => []);
    shares_are('503:2', 'none is left');
    change(web => [qw(a b)]);
    shares_are('a:20 b:20', 'and two again');
    $weir->wait_server('web', $_, 'up') for qw(a b);
    same_processes('after all that');
    is_deeply([ map { $_->{name} } @{ $weir->stats_pool('web')->{servers} } ], [qw(a b)], 'stats show the servers');
    $weir->wait_log(qr/configuration 2: servers changed/);
    is($weir->generation, $weir->stats->{reloads} + 1, 'each is a new configuration');
};

subtest 'health of what comes' => sub {
    $origin{c}->stop;
    change(web => [qw(a b c)]);
    $weir->wait_server('web', 'c', 'down');
    shares_are('a:10 b:10', 'a server that is down is found out');
    change(web => [qw(a c)]);
    is($weir->stats_server('web', 'c')->{health}, 'down', 'what is known of it stays');
    change(web => [qw(a b)]);
    $origin{c}->start;
    change(web => [qw(a b c)]);
    $weir->wait_server('web', 'c', 'up');
    shares_are('a:10 b:10 c:10', 'it is back');
    change(web => [qw(a b)]);
    same_processes('health');
};

subtest 'sticky sessions' => sub {
    my $get = sub {
        my ($cookie) = @_;
        my $r = $t->http_get($fixed, '/', headers => [ $cookie ? (Cookie => "STICK=$cookie") : () ]);
        chomp(my $name = $r->{body});
        return ($name, $r->{raw} =~ /^Set-Cookie: STICK=(\w+)/m);
    };
    my %cookie;
    for (1 .. 10) { my ($name, $cookie) = $get->(); $cookie{$name} = $cookie }
    change(web => [qw(c a b)]);
    is(($get->($cookie{$_}))[0], $_, "the cookie of $_ leads to it") for qw(a b) x 4;
    change(web => [qw(a c)]);
    my ($name, $new) = $get->($cookie{b});
    isnt($name, 'b', 'that of one that went does not');
    ok($new, 'and is replaced');
    change(web => [qw(a b)]);
    is(($get->($cookie{b}))[0], 'b', 'until it is back') for 1 .. 4;
    same_processes('cookies');
};

subtest 'sessions' => sub {
    my $c = $t->client($echo_port);
    my $echoes = sub { $c->send("$_[0]\n"); return $c->read_match(qr/\n/) eq "$_[0]\n" };
    ok($echoes->('one'), 'a session');
    change(tcp => ['f']);
    ok($echoes->('two'), 'goes on when its server leaves, for the drain timeout');
    my ($exit) = $t->weirctl(@ctl, 'servers', 'tcp');
    my $d = $t->client($echo_port);
    $d->send("x\n");
    is($d->read_match(qr/\n/), "x\n", 'another one goes to the new server');
    change(tcp => [qw(e f)]);
    ok($echoes->('three'), 'and when its server is back');
    change(tcp => ['e@f']);
    ok($echoes->('four'), 'and when that has another address');

    my $sock = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $udp_port, Type => SOCK_DGRAM) or die $!;
    my $ask = sub {
        my $got = '';
        $t->wait_until(sub {
            $sock->send('?');
            my $in = '';
            vec($in, fileno $sock, 1) = 1;
            return select($in, undef, undef, 0.3) && defined $sock->recv($got, 100);
        }, 'an answer');
        return $got;
    };
    is($ask->(), 'u ?', 'a flow');
    change(udp => ['v']);
    is($ask->(), 'v ?', 'goes to the server that took its place');
    same_processes('sessions');
};

subtest 'a hundred changes under load' => sub {
    change(web => [qw(a b)], tcp => ['e'], udp => ['u']);
    $t->wait_until(sub { $weir->stats_pool('tcp')->{active} == 0 }, 'the sessions before have ended');
    my $before = descriptors();
    my @load = (
        $t->load(port => $web, clients => 2),
        $t->load(port => $web, clients => 1, keepalive => 0),
        $t->load(port => $echo_port, clients => 1, tcp => 1, requests_per_connection => 20),
    );
    my @names = qw(a b c d);
    for my $i (1 .. 100) {
        my @web = map { $names[ ($i + $_) % 4 ] . '=' . (1 + $i % 3) } 0 .. $i % 3;
        $weir->reload(config(%now = (web => \@web, tcp => [ $i % 2 ? 'e' : 'f' ], udp => [ $i % 2 ? 'u' : 'v' ])));
        $_->wait_ok(3) for $i % 5 ? () : @load;
    }
    for my $load (@load) {
        my $sum = $load->stop;
        is($sum->{failed}, 0, "no request of $sum->{ok} failed") or diag explain $sum->{reasons};
    }
    same_processes('load');
    change(web => [qw(a b)], tcp => ['e'], udp => ['u']);
    shares_are('a:20 b:20', 'the distribution is as it was');
    # Kept connections to servers of the moment come and go: there may be fewer, never more than those.
    $t->wait_until(sub {
        my @was = split / /, $before;
        my @is = split / /, descriptors();
        return !grep { $is[$_] > $was[$_] + 4 } 0 .. $#was;
    }, 'all processes hold as many descriptors as before');
    pass('all processes hold as many descriptors as before');
};

subtest 'two changes at once' => sub {
    my $load = $t->load(port => $web, clients => 2);
    for my $i (1 .. 10) {
        %now = (%now, web => $i % 2 ? [qw(a b c d)] : [qw(a b)]);
        $weir->configure(config(%now));
        my @pids = map { $t->spawn(sub { exec $t->program('weirctl'), @ctl, 'reload' or die }, "ctl-$i-$_.log") } 1 .. 3;
        $weir->signal('HUP') for 1 .. 2;
        my @done = grep { $t->reap($_) == 0 } @pids;
        my @refused = grep { $t->read("ctl-$i-$_.log") =~ /a reload is under way already/ } 1 .. 3;
        ok(@done >= 1 && @done + @refused == 3, 'who asks meanwhile is told');
    }
    is($load->stop->{failed}, 0, 'no request failed');
    change(web => [qw(a b)]);
    shares_are('a:20 b:20', 'the last one counts');
    # A file that is the same to the letter takes new workers: there may have been some.
    $t->wait_until(sub { !$weir->workers('draining') && $weir->children == 3 }, 'the old processes have left');
    $processes = processes();
};

subtest 'limits of connections' => sub {
    my $text = config(%now);
    my @before = $weir->workers;
    $weir->reload($text =~ s/(name: web, health.*?servers: \[\{name: a, .*?)weight: 1\}/$1weight: 1, max_connections: 1}/r);
    is($weir->stats_server('web', 'a')->{max_connections} // 1, 1, 'a server has a limit');
    my $load = $t->load(port => $web, clients => 4);
    $load->wait_ok(200);
    $weir->reload($text);
    $load->wait_ok(200);
    is($load->stop->{failed}, 0, 'and none again, under load');
    $t->wait_until(sub { $weir->stats_server('web', 'a')->{active} == 0 }, 'nothing is left active');
    is_deeply([ $weir->workers ], \@before, 'the same workers');
    shares_are('a:20 b:20', 'the distribution is as it was');
};

subtest 'more servers than there are places' => sub {
    my $count = 4100;
    my $text = config(%now);
    my $with = sub {
        my ($prefix) = @_;
        my $many = join ', ', map { sprintf '{name: %s%d, address: "127.3.%d.%d:9"}', $prefix, $_, $_ >> 8, $_ & 255 } 1 .. $count;
        return $text =~ s/(name: tcp, .*?servers: \[)/$1$many, /r;
    };
    my $reload = sub {
        $weir->configure($_[0]);
        is(($t->weirctl(@ctl, 'reload'))[0], 0, 'weirctl reload');
    };
    my $servers = sub { return JSON::PP->new->decode(($t->weirctl(@ctl, '-o', 'json', 'status'))[1])->{servers} };
    my $few = $servers->();
    my @before = $weir->workers;
    $reload->($with->('m'));
    $weir->wait_log(qr/servers: shared memory, .*, so new workers are started/);
    is($servers->(), $few + $count, 'all are there');
    $reload->($text);
    $t->wait_until(sub { !$weir->workers('draining') && $weir->workers == 2 }, 'there are');
    isnt("@{[ $weir->workers ]}", "@before", 'new workers');
    $processes = processes();
    # So many names come and go that only places that are used again suffice.
    for my $prefix (qw(n o p q)) {
        $reload->($with->($prefix));
        is($servers->(), $few + $count, 'others come');
        $reload->($text);
    }
    is($servers->(), $few, 'and go');
    same_processes('thousands of names later');
};

subtest 'a crash between changes' => sub {
    change(web => [qw(a c)]);
    my ($victim) = $weir->workers;
    kill 'KILL', $victim;
    $t->wait_until(sub { !grep { $_ == $victim } $weir->workers and $weir->workers == 2 }, 'another worker');
    $t->wait_until(sub { $weir->stats->{worker_deaths} == 1 }, 'the death is known');
    shares_are('a:20 c:20', 'it knows the servers of the moment');
    my ($control) = grep { my $pid = $_; !grep { $_ == $pid } $weir->workers } $weir->children;
    kill 'KILL', $control;
    $t->wait_until(sub { (eval { $weir->stats_pool('web') } // { servers => [] })->{servers}[1]{name} // '' eq 'c' },
        'so does another control process');
    change(web => [qw(a b)]);
    shares_are('a:20 b:20', 'the next change reaches both');
    $processes = processes();
};

subtest 'changes that take new workers' => sub {
    my $out = change(meta => 'one');
    unlike($out, qr/without new workers/, 'something else in the file');
    $t->wait_until(sub { !$weir->workers('draining') && $weir->children == 3 }, 'the old processes have left');
    isnt(processes(), $processes, 'makes new workers');
    $processes = processes();
    change(web => [qw(c d)], meta => 'two');
    shares_are('c:10 d:10', 'servers and something else');
    $t->wait_until(sub { !$weir->workers('draining') && $weir->children == 3 }, 'the old processes have left');
    isnt(processes(), $processes, 'too');
    $processes = processes();
    change(web => [qw(a b)]);
    shares_are('a:10 b:10', 'the new ones take changes as well');
    same_processes('then');
};

# --- the control socket's way ---

# One request on the control socket: its answer.
sub ask {
    my ($line) = @_;
    my $sock = IO::Socket::UNIX->new(Peer => $weir->control_socket) or die $!;
    print {$sock} "$line\n";
    my $answer = <$sock>;
    return JSON::PP->new->utf8->decode($answer);
}

subtest 'changes through the control socket' => sub {
    my $answer = ask('apply {pools: [{name: web, servers: [' . servers(qw(a b=3)) . ']}]}');
    ok($answer->{ok}, 'a change') or diag explain $answer;
    like($answer->{result}{message}, qr/0 added, 0 removed, 1 changed, in 1 pools, by user \d+ \(process $$\)/, 'is told');
    shares_are('a:10 b:30', 'and in force');
    $weir->wait_log(qr/servers changed without new workers: .*, by user \d+ \(process $$\)/);
    same_processes('apply');
    my $s = servers('a');
    my @bad = (
        [ '{', qr/error/ ], [ '{pools: []}', qr/too short/ ], [ '{pools: [{name: nope, servers: []}]}', qr/no pool "nope"/ ],
        [ '{pools: [{name: web, servers: [{name: a}]}]}', qr/"address" is missing/ ],
        [ "{pools: [{name: web, servers: [$s, $s]}]}", qr/two servers "a"/ ],
        [ "{pools: [{name: web, servers: [$s]}, {name: web, servers: [$s]}]}", qr/two pools "web"/ ],
        [ "{pools: [{name: web, servers: [$s], balance: source_hash}]}", qr/unknown key "balance"/ ],
        [ '{pools: [{name: web, servers: [{name: a, address: "x:1"}]}]}', qr/address/ ],
        [ '{pools: [{name: web, servers: [{name: a, address: "127.0.0.1:1", weight: 257}]}]}', qr/too big/ ],
        [ "{from: @{[ '0' x 32 ]}, to: @{[ '1' x 32 ]}, pools: [{name: web, servers: [$s]}]}", qr/not in force/ ],
        [ "{from: abc, to: abc, pools: [{name: web, servers: [$s]}]}", qr/32 digits/ ],
        [ "{to: @{[ '1' x 32 ]}, pools: [{name: web, servers: [$s]}]}", qr/belong together/ ],
        [ '[' x 1000, qr/error/ ], [ '&a [*a]', qr/error/ ], [ "\xff", qr/error/ ], [ '', qr/./ ],
    );
    for my $case (@bad) {
        my $got = ask("apply $case->[0]");
        ok(!$got->{ok}, 'refused: ' . substr $case->[0], 0, 60);
        like($got->{error}, $case->[1], 'with the reason');
    }
    my $long = ask('apply ' . 'x' x 57_400);
    like($long->{error}, qr/bytes at most/, 'one that is too long');
    shares_are('a:10 b:30', 'nothing has changed');
    my ($exit) = $t->weirctl(@ctl, 'reload');
    is($exit, 0, 'a reload');
    shares_are('a:10 b:10', 'goes back to what the file says');
    same_processes('to the end');
};

is($weir->stats->{worker_deaths}, 1, 'no worker died of it');
is($weir->stop, 0, 'weir ends');
done_testing;
