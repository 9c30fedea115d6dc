#!/usr/bin/perl
# From one configuration to the next: nothing is lost, and nothing changes on error.

use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my @origins = map { $t->origin($_) } qw(a b);
my ($port, $second, $echo_port) = $t->ports(3);
my $echo = $t->tcp_echo('echo');

# listen: addresses of the HTTP listener; servers: of its pool.  No two are the same: each takes new workers.
my $turn = 0;

sub config {
    my (%o) = @_;
    my $listen = join ', ', map { "\"$_\"" } @{ $o{listen} // ["127.0.0.1:$port"] };
    my $servers = join ', ',
        map { "{name: @{[ $_->name ]}, address: \"@{[ $_->address ]}\"}" } @{ $o{servers} // \@origins };
    return $t->config(<<"CONFIG", workers => $o{workers} // 2, %{ $o{options} // {} });
listeners:
  - {name: web, listen: [$listen], protocol: http, pool: web}
  - {name: echo, listen: ["127.0.0.1:$echo_port"], protocol: tcp, pool: echo}
pools:
  - name: web
    servers: [$servers]
    meta: {turn: "@{[ $turn++ ]}"}
  - name: echo
    protocol: tcp
    servers: [{name: e, address: "@{[ $echo->address ]}"}]
CONFIG
}

sub descriptors { my ($pid) = @_; return scalar(() = glob "/proc/$pid/fd/*") }

sub no_failures {
    my ($load, $what) = @_;
    my $sum = $load->stop;
    is($sum->{failed}, 0, "$what: no request of $sum->{ok} failed") or diag explain $sum->{reasons};
    return $sum;
}

my $weir = $t->start_weir(config => config());

# --- a reload that fails ---

{
    my @before = $weir->workers;
    $weir->reload_fails(config() =~ s/protocol: http/protocol: gopher/r);
    $weir->wait_log(qr/error master\[\d+\]: \S+:\d+:\d+: error: .*gopher/);
    like($weir->log, qr/configuration \d+ goes on/, 'the log says that the old configuration goes on');
    is_deeply([ $weir->workers ], \@before, 'with the same workers');
    is($t->http_get($port, '/')->{status}, 200, 'which serve');

    my ($exit, $out, $err) = $t->weirctl('-S', $weir->control_socket, 'reload');
    is($exit, 1, 'weirctl reload fails too');
    like("$out$err", qr/:\d+:\d+: error: .*gopher/, 'and tells why');

    my $blocker = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $second, Listen => 1, ReuseAddr => 1);
    $weir->configure(config(listen => [ "127.0.0.1:$port", "127.0.0.1:$second" ]));
    ($exit, $out, $err) = $t->weirctl('-S', $weir->control_socket, 'reload');
    is($exit, 1, 'a port in use makes it fail');
    like("$out$err", qr/cannot listen on 127\.0\.0\.1:$second for listener web: Address already in use/,
        'and is named');
    is_deeply([ $weir->workers ], \@before, 'the old workers go on');
    close $blocker;

    ($exit) = $t->weirctl('-S', $weir->control_socket, 'reload');
    is($exit, 0, 'once the port is free it succeeds');
    is($t->http_get($_, '/')->{status}, 200, "port $_ is served") for $port, $second;
}

# --- under load ---

{
    my $kept = $t->load(port => $port, clients => 2);
    my $fresh = $t->load(port => $port, clients => 2, keepalive => 0);
    my $lines = $t->load(port => $echo_port, clients => 1, tcp => 1, requests_per_connection => 20);
    $_->wait_ok(20) for $kept, $fresh, $lines;
    $weir->reload(config());
    my $settled = sub { !$weir->workers('draining') && $weir->children == 3 };
    $t->wait_until($settled, 'the first old processes have left');
    my $descriptors = descriptors($weir->pid);
    for my $i (1 .. 100) {
        $weir->reload(config(servers => [ $origins[ $i % 2 ] ]));
    }
    $_->wait_ok(20) for $kept, $fresh, $lines;
    no_failures($kept, '100 reloads, kept connections');
    no_failures($fresh, '100 reloads, a connection for each request');
    no_failures($lines, '100 reloads, TCP');
    $t->wait_until($settled, 'all old processes have left');
    is(descriptors($weir->pid), $descriptors, 'the master holds as many descriptors as before');
    is(scalar $weir->children, 3, 'and as many processes');
    is($weir->stats->{worker_deaths}, 0, 'no worker died');
}

{
    my $kept = $t->load(port => $port, clients => 2);
    my $fresh = $t->load(port => $port, clients => 3, keepalive => 0);
    for my $workers (1, 3, 1, 4, 2, 1, 3) {
        $weir->reload(config(workers => $workers));
        $t->wait_until(sub { $weir->workers == $workers }, "$workers workers run");
        pass("$workers workers run");
        $fresh->wait_ok(60);
    }
    no_failures($kept, 'number of workers changed, kept connections');
    no_failures($fresh, 'number of workers changed, new connections');
}

# --- addresses that come and go ---

{
    my $load = $t->load(port => $port, clients => 2, keepalive => 0);
    $weir->reload(config(listen => [ "127.0.0.1:$port", "127.0.0.1:$second" ]));
    is($t->http_get($second, '/')->{status}, 200, 'a new address is served');
    $weir->reload(config());
    $t->wait_until(sub { !eval { $t->client($second, timeout => 0.2)->close; 1 } && $@ =~ /refused/i },
        'an address that is gone refuses connections');
    $weir->reload(config(listen => [ "127.0.0.1:$port", "127.0.0.1:$second" ]));
    is($t->http_get($second, '/')->{status}, 200, 'and is served when it comes back');
    # At once, while a worker that has the old socket is slow to let go of it.
    for my $n (1 .. 3) {
        my ($slow) = $weir->workers;
        kill STOP => $slow;
        $t->spawn(sub { select undef, undef, undef, 0.3; kill CONT => $slow });
        $weir->reload(config());
        $weir->reload(config(listen => [ "127.0.0.1:$port", "127.0.0.1:$second" ]));
        is($t->http_get($second, '/')->{status}, 200, "an address goes and comes back at once, $n");
    }
    $weir->reload(config(listen => ["*:$port"]));
    $load->wait_ok(50);
    $weir->reload(config(listen => ["0.0.0.0:$port"]));
    $load->wait_ok(50);
    no_failures($load, 'from one address to all of them and back');
}

# A connection that waits in the queue while its address goes away is still served.
{
    $weir->reload(config(listen => [ "127.0.0.1:$port", "127.0.0.1:$second" ], workers => 1));
    $t->wait_until(sub { !$weir->workers('draining') }, 'the others have left');
    my ($worker) = $weir->workers;
    kill STOP => $worker;
    my @waiting = map { $t->client($second) } 1 .. 5;
    $_->send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") for @waiting;
    $weir->reload(config());
    kill CONT => $worker;
    is(scalar(grep { (eval { $_->response->{status} } // 0) == 200 } @waiting), 5,
        'connections in the queue of a removed address are served');
}

# --- more than one at a time ---

{
    my $before = $weir->stats->{reloads};
    $weir->signal('HUP') for 1 .. 20;
    $t->wait_until(sub { $weir->stats->{reloads} > $before }, 'a reload is done');
    my @ctl = map {
        $t->spawn(sub { exec $t->program('weirctl'), '-S', $weir->control_socket, 'reload' }, "ctl-$_.log")
    } 1 .. 5;
    my @answers = map { $t->reap($ctl[ $_ - 1 ]) == 0 ? 'done' : $t->read("ctl-$_.log") } 1 .. 5;
    is(scalar(grep { !/^done$|under way already/ } @answers), 0, 'reloads asked for at the same time are all answered')
        or diag explain \@answers;
    my $done = $weir->stats->{reloads} - $before;
    cmp_ok($done, '<=', 12, "25 requests were done in $done reloads");
}

# --- what a reload moves ---

{
    my $stats = $t->port;
    my $moved = config() =~ s/stats: \{listen: "[^"]*"\}/stats: {listen: "127.0.0.1:$stats"}/r
        =~ s{control\.sock}{moved.sock}r;
    my $old_socket = $weir->control_socket;
    $weir->configure($moved);
    is(($t->weirctl('-S', $old_socket, 'reload'))[0], 0, 'the control socket moves, and the answer still comes');
    is(($t->weirctl('-S', $t->path('run/moved.sock'), 'status'))[0], 0, 'the new socket answers');
    ok(!-e $old_socket, 'the old one is gone');
    is($t->http_get($stats, '/readyz')->{status}, 200, 'so does the stats endpoint at its new address');

    $weir->configure($moved =~ s{run/weir\.pid}{run/other.pid}r);
    $weir->reload;
    $weir->wait_log(qr/warning: global\.pid_file stays/);
    pass('what needs a restart is said');
}

is($weir->stop, 0, 'weir ends with status 0');
ok(!-e $t->path('run/moved.sock'), 'and takes the moved control socket along');
ok(!-e $t->path('run/weir.pid'), 'and its pid file');
done_testing;
