#!/usr/bin/perl
# Faults at random under load, for CHAOS_SECONDS (20): first those that no client may notice, then those that end
# what a process had in its hands.  CHAOS_SEED repeats a run's choices, CHAOS_ONLY is a pattern of the faults to choose
# from.  Not part of make check: make check-long.
use strict;
use warnings;
use File::Copy qw(copy);
use IO::Socket::IP;
use JSON::PP ();
use POSIX ();
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(time sleep);
use Weir::Test;

my $disk = Weir::Test::small_disk('64m');
my $seconds = $ENV{CHAOS_SECONDS} // 20;
my $seed = $ENV{CHAOS_SEED} // (time * 1000) % 1_000_000;
srand $seed;
diag "CHAOS_SEED=$seed CHAOS_SECONDS=$seconds";

my $t = Weir::Test->new(watchdog => 600 + 3 * $seconds);
# The binary is replaced too: the test works on copies.
my $bin = $t->path('bin');
mkdir $bin;
my %built = map { $_ => $t->program($_) } qw(weir weirctl programs/h2clients programs/clockjump.so);
mkdir "$bin/programs";
symlink $built{$_}, "$bin/$_" for grep { $_ ne 'weir' } keys %built;
$t->{build} = $bin;

sub install {
    my ($from) = @_;
    copy($from, "$bin/weir.new") or die "copy: $!";
    chmod 0755, "$bin/weir.new";
    rename "$bin/weir.new", "$bin/weir" or die "rename: $!";
    return;
}
install($built{weir});

my ($http, $tls, $tcp, $udp, $extra) = $t->ports(5);
# Each answer tells which request it belongs to.
my $handler = sub {
    my ($r) = @_;
    return undef if $r->{path} !~ m{^/id/(.+)};
    my $mode = $t->read('origin.mode');
    return "no response at all\r\n\r\n" if $mode eq 'garbage';
    return { until_close => 1, close => 1, status => 500, body => '' } if $mode eq 'failing';
    sleep 0.2 if $mode eq 'slow';
    return { status => 200, body => "id $1\n" . ('x' x (length($1) * 37 % 5000)) };
};
my @origins = map { $t->origin($_, handler => $handler) } qw(a b c);
my $echo = $t->tcp_echo('echo');
my $udp_port = $t->port;
$t->spawn(sub {
    my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $udp_port, Proto => 'udp', Type => SOCK_DGRAM) or die $!;
    while (1) {
        my $from = recv($socket, my $data, 65536, 0) // next;
        send $socket, $data, 0, $from;
    }
});
$t->make_cert($t->path('certs'), 'web', ['localhost'], type => 'ec');

my $log_dir = $disk // $t->dir;
my %state = (workers => 3, access => "$log_dir/access.log", extra => 0);

sub config {
    my $servers = join "\n", map { "      - {name: @{[ $_->name ]}, address: \"@{[ $_->address ]}\"}" } @origins;
    my $more = $state{extra} ? "  - {name: extra, listen: [\"127.0.0.1:$extra\"], protocol: http, pool: web}\n" : '';
    return $t->config(<<"CONFIG", workers => $state{workers}, access => $state{access}, global => "limits: {drain: 30s}\nstate_interval: 1s");
listeners:
  - {name: web, listen: ["127.0.0.1:$http"], protocol: http, pool: web}
  - {name: tls, listen: ["127.0.0.1:$tls"], protocol: https, tls: {certificate: web, alpn: [h2, http/1.1]}, pool: web}
  - {name: raw, listen: ["127.0.0.1:$tcp"], protocol: tcp, pool: raw}
  - {name: dns, listen: ["127.0.0.1:$udp"], protocol: udp, timeouts: {flow: 2s}, pool: dns}
${more}pools:
  - name: web
    health: {type: http, path: /check, interval: 200ms, timeout: 1s, rise: 1, fall: 2}
    servers:
$servers
  - name: raw
    protocol: tcp
    servers: [{name: echo, address: "@{[ $echo->address ]}"}]
  - name: dns
    protocol: udp
    servers: [{name: echo, address: "127.0.0.1:$udp_port"}]
CONFIG
}

my $weir = $t->start_weir(config => config(), env => $t->clock_env);
$weir->wait_server('web', $_->name, 'up') for @origins;

# ---- clients ----

my @clients;

# Runs `one` until told to stop; it dies when a request failed, saying "wrong" when the answer was another's.
sub client {
    my ($name, $one) = @_;
    my $base = $t->path("client-$name");
    push @clients, { name => $name, base => $base };
    $t->spawn(sub {
        my %sum = (ok => 0, failed => 0, wrong => 0);
        my $state = {};
        open my $out, '>:raw', $base or die "$base: $!";
        open my $why, '>>', "$base.why" or die "$base.why: $!";
        $why->autoflush(1);
        while (!-e "$base.stop") {
            if (eval { $one->($state); 1 }) {
                $sum{ok}++;
            } else {
                $sum{ $@ =~ /^wrong/ ? 'wrong' : 'failed' }++;
                printf {$why} "%.3f %s", time, $@;
                $state = {};
                sleep 0.02;
            }
            sysseek $out, 0, 0;
            syswrite $out, pack 'QQQ', @sum{qw(ok failed wrong)};
        }
        POSIX::_exit(0);
    }, "client-$name.log");
    return;
}

sub progress {
    my %sum = (ok => 0, failed => 0, wrong => 0, least => undef);
    for my $c (@clients) {
        my ($ok, $failed, $wrong) = unpack 'QQQ', $t->read($c->{base});
        $sum{ok} += $ok // 0;
        $sum{failed} += $failed // 0;
        $sum{wrong} += $wrong // 0;
        $c->{ok} = $ok // 0;
    }
    return \%sum;
}

# Each client has had `more` more answers.
sub all_served {
    my ($more, $what) = @_;
    progress();
    my %goal = map { $_->{name} => $_->{ok} + $more } @clients;
    $t->wait_until(sub { progress(); !grep { $_->{ok} < $goal{ $_->{name} } } @clients }, "all clients are served $what", 40);
    return;
}

sub http_client {
    my ($s, $port, $keep) = @_;
    my $id = "$$-" . ++$s->{n} . '-' . int rand 1e9;
    # Closing an idle connection is the server's right.
    $s->{c} = undef if $s->{c} && $s->{c}->is_closed;
    my $c = $s->{c} //= Weir::Test::Client->new(host => '127.0.0.1', port => $port, timeout => 30);
    my $r = $c->get("/id/$id", headers => $keep ? [] : [ Connection => 'close' ]);
    die "status $r->{status}\n" if $r->{status} >= 500;
    die "wrong: $r->{status} $r->{body}\n" if $r->{status} != 200 || $r->{body} !~ /^id \Q$id\E\n/;
    $s->{c} = undef if !$keep || $r->{closes};
    return;
}

sub tcp_client {
    my ($s) = @_;
    my $c = $s->{c} //= Weir::Test::Client->new(host => '127.0.0.1', port => $tcp, timeout => 30);
    my $line = "$$ " . ++$s->{n} . ' ' . ('y' x int rand 3000) . "\n";
    $c->send($line);
    my $back = $c->read_bytes(length $line);
    die "wrong: not what was sent\n" if $back ne $line;
    # Sessions last a while, shorter than the time a reload leaves to them, on a loaded machine too.
    $s->{since} //= time;
    return if $s->{n} % 200 && time - $s->{since} < 1;
    $s->{c} = $s->{since} = undef;
    return;
}

sub udp_client {
    my ($s) = @_;
    $s->{c} //= IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $udp, Proto => 'udp', Type => SOCK_DGRAM) or die "socket: $!\n";
    my $text = "$$ " . ++$s->{n};
    send $s->{c}, $text, 0;
    my $ready = '';
    vec($ready, fileno $s->{c}, 1) = 1;
    select($ready, undef, undef, 5) > 0 or die "no answer to a datagram\n";
    recv $s->{c}, my $back, 65536, 0;
    die "wrong: $back instead of $text\n" if $back ne $text;
    $s->{c} = undef if $s->{n} % 300 == 0;
    sleep 0.002;
    return;
}

sub start_clients {
    client("kept-$_", sub { http_client($_[0], $http, 1) }) for 1 .. 3;
    client("closing-$_", sub { http_client($_[0], $http, 0) }) for 1 .. 2;
    client("tcp-$_", \&tcp_client) for 1 .. 2;
    client("udp-$_", \&udp_client) for 1 .. 2;
    return;
}

# ---- faults ----

sub is_alive { my ($pid) = @_; return $t->read("/proc/$pid/stat") =~ /\) ([^ZX]) / ? 1 : 0 }

sub control_pid { my %worker = map { $_ => 1 } $weir->workers, $weir->workers('draining'); return grep { !$worker{$_} } $weir->children }

sub answering { return $t->wait_until(sub { eval { $weir->stats_get('/readyz')->{status} == 200 } }, 'the stats endpoint answers', 30) }

sub upgrade {
    my $old = $weir->pid;
    $weir->signal('USR2');
    $weir->follow_pid_file;
    $t->wait_until(sub { waitpid $old, POSIX::WNOHANG(); !kill 0, $old }, 'the old master is gone', 60);
    return answering();
}

sub ctl { my (@words) = @_; return is(($t->weirctl('-S', $weir->control_socket, @words))[0], 0, "weirctl @words") }

# Lines that are gone were not lost by weir: only the audit at the end counts.
sub empty_log { truncate "$log_dir/access.log", 0 if -s "$log_dir/access.log"; return }

sub fill_disk {
    open my $out, '>>', "$disk/filler" or die "filler: $!";
    1 while syswrite $out, 'x' x 4096;
    1 while syswrite $out, 'x';
    return;
}

# With a limit of descriptors that leaves none.
sub without_files {
    my ($pid, $do) = @_;
    $t->leave_files($pid, 0);
    my $done = eval { $do->(); 1 };
    my $why = $@;
    eval { $t->limit($pid, nofile => 4096) };
    die $why if !$done;
    return;
}

sub upgrade_fails {
    my ($text) = @_;
    my $seen = () = $weir->log =~ /this binary goes on/g;
    install($t->write('bad', $text));
    $weir->signal('USR2');
    $t->wait_until(sub { my $n = () = $weir->log =~ /this binary goes on/g; return $n > $seen }, 'the upgrade fails', 30);
    install($built{weir});
    return;
}

my %harmless = (
    'the clock set' => sub { $t->jump_clock(int(rand 20 * 86400) - 10 * 86400); all_served(10, 'at another time'); $t->jump_clock(0) if rand > 0.5 },
    'certificates replaced' => sub { $t->make_cert($t->path('certs'), 'web', ['localhost'], type => 'ec'); ctl(qw(certs reload)) },
    'weights changed' => sub { ctl('server', 'web/' . $origins[ rand @origins ]->name, 'weight', 1 + int rand 5) },
    'a new binary that ends' => sub { upgrade_fails("#!/bin/sh\nexit 3\n") },
    'a new binary that crashes' => sub { upgrade_fails("#!/bin/sh\nkill -SEGV \$\$\n") },
    'reloads in the middle of an upgrade' => sub {
        my $old = $weir->pid;
        $weir->signal('HUP');
        $weir->signal('USR2');
        for (1 .. 20) { $weir->signal('HUP'); sleep 0.01 }
        $weir->follow_pid_file;
        $t->wait_until(sub { waitpid $old, POSIX::WNOHANG(); !kill 0, $old }, 'the old master is gone', 60);
        answering();
        $weir->reload(config());
    },
    'no descriptors for the master' => sub {
        without_files($weir->pid, sub {
            my $failures = $weir->stats->{reload_failures};
            $weir->signal('HUP');
            $t->wait_until(sub { $weir->stats->{reload_failures} > $failures }, 'the reload fails', 30);
        });
        $weir->reload(config());
    },
    'no descriptors for control' => sub { my ($control) = control_pid() or return; without_files($control, sub { all_served(10, 'without control') }); answering() },
    $disk ? ('a full disk' => sub {
        fill_disk();
        eval { all_served(20, 'on a full disk'); $weir->reload(config()); 1 } or do { my $why = $@; unlink "$disk/filler"; die $why };
        unlink "$disk/filler";
        empty_log();
    }) : (),
    'a reload' => sub { $weir->reload(config()) },
    'another number of workers' => sub { $state{workers} = 1 + int rand 5; $weir->reload(config()) },
    'a listener more, and less' => sub {
        $state{extra} = 1;
        $weir->reload(config());
        is($t->http_get($extra, '/id/extra')->{status}, 200, 'a new listener serves');
        $state{extra} = 0;
        $weir->reload(config());
    },
    'a configuration that is wrong' => sub { $weir->reload_fails("version: 1\nlisteners: 7\n"); $weir->configure(config()) },
    'logs opened again' => sub { $weir->signal('USR1') },
    'a full disk under the access log' => sub { local $state{access} = '/dev/full'; $weir->reload(config()); all_served(20, 'without a log'); },
    'the control process killed' => sub {
        my $deaths = $weir->log =~ tr/\n//;
        my ($control) = control_pid();
        kill 'KILL', $control if $control;
        sleep 0.05;
        answering();
    },
    'the control process stopped a while' => sub {
        my ($control) = control_pid() or return;
        kill 'STOP', $control;
        all_served(20, 'without control');
        kill 'CONT', $control;
        answering();
    },
    'the binary replaced' => \&upgrade,
    'a server drained and back' => sub {
        my $name = $origins[ rand @origins ]->name;
        for my $word (qw(drain ready)) {
            is(($t->weirctl('-S', $weir->control_socket, 'server', "web/$name", $word))[0], 0, "weirctl server web/$name $word");
            all_served(5, "with $name: $word");
        }
    },
    'three reloads at once' => sub { $weir->signal('HUP') for 1 .. 3; $weir->reload(config()) },
);
sub start_anew {
    $weir->start;
    $weir->wait_ready;
    return;
}

sub with_origins { my ($mode) = @_; $t->write('origin.mode', $mode); sleep 0.5; $t->write('origin.mode', ''); return }

my %harmful = (
    'no descriptors for a worker' => sub { my @w = $weir->workers; without_files($w[ rand @w ], sub { sleep 0.5 }) },
    'servers that fail' => sub { with_origins('failing') },
    'servers that talk nonsense' => sub { with_origins('garbage') },
    'servers that are slow' => sub { with_origins('slow') },
    'a reload while workers are frozen' => sub {
        my @w = ($weir->workers)[0];
        kill 'STOP', @w;
        $state{extra} = 1 - $state{extra};
        $weir->reload(config());
        kill 'CONT', @w;
    },
    'the master killed' => sub {
        my @children = $weir->children;
        kill 'STOP', $children[ rand @children ];
        $weir->kill;
        $t->wait_until(sub { !grep { is_alive($_) } @children }, 'no process outlives the master', 30);
        start_anew();
    },
    'a worker without memory' => sub {
        return if Weir::Test::patience() > 1;
        my @w = $weir->workers;
        my $pid = $w[ rand @w ];
        my ($kb) = $t->read("/proc/$pid/status") =~ /VmSize:\s+(\d+)/;
        $t->limit($pid, as => ($kb + 64) * 1024);
        my @idle = map { my $c = eval { $t->client($http) }; $c ? (eval { $c->send("GET /" . 'x' x 3000) } , $c) : () } 1 .. 200;
        sleep 0.3;
        kill 'KILL', $pid if is_alive($pid);
    },
    'a worker killed' => sub { my @w = $weir->workers; kill 'KILL', $w[ rand @w ] },
    'all workers killed' => sub { kill 'KILL', $weir->workers },
    'a worker stopped a while' => sub { my @w = $weir->workers; my $pid = $w[ rand @w ]; kill 'STOP', $pid; sleep 0.5; kill 'CONT', $pid },
    'a server killed and back' => sub { my $o = $origins[ rand @origins ]; $o->stop; sleep 0.3; $o->start },
    'a server stopped a while' => sub { my $o = $origins[ rand @origins ]; kill 'STOP', $o->pid; sleep 1; kill 'CONT', $o->pid },
    'all servers gone and back' => sub { $_->stop for @origins; sleep 0.5; $_->start for @origins },
    'a reload while a worker is killed' => sub { my @w = $weir->workers; $weir->configure(config()); $weir->signal('HUP'); kill 'KILL', $w[ rand @w ]; answering() },
    'connections up to the limit' => sub {
        my @idle = map { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $http, Type => Socket::SOCK_STREAM()) // () } 1 .. 500;
        all_served(3, 'beside idle connections');
    },
    %harmless,
);

if (my $only = $ENV{CHAOS_ONLY}) {
    for my $set (\%harmless, \%harmful) { delete $set->{$_} for grep { !/$only/ } keys %$set }
}

my %happened;

sub run_faults {
    my ($faults, $until) = @_;
    my @names = sort keys %$faults;
    while (time < $until) {
        my $name = $names[ rand @names ];
        empty_log();
        my $before = progress();
        my $lived = eval { $faults->{$name}->(); all_served(10, "after: $name"); 1 };
        ok($lived, "$name: all clients are served again") or diag $@, join '', grep { defined } (split /^/, $weir->log)[ -40 .. -1 ];
        my $after = progress();
        $happened{$name}++;
        is($after->{wrong}, 0, "$name: no answer is another's") if $after->{wrong};
        return $name if !$lived || ($faults == \%harmless && $after->{failed} > $before->{failed});
    }
    return;
}

sub why { return map { $t->read("$_->{base}.why") } @clients }

# ---- what no client may notice ----

start_clients();
all_served(50, 'at first');
# Sockets that were made for more workers stay open for those who have them in their queue.
for (5, 5, 3) {
    $state{workers} = $_;
    $weir->reload(config());
}
upgrade();
my %baseline = (fds => $t->open_files($weir->pid), kb => $t->resident($weir->pid));
my $h2_seconds = int($seconds / 2) + 1;
$t->spawn(sub {
    open STDOUT, '>', $t->path('h2');
    exec $t->program('programs/h2clients'), $tls, 'tls', $h2_seconds, 2, 4, '/bytes/300', 300;
}, 'h2.err');
my $culprit = run_faults(\%harmless, time + $seconds / 2);
is(progress()->{failed}, 0, 'faults that concern no client: not one request failed') or diag 'after: ', $culprit // '?', "\n", why();
is(progress()->{wrong}, 0, 'and no answer was wrong');
# They take their time, however soon a fault ended the round above.
$t->wait_until(sub { $t->read('h2') =~ /\n$/ }, 'the HTTP/2 clients have ended', $h2_seconds + 60);
my %h2 = split /\s+/, $t->read('h2');
is($h2{failed}, 0, "HTTP/2 over TLS: none of $h2{sent} requests failed") or diag $t->read('h2.err');

# ---- what ends things ----

run_faults(\%harmful, time + $seconds / 2);
is(progress()->{wrong}, 0, 'whatever happened, no answer was wrong') or diag why();

# ---- and afterwards ----

$t->jump_clock(0);
$state{workers} = 3;
$state{extra} = 0;
$weir->reload(config());
all_served(20, 'when all is over');
my $total = progress();
$t->write("$_->{base}.stop", '') for @clients;
my $quiet = eval {
    $t->wait_until(sub {
        my $s = $weir->stats;
        !grep { $_->{active} } @{ $s->{listeners} }, map { $_, @{ $_->{servers} } } @{ $s->{pools} };
    }, 'nothing is in progress', 60);
};
ok($quiet, 'all counts of what is in progress are back at 0') or diag explain [ map { "$_->{name} $_->{active}" } @{ $weir->stats->{listeners} }, map { $_, @{ $_->{servers} } } @{ $weir->stats->{pools} } ];
ok(eval { $t->wait_until(sub { $weir->children == 4 }, 'three workers and control remain', 60) }, 'three workers and control remain');
ok(eval { $t->wait_until(sub { $t->open_files($weir->pid) <= $baseline{fds} }, 'descriptors', 30) }, 'the master has no descriptor more than before')
    or diag $t->open_files($weir->pid), " instead of $baseline{fds}: ", join ' ', (map { readlink($_) // '' } glob "/proc/@{[ $weir->pid ]}/fd/*"),
    `ss -lntup | grep pid=@{[ $weir->pid ]},`;
# The sanitizers keep what is freed for a while, and look for leaks themselves.
my $more_kb = Weir::Test::patience() > 1 ? 256 << 10 : 4 << 10;
cmp_ok($t->resident($weir->pid), '<', $baseline{kb} + $more_kb, "the master holds no more memory: $baseline{kb} kB before");
# Each request is a line in the log, or one that is counted as lost, be the disk full or not.
sub sum { my ($s, @fields) = @_; my $sum = 0; for my $l (@{ $s->{listeners} }) { $sum += $l->{$_} // 0 for @fields } return $sum }
{
    $weir->reload(config());
    $t->wait_until(sub { $weir->children == 4 }, 'what is in the batches of workers is written', 60);
    empty_log();
    my $before = $weir->stats;
    my @loads = map { $t->load(port => $http, clients => 2, keepalive => $_) } 0, 1;
    $_->wait_ok(100) for @loads;
    if ($disk) {
        fill_disk();
        $t->wait_until(sub { fill_disk(); $weir->stats->{log_lines_lost} > $before->{log_lines_lost} }, 'lines are lost', 60);
        $_->wait_ok(100) for @loads;
        unlink "$disk/filler";
    }
    $_->wait_ok(100) for @loads;
    is($_->stop->{failed}, 0, 'no request fails for want of a log') for @loads;
    my $after = $weir->stats;
    my $requests = sum($after, 'requests') - sum($before, 'requests');
    my @classes = map { "status_${_}xx" } 1 .. 5;
    is(sum($after, @classes) - sum($before, @classes), $requests, "each of $requests requests has its status class");
    my ($lines, $lost);
    eval {
        $t->wait_until(sub {
            $lines = grep { eval { JSON::PP::decode_json($_) } } split /\n/, $t->read("$log_dir/access.log");
            $lost = $weir->stats->{log_lines_lost} - $before->{log_lines_lost};
            return $lines + $lost == $requests;
        }, 'lines are written', 10);
    };
    is($lines + $lost, $requests, "$requests requests: $lines lines and $lost that were lost");
}

my @family;
# Now and then another one writes the state.
ok(eval { $t->wait_until(sub { @family = Weir::Test::descendants($weir->pid); @family == 4 }, 'no process but these') }, 'no process but these') or diag "@family";
my @zombies = grep { $t->read("/proc/$_/stat") =~ /\) Z / } @family;
is(scalar @zombies, 0, 'and no zombie');
my @strangers = grep { my $pid = $_; (readlink "/proc/$pid/exe" // '') =~ m{^\Q$bin\E/weir\b} && !grep { $pid == $_ } $weir->pid, @family } Weir::Test::descendants($$);
is(scalar @strangers, 0, 'no orphan of any weir before') or diag "@strangers";
my $stats = $weir->stats;
is(join(' ', map { $_->{state} } @{ $stats->{workers} }), 'running running running', 'each slot is a worker that runs');
$weir->quit;
ok(!$weir->is_running, 'weir ends in peace');
diag sprintf '%d requests answered, %d failed in faults that end things, 0 wrong; HTTP/2: %d; faults: %s', $total->{ok}, $total->{failed},
    $h2{ok}, join ', ', map { "$_ $happened{$_}" } sort keys %happened;
done_testing;
