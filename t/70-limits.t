#!/usr/bin/perl
# At the start weir tells which limits of the machine are too low, with the command that mends it; a machine whose limits
# are right hears nothing.  Limits of the network are those of a namespace.
use strict;
use warnings;
use Test::More;

# A network of its own, where sysctl(8) may write.
if (!$ENV{WEIR_TEST_NAMESPACE}) {
    $ENV{PATH} .= ':/usr/sbin:/sbin';
    if (system('unshare -n sh -c "ip link set lo up && sysctl -w net.core.somaxconn=4096" >/dev/null 2>&1') == 0) {
        $ENV{WEIR_TEST_NAMESPACE} = 1;
        exec 'unshare', '-n', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh', $^X, (map { "-I$_" } @INC), $0 or die "unshare: $!";
    }
}

require Weir::Test;
my $t = Weir::Test->new;
my $port = $t->port;
my $memory;    # a control group

sub config {
    my ($global, $address) = @_;
    return $t->config(<<"CONFIG", global => $global // '');
listeners: [{name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}]
pools: [{name: web, servers: [{name: a, address: "@{[ $address // '127.0.0.1:9' ]}"}]}]
CONFIG
}

# What weir says of limits when it is started so.
my $runs = 0;
sub limits {
    my ($config, $before) = @_;
    my $file = $t->write('weir.yaml', $config);
    my $log = 'log' . $runs++;
    my $pid = $t->spawn(sub { exec 'sh', '-c', ($before // 'ulimit -n 65536') . "; exec '@{[ $t->program('weir') ]}' -c '$file'" }, $log);
    $t->wait_until(sub { $t->read($log) =~ /configuration 1 .* is in force/ }, 'weir serves');
    kill 'HUP', $pid;
    $t->wait_until(sub { $t->read($log) =~ /configuration 2 .* is in force/ }, 'a reload');
    is($t->end_process($pid, 'TERM'), 0, 'weir ends');
    return join "\n", $t->read($log) =~ / warn master\[\d+\]: limits: (.*)/g;
}

subtest 'open files' => sub {
    like(limits(config(), 'ulimit -n 900'), qr/\Aeach worker may open 900 files only, .* LimitNOFILE=65536 in .* ulimit -n 65536\z/,
        'few files are told, once');
};

SKIP: {
    skip 'may not make a network namespace here', 1 if !$ENV{WEIR_TEST_NAMESPACE};
    my $sysctl = sub { my ($exit, $out, $err) = $t->run('sysctl', '-qw', @_); die "sysctl: $out$err" if $exit };
    # Runs the command that the warning names.
    my $mend = sub {
        my ($said) = @_;
        my ($command) = $said =~ /mend it with: (.*)/;
        my ($exit, $out, $err) = $t->run('sh', '-c', $command // 'false');
        is($exit, 0, 'the command that is named can be run') or diag "$said$out$err";
    };

    subtest 'a machine as it should be' => sub {
        $sysctl->('net.core.somaxconn=4096', 'net.ipv4.ip_local_port_range=32768 60999');
        is(limits(config("limits: {connections: 10000}", $_)), '', "no warning, with a server at $_") for '127.0.0.1:9', '[::1]:9';
        is(limits(config()), '', 'nor where no number of connections is given');
    };
    subtest 'waiting connections' => sub {
        $sysctl->('net.core.somaxconn=128');
        my $said = limits(config());
        like($said, qr/\Aonly 128 new connections may wait at a socket, so bursts are lost; .*net\.core\.somaxconn=4096\z/, 'few');
        $mend->($said);
        is(limits(config()), '', 'mended');
    };
    # The range of IPv4 is that of IPv6 too.
    subtest 'local ports' => sub {
        for my $server ('127.0.0.1:9', '[::1]:9') {
            $sysctl->('net.ipv4.ip_local_port_range=40000 40999');
            my $said = limits(config('', $server));
            like($said, qr/\A1000 local ports are few: .*/, "few, with a server at $server");
            $mend->($said);
            is(limits(config('', $server)), '', 'mended');
            $sysctl->('net.ipv4.ip_local_port_range=32768 60999');
            $said = limits(config('limits: {connections: 20000}', $server), 'ulimit -n 65536');
            like($said, qr/\Apool web: 40000 connections may want its 1 servers at a time, and there are 28232 local ports/,
                'fewer than connections');
            $mend->($said);
            is(limits(config('limits: {connections: 20000}', $server)), '', 'mended');
        }
    };
}

subtest 'memory of a control group' => sub {
    my ($file) = grep { -e } '/sys/fs/cgroup/memory/memory.limit_in_bytes';
    my $two = -e '/sys/fs/cgroup/cgroup.controllers' && $t->read('/sys/fs/cgroup/cgroup.subtree_control') =~ /\bmemory\b/;
    plan skip_all => 'no control groups of memory' if $> != 0 || (!$file && !$two);
    $memory = ($two ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory') . "/weir-test-$$";
    plan skip_all => "cannot make a control group: $!" if !mkdir $memory;
    $t->write("$memory/" . ($two ? 'memory.max' : 'memory.limit_in_bytes'), 512 << 20);
    my $said = limits(config('limits: {connections: 80000}'), "ulimit -n 200000; echo \$\$ >$memory/cgroup.procs");
    like($said, qr/160000 connections .* may take 625 MiB, and 512 are available; lower the limit or add memory$/m, 'too little');
    is(limits(config('limits: {connections: 10000}'), "ulimit -n 65536; echo \$\$ >$memory/cgroup.procs"), '', 'enough');
};
END { rmdir $memory if $memory }

done_testing;
