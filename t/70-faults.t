#!/usr/bin/perl
# What a machine does to weir: descriptors run out, disks are full, clocks are set, processes are frozen and killed.
# Traffic goes on as far as it can, nothing is counted wrong, and all is well again once the fault is over.
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use JSON::PP ();
use POSIX ();
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(sleep);
use Weir::Test;

my $disk = Weir::Test::small_disk('1m');
my $t = Weir::Test->new;
my ($http, $other, $tcp, $udp, $udp_server, $extra) = $t->ports(6);
my ($a, $b, $c) = map { $t->origin($_) } qw(a b c);
my $echo = $t->tcp_echo('echo');
$t->spawn(sub {
    my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $udp_server, Proto => 'udp', Type => SOCK_DGRAM) or die $!;
    while (1) {
        my $from = recv($socket, my $data, 65536, 0) // next;
        send $socket, $data, 0, $from;
    }
});

sub config {
    my (%o) = @_;
    my $more = $o{extra} ? "  - {name: extra, listen: [\"127.0.0.1:$extra\"], protocol: http, pool: web}\n" : '';
    my $text = $t->config(<<"CONFIG", workers => 1, %o, global => $o{global} // 'limits: {drain: 30s}');
listeners:
  - {name: web, listen: ["127.0.0.1:$http"], protocol: http, pool: web}
  - {name: other, listen: ["127.0.0.1:$other"], protocol: http, pool: other}
  - {name: raw, listen: ["127.0.0.1:$tcp"], protocol: tcp, pool: raw}
  - {name: dns, listen: ["127.0.0.1:$udp"], protocol: udp, pool: dns}
${more}pools:
  - {name: dns, protocol: udp, eject: {errors: 1, time: 60s}, servers: [{name: u, address: "127.0.0.1:$udp_server"}, {name: spare, address: "127.0.0.1:$udp_server"}]}
  - name: web
    sticky: {by: source_ip, timeout: 10m}
    eject: {errors: 1, time: 60s}
    servers: [{name: a, address: "@{[ $a->address ]}"}, {name: b, address: "@{[ $b->address ]}"}]
  - name: other
    servers: [{name: c, address: "@{[ $c->address ]}"}]
  - name: raw
    protocol: tcp
    eject: {errors: 1, time: 60s}
    servers: [{name: e, address: "@{[ $echo->address ]}"}, {name: spare, address: "@{[ $echo->address ]}"}]
CONFIG
    $text =~ s{state_dir: \K\S+}{$o{state}} if $o{state};
    $text =~ s{pid_file: \K\S+}{$o{pid_file}} if $o{pid_file};
    return $text;
}

sub control_pid {
    my ($weir) = @_;
    my %is_worker = map { $_->{pid} => 1 } @{ $weir->stats->{workers} };
    my ($pid) = grep { !$is_worker{$_} } $weir->children;
    return $pid;
}

sub ended { my ($weir, $listener, $end) = @_; return $weir->stats_listener($listener)->{ends}{$end} // 0 }

# Clock ticks of processor time.
sub ticks {
    my ($pid) = @_;
    my @fields = split ' ', $t->read("/proc/$pid/stat") =~ s/.*\) //sr;
    return $fields[11] + $fields[12];
}

sub blamed {
    my ($weir) = @_;
    return grep { $_->{connect_errors} || $_->{ejected} } map { @{ $_->{servers} } } @{ $weir->stats->{pools} };
}

# The worker can open so many descriptors more: idle clients have taken the others.
sub leave {
    my ($worker, $left) = @_;
    my $free = $t->tighten($worker, $left);
    my $goal = $t->open_files($worker) + $free - $left;
    my @idle = map { $t->client($http) } 1 .. $free - $left;
    $t->wait_until(sub { $t->open_files($worker) == $goal }, "$left descriptors are left");
    return @idle;
}

subtest 'a worker without descriptors' => sub {
    my $weir = $t->start_weir(config => config());
    my ($worker) = $weir->workers;
    my $session = $t->client($tcp);
    my $says_back = sub { $session->send("x\n"); return $session->read_bytes(2) eq "x\n" };
    ok($says_back->(), 'a session');
    my $kept = $t->client($other);
    is($t->http_get($http, '/')->{status}, 200, 'a connection to one server is kept');
    is($kept->get('/')->{status}, 200, 'and one to another');
    my $now = $t->wait_until(sub { $weir->stats_listener('web')->{active} == 0 && $t->open_files($worker) }, 'one client has gone');
    my @idle;
    $c->stop->start;
    $t->wait_until(sub { $t->open_files($worker) < $now }, 'one server has closed its connection');
    push @idle, leave($worker, 0);
    is($kept->get('/')->{status}, 200, 'an idle connection gives way to one that is needed');

    # None is idle any more.
    $kept->close;
    $c->stop;
    $t->wait_until(sub { $weir->stats_listener('other')->{active} == 0 }, 'another client has gone');
    push @idle, leave($worker, 1);
    my $raw = $t->client($tcp);
    is($raw->read_until_close, '', 'a session that can have no connection to a server ends');
    is(ended($weir, 'raw', 'exhausted'), 1, 'for want of descriptors');
    push @idle, leave($worker, 1);
    is($t->http_get($http, '/')->{status}, 503, 'a request, too, is told so');
    is(ended($weir, 'web', 'exhausted'), 1, 'and counted');
    is(scalar blamed($weir), 0, 'no server is to blame') or diag explain [ blamed($weir) ];

    push @idle, leave($worker, 0);
    my @waiting = map { my $c = $t->client($http); $c->send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"); $c } 1 .. 3;
    $weir->wait_log(qr/listener web: accept: Too many open files/);
    my $before = ticks($worker);
    sleep 1;
    cmp_ok(ticks($worker) - $before, '<', POSIX::sysconf(POSIX::_SC_CLK_TCK()) / 2, 'a worker that cannot accept does not spin');
    ok($says_back->(), 'clients that are there go on');
    my $datagrams = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $udp, Proto => 'udp', Type => SOCK_DGRAM) or die $!;
    $datagrams->send('lost');
    $weir->wait_log(qr/pool dns: no socket for a flow of datagrams: Too many open files/);
    is(scalar blamed($weir), 0, 'a datagram that gets no flow is nobody\'s fault either') or diag explain [ blamed($weir) ];
    is(() = $weir->log =~ /: accept: /g, 1, 'the log tells once');
    $t->limit($worker, nofile => 4096);
    is($_->response->{status}, 200, 'who waited is served when there are descriptors') for @waiting;
    my $answer = $t->wait_until(sub {
        $datagrams->send('again');
        my $data;
        return IO::Select->new($datagrams)->can_read(1) && defined $datagrams->recv($data, 100) && $data;
    }, 'a flow begins');
    is($answer, 'again', 'so are datagrams');
    is($weir->stats->{worker_deaths}, 0, 'nobody died of it');
    $_->close for @waiting, @idle, $session;
    $c->start;

    my $control = control_pid($weir);
    $t->leave_files($control, 0);
    my $stats = $t->client($weir->stats_port);
    $stats->send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    $weir->wait_log(qr/stats and control connections wait: accept: Too many/);
    $before = ticks($control);
    sleep 1;
    cmp_ok(ticks($control) - $before, '<', POSIX::sysconf(POSIX::_SC_CLK_TCK()) / 2, 'nor does the control process');
    is($t->http_get($http, '/')->{status}, 200, 'traffic needs none of it');
    $t->limit($control, nofile => 4096);
    is($stats->response->{status}, 200, 'its clients have waited, too');
    $stats->close;

    my ($master, $files) = ($weir->pid, $t->open_files($weir->pid));
    my $failures = $weir->stats->{reload_failures};
    $t->leave_files($master, 1);
    $weir->signal('HUP');
    $t->wait_until(sub { $weir->stats->{reload_failures} > $failures }, 'a reload without descriptors fails');
    $weir->signal('USR1');
    $weir->wait_log(qr/the log files were opened again/);
    $weir->signal('USR2');
    $weir->wait_log(qr/upgrade: (?:cannot hand over|.*this binary goes on)/);
    kill KILL => $worker;
    $weir->wait_log(qr/cannot start another process: Too many open files/);
    is($weir->pid, $master, 'the master goes on');
    $t->limit($master, nofile => 4096);
    $t->wait_until(sub { my @w = $weir->workers; @w == 1 && $w[0] != $worker }, 'the worker is replaced when it can be');
    is($t->http_get($http, '/')->{status}, 200, 'and serves');
    $weir->reload;
    $t->wait_until(sub { $weir->children == 2 && $t->open_files($master) <= $files }, 'no descriptor is left over');
    pass('the next reload works, and no descriptor is left over');
    is($weir->stop, 0, 'weir ends');
};

subtest 'a full disk' => sub {
    plan skip_all => 'may not make a mount namespace here' if !defined $disk;
    mkdir "$disk/state";
    chown((getpwnam $t->user)[ 2, 3 ], "$disk/state");
    my %on_disk = (access => "$disk/access.log", state => "$disk/state", pid_file => "$disk/weir.pid",
        global => 'state_interval: 1s');
    my $weir = $t->start_weir(config => config(%on_disk, workers => 2));
    my $load = $t->load(port => $http, clients => 2, headers => [ 'X-Long' => 'x' x 100 ]);
    $t->wait_until(sub { -s "$disk/access.log" }, 'lines are written');
    my $fill = sub {
        open my $out, '>>', "$disk/filler" or die "filler: $!";
        1 while syswrite $out, 'x' x 512;
    };
    $fill->();
    $t->wait_until(sub { $fill->(); $weir->stats->{log_lines_lost} > 0 }, 'lines are lost, and counted', 60);
    is(($t->weirctl('-S', $weir->control_socket, 'server', 'raw/spare', 'drain'))[0], 0, 'what operators do works');
    $weir->wait_log(qr{state $disk/state/servers: cannot be kept.*No space left});
    $load->wait_ok(50);
    $weir->reload;
    $load->wait_ok(50);
    my $old = $weir->pid;
    $weir->signal('USR2');
    isnt($weir->follow_pid_file, $old, 'a new binary writes its pid over the old one');
    $t->wait_until(sub { waitpid $old, POSIX::WNOHANG(); !kill 0, $old }, 'the old master is gone', 30);
    $load->wait_ok(50);
    unlink "$disk/filler";
    $load->wait_ok(50);
    $t->wait_until(sub { -s "$disk/state/servers" }, 'the state is kept when there is room');
    my $sum = $load->stop;
    is($sum->{failed}, 0, "traffic goes on: none of $sum->{ok} requests failed") or diag explain $sum->{reasons};
    $t->wait_until(sub { $weir->stats_listener('web')->{active} == 0 && $weir->children == 3 }, 'all is quiet');
    my $requests = $weir->stats_listener('web')->{requests};
    my $lost = $weir->stats->{log_lines_lost};
    cmp_ok($requests, '>=', $sum->{ok}, 'all requests are counted');
    my $whole = sub { scalar grep { eval { JSON::PP::decode_json($_)->{listener} eq 'web' } } split /\n/, $t->read("$disk/access.log") };
    ok(eval { $t->wait_until(sub { $whole->() + $weir->stats->{log_lines_lost} == $requests }, 'lines') }, "$requests requests are lines in the log, or counted lines that were lost")
        or diag $whole->(), ' lines, ', $weir->stats->{log_lines_lost}, ' lost';
    $weir->quit;
    ok(!$weir->is_running, 'weir ends');

    $fill->();
    my ($exit, undef, $err) = $t->weir('-c', $t->write('full.yaml', config(%on_disk)));
    is($exit, 1, 'no start where the pid file cannot be written');
    like($err, qr{cannot write pid file $disk/weir.pid: No space left}, 'and the reason is told');
    unlink "$disk/filler", "$disk/state/servers";
};

subtest 'a clock that is set' => sub {
    my $env = $t->clock_env;
    my $weir = $t->start_weir(config => config(global => 'state_interval: 1h'), env => $env);
    my $body = $t->http_get($http, '/')->{body};
    my $load = $t->load(port => $http, clients => 2);
    $t->raw_exchange($http, "GET / first\r\n\r\n");
    for my $jump (5 * 3600, -7 * 3600, 40 * 86400, 0) {
        $t->jump_clock($jump);
        $load->wait_ok(50);
        is($t->http_get($http, '/')->{body}, $body, "$jump s: the client keeps its server");
        my $uptime = $weir->stats->{uptime_s};
        cmp_ok($uptime, '<', 3600, "$jump s: weir is as old as it is");
        $weir->reload;
    }
    # The latest first, whatever the clock said.
    $t->jump_clock(-5 * 3600);
    $t->raw_exchange($http, "GET / second\r\n\r\n");
    my (undef, $errors) = $t->weirctl('-S', $weir->control_socket, '-o', 'json', 'errors');
    is_deeply([ map { $_->{after} } @{ JSON::PP::decode_json($errors) } ], [qw(second\\r\\n\\r\\n first\\r\\n\\r\\n)], 'the last bad message is listed first');
    my $sum = $load->stop;
    is($sum->{failed}, 0, "none of $sum->{ok} requests failed") or diag explain $sum->{reasons};
    is($weir->stats->{worker_deaths}, 0, 'no process died');
    # What is kept is as old as it was, though the master has slept since the clock was set.
    $t->jump_clock(4 * 3600);
    is($weir->quit, 0, 'weir ends');
    $weir = $t->start_weir(config => config(), env => $env);
    like($weir->log, qr/state \S+sticky: [1-9]\d* sticky entries/, 'the client has its server after a restart');
    (undef, my $sticky) = $t->weirctl('-S', $weir->control_socket, '-o', 'json', 'sticky', 'web');
    my ($age) = grep { defined } map { $_->{last_used_s} } @{ JSON::PP::decode_json($sticky) };
    ok(defined $age && $age < 600, 'as old as it is') or diag $sticky;
    is($t->http_get($http, '/')->{body}, $body, 'indeed');
    is($weir->stop, 0, 'weir ends');
};

subtest 'a master that is killed beside frozen processes' => sub {
    my $weir = $t->start_weir(config => config(workers => 2));
    my @children = $weir->children;
    kill STOP => @children;
    is($weir->kill, 128 + 9, 'the master is killed');
    $t->wait_until(sub { 1 while waitpid(-1, POSIX::WNOHANG()) > 0; !grep { kill 0, $_ } @children }, 'no process outlives it');
    $weir = $t->start_weir(config => config());
    is($t->http_get($http, '/')->{status}, 200, 'another one starts at once');
    is($weir->stop, 0, 'weir ends');
};

subtest 'reloads beside frozen processes' => sub {
    my $weir = $t->start_weir(config => config(workers => 2, extra => 1));
    my @frozen = ($weir->workers, control_pid($weir));
    kill STOP => @frozen;
    my $seen = 1;
    # Nobody can be asked: the log tells.
    my $reload = sub {
        $weir->configure(config(@_));
        $weir->signal('HUP');
        $seen++;
        $weir->wait_log(qr/configuration $seen \(\S+\) is in force/, 30);
    };
    $reload->(workers => 2);
    is($t->http_get($http, '/')->{status}, 200, 'new workers serve what the frozen ones cannot');
    ok((grep { kill 0, $_ } @frozen) == 3, 'those are left to wake up');
    $reload->(workers => 2, extra => 1);
    is($t->http_get($extra, '/')->{status}, 200, 'but for an address that they hold and that is wanted again');
    like($weir->log, qr/ended while it was draining, as it does not answer/, 'which ends them');
    kill CONT => $frozen[2];
    is($t->http_get($http, '/')->{status}, 200, 'served');
    $t->wait_until(sub { $weir->children == 3 }, 'two workers and control remain');
    is($weir->stop, 0, 'weir ends');
};

done_testing;
