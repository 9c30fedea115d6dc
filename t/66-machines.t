#!/usr/bin/perl
# Two machines with weir and a client, in network namespaces: keepalived moves an address, BGP spreads it over both, as the
# files in contrib/keepalived say.  A machine whose weir is not ready gets no clients.
use strict;
use warnings;
use File::Spec;
use Test::More;

my %tool;
for my $name (qw(unshare nsenter ip curl keepalived bird)) {
    ($tool{$name}) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), qw(/usr/sbin /sbin);
}
if (!$ENV{WEIR_TEST_NAMESPACE}) {
    $ENV{PATH} .= ':/usr/sbin:/sbin';
    plan skip_all => 'needs unshare, nsenter, ip and curl' if grep { !$tool{$_} } qw(unshare nsenter ip curl);
    plan skip_all => 'needs keepalived or bird2' if !$tool{keepalived} && !$tool{bird};
    plan skip_all => 'may not make network namespaces here'
        if system('unshare -n -m sh -c "mount -t tmpfs none /run && ip netns add weir && ip link add name weir type bridge" >/dev/null 2>&1') != 0;
    $ENV{WEIR_TEST_NAMESPACE} = 1;
    # Their names are in /run, where daemons write as well: one of its own.
    exec 'unshare', '-n', '-m', 'sh', '-c', 'mount -t tmpfs none /run && ip link set lo up && exec "$@"', 'sh',
        $^X, (map { "-I$_" } @INC), $0 or die "unshare: $!";
}

require Weir::Test;
my $t = Weir::Test->new;
my $source = File::Spec->rel2abs($ENV{WEIR_SRCDIR} // '.');
my %machine = (left => '198.51.100.11', right => '198.51.100.12');
my $address = '192.0.2.10';

sub must {
    my (@command) = @_;
    my ($exit, $out, $err) = $t->run(@command);
    die "@command: $out$err" if $exit;
    return $out;
}
sub within { my ($name, @command) = @_; return ('nsenter', "--net=/run/netns/$name", @command) }

# A bridge with three machines; the router is where clients are.
must(qw(ip link add name lan type bridge mcast_snooping 0));
must(qw(ip link set lan up));
for my $name (sort(keys %machine), 'router') {
    must('ip', 'netns', 'add', $name);
    must('ip', 'link', 'add', "to-$name", 'type', 'veth', 'peer', 'name', 'eth0', 'netns', $name);
    must('ip', 'link', 'set', "to-$name", 'master', 'lan', 'up');
    must(within($name, 'ip', 'link', 'set', $_, 'up')) for qw(lo eth0);
    must(within($name, 'ip', 'addr', 'add', ($machine{$name} // '198.51.100.1') . '/24', 'dev', 'eth0'));
}

# Says which machine it is by where it sends clients.
my %pid;
sub start_weir {
    my ($name) = @_;
    my $file = $t->write("$name.yaml", <<"CONFIG");
version: 1
global:
  workers: 1
  user: nobody
  control: {socket: "@{[ $t->path("run/$name.sock") ]}"}
  stats: {listen: "127.0.0.1:9180"}
  log: {access: off}
  limits: {drain: 60s}
  pid_file: @{[ $t->path("run/$name.pid") ]}
  state_dir: @{[ $t->path('state') ]}
listeners:
  - {name: web, listen: ["*:80"], protocol: http, redirect: {url: "http://$name/"}}
CONFIG
    $pid{$name} = $t->spawn(sub { exec within($name, $t->program('weir'), '-c', $file) }, "$name.log");
    $t->wait_until(sub { ($t->run(within($name, qw(curl -fs -o /dev/null http://127.0.0.1:9180/readyz))))[0] == 0 }, "weir on $name is ready");
}
sub kill_weir { my ($name) = @_; return $t->end_process(delete $pid{$name}, 'KILL') }

# What a new client of the address gets: the name of the machine, or nothing.
sub who {
    my (undef, $out) = $t->run(within('router', qw(curl -s -m 2 -o /dev/null -w %{redirect_url}), "http://$address/"));
    return $out =~ m{^http://(\w+)/} ? $1 : '';
}
sub log_of { my ($name) = @_; return $t->read($name) }

subtest 'keepalived: an address that moves' => sub {
    plan skip_all => 'keepalived is not installed' if !$tool{keepalived};
    my $config = $t->read("$source/contrib/keepalived/keepalived.conf");
    must(within('router', qw(ip route add 192.0.2.0/24 dev eth0)));
    start_weir($_) for qw(left right);
    my %keepalived;
    for my $name (qw(left right)) {
        my $text = $config;
        $text =~ s/state MASTER/state BACKUP/ && $text =~ s/priority 150/priority 100/ if $name eq 'right';
        # As in the file, but for the time between two advertisements.
        $text =~ s/advert_int 1$/advert_int 0.2/m or die 'no advert_int';
        my $file = $t->write("keepalived-$name.conf", $text);
        chmod 0644, $file;
        my ($exit, $out, $err) = $t->run(within($name, $tool{keepalived}, '-t', '-l', '-f', $file));
        # 2.2.7 ends itself by SIGTERM after a test that went well.
        like($exit, qr/^(?:0|143)$/, "$name: keepalived accepts the file") or diag "$out$err";
        is("$out$err", '', 'without a word');
        $keepalived{$name} = $t->spawn(sub {
            exec within($name, $tool{keepalived}, qw(-n -l -P -f), $file, '-p', "/run/k-$name.pid", '-r', "/run/v-$name.pid");
        }, "keepalived-$name.log");
    }
    my $moves = sub {
        my ($name, $why) = @_;
        ok(eval { $t->wait_until(sub { who() eq $name }, "the address is on $name", 30) }, "$why: clients reach $name")
            or diag map { log_of("keepalived-$_.log") } qw(left right);
    };
    $moves->('left', 'at first');
    kill_weir('left');
    $moves->('right', 'weir on left has died');
    start_weir('left');
    $moves->('left', 'it is back');
    # A connection that lasts: weir finishes it, is not ready any more, and new clients go elsewhere.
    my $held = $t->spawn(sub {
        exec within('router', 'bash', '-c', "exec 3<>/dev/tcp/$machine{left}/80; printf 'GET / HTTP/1.1\\r\\n' >&3; read -r -u 3; sleep 1000");
    });
    $t->wait_until(sub { (must(within('left', qw(ss -Htn state established sport = :80)))) =~ /\S/ }, 'a client has begun');
    kill 'QUIT', $pid{left};
    $moves->('right', 'weir on left is ending');
    $t->end_process($held, 'KILL');
    kill_weir('left') if waitpid($pid{left}, POSIX::WNOHANG()) == 0;
    kill_weir('right');
    $t->end_process($keepalived{$_}, 'TERM') for qw(left right);
    must(within('router', qw(ip route del 192.0.2.0/24 dev eth0)));
};

subtest 'BGP: an address on both' => sub {
    plan skip_all => 'bird2 is not installed' if !$tool{bird};
    must(within('router', qw(sysctl -qw net.ipv4.fib_multipath_hash_policy=1)));
    start_weir($_) for qw(left right);
    my $bird = sub {
        my ($name, $text) = @_;
        my $file = $t->write("bird-$name.conf", $text);
        my ($exit, $out, $err) = $t->run($tool{bird}, '-p', '-c', $file);
        is("$exit$out$err", '0', "$name: bird accepts the file");
        return $t->spawn(sub { exec within($name, $tool{bird}, '-f', '-c', $file, '-s', "/run/bird-$name.ctl", '-P', "/run/bird-$name.pid") }, "bird-$name.log");
    };
    my @daemons = $bird->('router', $t->read("$source/contrib/keepalived/ecmp-router.conf"));
    my $text = $t->read("$source/contrib/keepalived/ecmp-bird.conf");
    my %announce;
    for my $name (qw(left right)) {
        must(within($name, qw(ip addr add), "$address/32", 'dev', 'lo'));
        push @daemons, $bird->($name, $text =~ s/198\.51\.100\.11/$machine{$name}/gr);
        $announce{$name} = $t->spawn(sub { exec within($name, "$source/contrib/keepalived/announce", "$address/32") }, "announce-$name.log");
    }
    # The ways that the router has to the address, in the order of machines.
    my $ways = sub {
        my $routes = must(within('router', qw(ip route show), "$address/32"));
        return join ' ', grep { $routes =~ /via \Q$machine{$_}\E / } qw(left right);
    };
    my $spread = sub {
        my ($want, $why) = @_;
        ok(eval { $t->wait_until(sub { $ways->() eq $want }, "the address is announced by: $want", 30) }, "$why: the router knows '$want'")
            or diag must(within('router', qw(ip route))), map { log_of("bird-$_.log") } qw(router left right);
    };
    $spread->('left right', 'both are ready');
    my %seen;
    ok($t->wait_until(sub { $seen{ who() }++; $seen{left} && $seen{right} }, 'both machines have clients', 30), 'clients reach both');
    ok(!$seen{''}, 'and always one of them');
    kill_weir('left');
    $spread->('right', 'weir on left has died');
    is(who(), 'right', 'clients reach the other') for 1 .. 5;
    start_weir('left');
    $spread->('left right', 'it is back');
    is($t->end_process($announce{right}, 'TERM'), 0, 'the script ends');
    $spread->('left', 'nobody looks after right');
    kill_weir($_) for qw(left right);
    $spread->('', 'none is ready');
    $t->end_process($_, 'TERM') for @daemons, $announce{left};
};

done_testing;
