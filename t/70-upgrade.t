#!/usr/bin/perl
# USR2: a new binary takes the running daemon over without losing a request, or the old one goes on.
use strict;
use warnings;
use File::Copy qw(copy);
use JSON::PP ();
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($http, $tcp) = $t->ports(2);
my $a = $t->origin('a');
my $b = $t->origin('b');
my $echo = $t->tcp_echo('echo');

# The binary is replaced: each test works on a copy of its own.
my $bin = $t->path('bin');
mkdir $bin;
my $built = $t->program('weir');
my $ctl = $t->program('weirctl');
$t->{build} = $bin;

sub install {
    my ($from, $mode) = @_;
    unlink "$bin/weir.new";
    copy($from, "$bin/weir.new") or die "copy: $!";
    chmod $mode // 0755, "$bin/weir.new";
    rename "$bin/weir.new", "$bin/weir" or die "rename: $!";
    return;
}
install($built);

my $config = $t->config(<<"CONFIG", workers => 2, global => 'limits: {drain: 5s}');
listeners:
  - {name: web, listen: ["127.0.0.1:$http"], protocol: http, pool: web}
  - {name: raw, listen: ["127.0.0.1:$tcp"], protocol: tcp, pool: raw}
pools:
  - name: web
    sticky: {by: cookie_insert, name: SRV, timeout: 10m}
    health: {type: tcp, interval: 100ms, timeout: 5s, rise: 1, fall: 1}
    servers: [{name: a, address: "@{[ $a->address ]}"}, {name: b, address: "@{[ $b->address ]}"}]
  - name: raw
    protocol: tcp
    sticky: {by: source_ip, timeout: 5m}
    servers: [{name: one, address: "@{[ $echo->address ]}"}, {name: two, address: "@{[ $echo->address ]}"}]
CONFIG
my $weir = $t->start_weir(config => $config);
$weir->wait_server('web', $_, 'up') for qw(a b);

sub descriptors { my @all = glob "/proc/$_[0]/fd/*"; return scalar @all }
sub is_gone { my ($pid) = @_; waitpid $pid, POSIX::WNOHANG(); return !kill 0, $pid }

# From signal to the end of the old master.
sub upgrade {
    my $old = $weir->pid;
    my $at = length $weir->log;
    $weir->signal('USR2');
    my $new = $weir->follow_pid_file;
    $t->wait_until(sub { is_gone($old) || !$weir->is_running }, 'the old master is gone', 30);
    return $new;
}

sub running_workers { return grep { $_->{state} eq 'running' } @{ $weir->stats->{workers} } }

subtest 'under load' => sub {
    my $client = $t->client($tcp);
    $client->send('x');
    is($client->read_bytes(1), 'x', 'a session remembers its server');
    my ($sticky) = grep { $_->{active} } @{ $weir->stats_pool('raw')->{servers} };
    $client->close;
    my ($exit) = $t->run($ctl, '-S', $weir->control_socket, 'server', 'web/b', 'drain');
    is($exit, 0, 'one server is drained');
    my $cookie = $t->http_get($http, '/')->{headers}{'set-cookie'};
    my $first = $weir->pid;
    my $started = $weir->metrics =~ /^weir_process_start_time_seconds (\d+)$/m ? $1 : 0;
    my @loads = (
        $t->load(port => $http),
        $t->load(port => $http, requests_per_connection => 1),
    );
    $_->wait_ok(20) for @loads;
    my $fds = descriptors($first);
    my $times = $ENV{UPGRADES} // 8;
    for my $n (1 .. $times) {
        install($built);
        my $old = $weir->pid;
        isnt(upgrade(), $old, "upgrade $n: another master");
        $_->wait_ok(10) for @loads;
    }
    my $requests = $weir->stats_listener('web')->{requests};
    for my $load (@loads) {
        my $r = $load->stop;
        is($r->{failed}, 0, 'not one request has failed') or diag explain $r->{reasons};
        cmp_ok($r->{ok}, '>', 100, 'of many');
    }
    my $s = $weir->stats;
    is($s->{pid}, $weir->pid, 'the statistics are those of the new one');
    is($s->{generation}, 1 + $times, 'the configuration was loaded each time');
    cmp_ok($requests, '>', 200, 'counters go on');
    is($s->{worker_deaths}, 0, 'no worker died');
    is(scalar running_workers(), 2, 'two workers run');
    is($weir->metrics =~ /^weir_process_start_time_seconds (\d+)$/m ? $1 : 0, $started, 'weir runs since it was started first');
    is($weir->stats_server('web', 'b')->{admin}, 'drain', 'what the operator set stays');
    is($weir->stats_server('web', 'b')->{health}, 'up', 'so does health');
    is($t->http_get($http, '/')->{headers}{'set-cookie'}, $cookie, 'and the names of cookies');
    $t->wait_until(sub { descriptors($weir->pid) <= $fds }, 'no descriptor is left over');
    pass('no descriptor is left over');
    for (1 .. 4) {
        my $c = $t->client($tcp);
        $c->send('y');
        $c->read_bytes(1);
        my ($now) = grep { $_->{active} } @{ $weir->stats_pool('raw')->{servers} };
        is($now->{name}, $sticky->{name}, 'source addresses keep their server');
        $c->close;
        $t->wait_until(sub { $weir->stats_pool('raw')->{active} == 0 }, 'the session has ended');
    }
    is(($t->run($ctl, '-S', $weir->control_socket, 'server', 'web/b', 'ready'))[0], 0, 'the control socket answers');
};

subtest 'sessions under way' => sub {
    my $client = $t->client($tcp);
    $client->send('before');
    is($client->read_bytes(6), 'before', 'a session');
    my $old = $weir->pid;
    $weir->signal('USR2');
    $weir->follow_pid_file;
    ok(kill(0, $old), 'the old master stays for it');
    $client->send('after');
    is($client->read_bytes(5), 'after', 'it goes on');
    is($t->http_get($http, '/')->{status}, 200, 'new clients are served');
    is(scalar running_workers(), 2, 'by new workers');
    ok((grep { $_->{state} eq 'draining' } @{ $weir->stats->{workers} }), 'while the one with the session drains');
    my $middle = $weir->pid;
    $weir->signal('USR2');
    is($t->http_get($http, '/')->{status}, 200, 'a further upgrade waits');
    $weir->reload($config);
    is($weir->pid, $middle, 'reloads do not');
    $client->close;
    $t->wait_until(sub { is_gone($old) }, 'the old master ends with the session');
    isnt($weir->follow_pid_file, $middle, 'and the further upgrade begins');
    $t->wait_until(sub { is_gone($middle) }, 'that master is gone too');
    is($t->http_get($http, '/')->{status}, 200, 'served');
};

subtest 'a binary that does not start' => sub {
    my $load = $t->load(port => $http);
    $load->wait_ok(10);
    my $pid = $weir->pid;
    my $fails = sub {
        my ($what, $re) = @_;
        my $seen = () = $weir->log =~ /upgrade: .*; this binary goes on/g;
        $weir->signal('USR2');
        $t->wait_until(sub { my $n = () = $weir->log =~ /upgrade: .*; this binary goes on/g; return $n > $seen }, "$what: it fails");
        like($weir->log, $re, "$what: the log says why");
        ok($weir->is_running && $weir->pid == $pid, "$what: the old one goes on");
        my ($written) = $t->read('run/weir.pid') =~ /^(\d+)$/;
        is($written, $pid, "$what: the pid file is its own");
        is(scalar @{ $weir->stats->{workers} }, 2, "$what: no slot is lost");
        is(($t->run($ctl, '-S', $weir->control_socket, 'status'))[0], 0, "$what: the control socket is there");
        $load->wait_ok(10);
    };
    my $script = $t->write('bad', "#!/bin/sh\nexit 3\n");
    install($script);
    $fails->('a program that ends', qr/the new binary ended with status 3; this binary goes on/);
    install($script, 0644);
    $fails->('a file that is no program', qr/cannot run \S+: Permission denied.*ended with status 127/s);
    unlink "$bin/weir";
    $fails->('no file', qr/cannot run \S+: No such file or directory/);
    install($t->write('bad', "#!/bin/sh\nkill -SEGV \$\$\n"));
    $fails->('a program that crashes', qr/was killed by signal 11; this binary goes on/);
    install($built);
    $weir->configure($config =~ s/balance|sticky: \{by: source_ip/sticky: {by: nobody/r);
    $fails->('a broken configuration', qr/weir-0\.yaml:\d+:\d+: error: .*nobody/);
    $weir->configure($config);
    $weir->reload($config);
    is($load->stop->{failed}, 0, 'the load had no failures');
    isnt(upgrade(), $pid, 'then one that starts takes over');
};

subtest 'shared memory of another layout' => sub {
    my $load = $t->load(port => $http);
    $load->wait_ok(10);
    my $old = $weir->pid;
    # The version of the layout stands behind the magic number; only who attaches looks at it.
    my ($memory) = grep { (readlink($_) // '') =~ m{^/memfd:weir} && -s $_ > 100_000 } glob "/proc/$old/fd/*";
    ok(defined $memory, 'the shared memory is found');
    open my $fd, '+<:raw', $memory or die "$memory: $!";
    sysseek $fd, 8, 0;
    sysread $fd, my $version, 4;
    sysseek $fd, 8, 0;
    syswrite $fd, pack 'L', 1 + unpack 'L', $version;
    close $fd;
    isnt(upgrade(), $old, 'the new binary takes over all the same');
    like($weir->log, qr/upgrade: the shared memory of the process before cannot be used: counters and states start anew/, 'and says what is lost');
    $weir->wait_server('web', $_, 'up') for qw(a b);
    $load->wait_ok(10);
    is($load->stop->{failed}, 0, 'not one request has failed');
    my $s = $weir->stats;
    is($s->{pid}, $weir->pid, 'the statistics are of the new one');
    is(scalar running_workers(), 2, 'two workers run');
    $old = $weir->pid;
    isnt(upgrade(), $old, 'the next upgrade takes over the new memory');
    cmp_ok($weir->stats_listener('web')->{requests}, '>=', 10, 'with its counters');
};

subtest 'orders in the middle of an upgrade' => sub {
    my $hangs = $t->write('bad', "#!/bin/sh\nexec sleep 1000\n");
    my $begin = sub {
        install($hangs);
        my $seen = () = $weir->log =~ /upgrade: started/g;
        $weir->signal('USR2');
        $t->wait_until(sub { my @n = $weir->log =~ /upgrade: started \S+ as process (\d+)/g; return @n > $seen && $n[-1] }, 'the upgrade begins');
    };
    my $new = $begin->();
    my $generation = $weir->generation;
    $weir->signal('HUP') for 1 .. 20;
    $weir->signal('USR2');
    is($t->http_get($http, '/')->{status}, 200, 'served, while a new binary hangs');
    is($weir->generation, $generation, 'a reload waits for it');
    install($built);
    kill KILL => $new;
    $t->wait_until(sub { (eval { $weir->generation } // 0) > $generation }, 'a reload comes when it has ended');
    pass('a reload comes when it has ended');
    my $old = $weir->pid;
    isnt($weir->follow_pid_file, $old, 'so does the further upgrade');
    $t->wait_until(sub { is_gone($old) }, 'the old master is gone');
    is($t->http_get($http, '/')->{status}, 200, 'served');
    for my $signal (qw(QUIT TERM)) {
        $new = $begin->();
        $weir->signal($signal);
        $t->wait_until(sub { !$weir->is_running }, "$signal: weir ends");
        $t->wait_until(sub { is_gone($new) }, "$signal: so does the new binary");
        like($weir->log, qr/upgrade: given up, as weir is stopping/, "$signal: the upgrade is given up");
        install($built);
        ok(!eval { $t->client($http); 1 }, "$signal: nobody serves");
        $weir = $t->start_weir(config => $config);
        # While a real one comes up, or has just done so: whichever it is told, no weir stays.
        my $at = length $weir->log;
        $weir->signal('USR2');
        $t->wait_until(sub { $weir->log =~ /upgrade: started/ }, 'an upgrade begins');
        my ($pid) = $weir->log =~ /upgrade: started \S+ as process (\d+)/;
        my $first = $weir->pid;
        $weir->signal($signal);
        $t->wait_until(sub { is_gone($first) || !$weir->is_running }, "$signal: the old master is gone", 30);
        # It may have served already when the signal came: then it got that, or the signal came after all was handed over.
        if (!is_gone($pid)) {
            $t->wait_until(sub { is_gone($pid) || $t->read('run/weir.pid') =~ /^$pid$/m }, 'the new one ends, or is the one to signal');
            kill $signal => $pid;
        }
        $t->wait_until(sub { is_gone($pid) }, "$signal: the new one is gone", 30);
        $t->wait_until(sub { !eval { $t->client($http); 1 } }, "$signal: nobody serves");
        pass("$signal: nothing stays");
        $weir = $t->start_weir(config => $config);
        $weir->wait_server('web', $_, 'up') for qw(a b);
        for (1 .. 5) { $weir->signal('HUP') }
        is($weir->signal($signal)->wait_exit, 0, "$signal: in the middle of a reload, too, weir ends");
        $weir = $t->start_weir(config => $config);
    }
};

subtest 'what is left behind makes no sense' => sub {
    my $text = $t->write('left', "weir-upgrade 1\nready 7\nshm 3 x\n");
    my ($exit, undef, $err) = $t->run('sh', '-c', "exec 9<'$text'; exec '$built' -c '" . $weir->config_file . q(')
        , { env => { WEIR_UPGRADE => 9 } });
    is($exit, 1, 'descriptors that are not open: no start');
    like($err, qr/upgrade: bad line "ready"/, 'and the reason');
    for my $n (-1, 0, 2, 77, 'x') {
        ($exit, undef, $err) = $t->run($built, '-c', $weir->config_file, { env => { WEIR_UPGRADE => $n } });
        is($exit, 1, "WEIR_UPGRADE=$n: no start");
        like($err, qr/upgrade: cannot read/, 'and the reason');
    }
    my $other = $t->write('other', "something else\n");
    ($exit, undef, $err) = $t->run('sh', '-c', "exec 9<'$other'; exec '$built' -c '" . $weir->config_file . q(')
        , { env => { WEIR_UPGRADE => 9 } });
    is($exit, 1, 'another text: no start');
    ok(-S $weir->control_socket, 'the control socket is where it was');
    is($t->http_get($http, '/')->{status}, 200, 'the running one does not mind');
};

subtest 'by command' => sub {
    my $old = $weir->pid;
    my ($exit) = $t->run($built, '-c', $weir->config_file, '-s', 'upgrade');
    is($exit, 0, 'weir -s upgrade');
    isnt($weir->follow_pid_file, $old, 'another master');
    $t->wait_until(sub { is_gone($old) }, 'the old master is gone');
    is($t->http_get($http, '/')->{status}, 200, 'serves');
};

$weir->quit;
$t->wait_until(sub { !-e $t->path('run/weir.pid') }, 'the pid file is gone');
ok(!-e $weir->control_socket, 'a graceful end leaves no files');
done_testing;
