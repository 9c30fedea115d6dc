#!/usr/bin/perl
# The Debian package: installed, run as its unit runs it, upgraded under load, removed and purged, on a machine of its own.
use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::Machine;
use Weir::Test::Package;

my $t = Weir::Test->new(watchdog => 600);
my $machine = Weir::Test::Machine->new($t) or plan skip_all => 'cannot make a machine of its own here';
my $old = Weir::Test::Package::build($t) or plan skip_all => 'dpkg-dev is not installed';
my $new = Weir::Test::Package::newer($t, $old);

# Where the libraries stand in a package's dependencies they are there, as this machine has built it; nothing is fetched.
sub dpkg {
    my (@args) = @_;
    my ($exit, $out, $err) = $machine->run('dpkg', @args);
    is($exit, 0, "dpkg @args") or diag "$out$err";
    return "$out$err";
}
sub is_there { my ($path) = @_; ok($machine->exists($path), "$path is there") }
sub is_gone { my ($path) = @_; ok(!$machine->exists($path), "$path is gone") }

# Anything that this machine has of weir is not what is tested; nor is an index of its manual, which takes a while.
$machine->sh('rm -f /var/lib/man-db/auto-update; dpkg --purge weir 2>/dev/null; userdel weir 2>/dev/null; rm -rf /etc/weir /var/lib/weir /var/log/weir; true');

subtest 'the package' => sub {
    my ($exit, $control) = $t->run('dpkg-deb', '--field', $old);
    like($control, qr/^Depends: .*\blibc6 \(>= .*\blibssl3\b/m, 'knows its libraries');
    my @names = map { (split ' ', $_, 6)[5] } split /\n/, ($t->run('dpkg-deb', '--contents', $old))[1];
    is_deeply([ grep { /\.[1578]$/ } @names ], [], 'man pages are compressed');
    cmp_ok(scalar(grep { m{/man\d/[\w.-]+\.\d\.gz$} } @names), '==', 6, 'and six of them');
    my %has = map { s/^\.//r => 1 } @names;
    ok($has{$_}, $_) for qw(/usr/share/doc/weir/copyright /usr/share/doc/weir/changelog.Debian.gz
        /usr/lib/sysusers.d/weir.conf /usr/lib/tmpfiles.d/weir.conf /usr/lib/systemd/system/weir.service
        /etc/logrotate.d/weir /usr/share/doc/weir/examples/weir.socket);
    my (undef, $out) = $t->run('dpkg-deb', '--info', $old, 'conffiles');
    is_deeply([ split /\n/, $out ], [ sort grep { $has{$_} && m{^/etc/} && !m{/$} } keys %has ], 'all of /etc is conffiles');
};

my $port = 18080;
my $config = <<"CONFIG";
version: 1
global:
  workers: 2
  user: weir
  log: {access: /var/log/weir/access.log}
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, redirect: {scheme: https}}
CONFIG

# Requests, one connection each and one that is kept, until the file that says so is gone; prints what failed.
my $load = <<'PERL';
use strict; use warnings; use IO::Socket::INET; $| = 1;
my ($port, $go) = @ARGV;
sub ask {
    my ($socket) = @_;
    print $socket "GET / HTTP/1.1\r\nHost: x\r\n\r\n" or return 0;
    my $text = '';
    while ($text !~ /\r\n\r\n/) { sysread($socket, $text, 4096, length $text) or return 0 }
    return $text =~ /^HTTP\/1.1 301/ ? 2 - ($text =~ /^Connection: close/mi) : 0;
}
my ($ok, $failed, $kept) = (0, 0);
while (-e $go) {
    my $socket = IO::Socket::INET->new("127.0.0.1:$port");
    $socket && ask($socket) ? $ok++ : $failed++;
    $kept ||= IO::Socket::INET->new("127.0.0.1:$port");
    my $answer = $kept ? ask($kept) : 0;
    $answer ? $ok++ : $failed++;
    undef $kept if $answer != 2;
    open my $out, '>', "$go.count" or die; print $out "$ok $failed\n"; close $out;
}
PERL

my $pid;
sub master { return $machine->read('/run/weir/weir.pid') =~ /^(\d+)$/ ? $1 : 0 }
sub serves { return ($machine->run('curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', "http://127.0.0.1:$port/"))[1] eq '301' }

subtest 'installed' => sub {
    my $said = dpkg('-i', $old);
    like($said, qr/weir: edit \/etc\/weir\/weir\.yaml/, 'it says what comes next');
    like($machine->sh('getent passwd weir'), qr{^weir:x:\d+:\d+:.*:/nonexistent:/usr/sbin/nologin$}, 'the user');
    is($machine->sh('stat -c "%a %U %G" /var/lib/weir /var/log/weir'), "750 root weir\n750 root weir", 'the directories');
    is($machine->sh('weir -t 2>&1; echo $?') =~ /0$/, 1, 'the settings that come with it are right') or diag $machine->sh('weir -t 2>&1');
    like($machine->sh('weir --version'), qr/^weir \d/, 'weir runs');
    is($machine->sh('dpkg --verify weir'), '', 'its files are as the package has them');
    is($machine->sh('/var/lib/dpkg/info/weir.postinst configure; /var/lib/dpkg/info/weir.postinst configure ""; echo $?') =~ s/.*\n//sr, '0',
        'its scripts may run again');
};

subtest 'run as the unit says' => sub {
    $machine->write('/etc/weir/weir.yaml', $config);
    my ($start) = $machine->read('/usr/lib/systemd/system/weir.service') =~ /^ExecStart=(.*)$/m;
    is($start, '/usr/sbin/weir -c /etc/weir/weir.yaml', 'its command');
    $machine->sh("setsid $start </dev/null >/var/log/weir/error.log 2>&1 &");
    ok($t->wait_until(\&serves, 'weir serves'), 'serves');
    $pid = master();
    like($machine->sh("ps -o user= --ppid $pid"), qr/\Aweir\s+weir\s+weir\z/, 'workers and control are the user of the package');
    my ($reload) = $machine->read('/usr/lib/systemd/system/weir.service') =~ /^ExecReload=(.*)$/m;
    my ($exit, $out, $err) = $machine->run(split ' ', $reload);
    is($exit, 0, "$reload") or diag "$out$err";
};

subtest 'logs are rotated' => sub {
    plan skip_all => 'logrotate is not installed' if !grep { -x "$_/logrotate" } split(/:/, $ENV{PATH}), '/usr/sbin';
    my ($exit, $out, $err) = $machine->run(qw(logrotate -d /etc/logrotate.d/weir));
    is($exit, 0, 'logrotate reads the snippet') or diag $err;
    unlike($err, qr/^error/m, 'without an error');
    serves();
    $t->wait_until(sub { $machine->read('/var/log/weir/access.log') ne '' }, 'the log has lines');
    ($exit, $out, $err) = $machine->run(qw(logrotate -f /etc/logrotate.d/weir));
    is("$exit$out$err", '0', 'and rotates');
    $t->wait_until(sub { $machine->exists('/var/log/weir/access.log') }, 'the new log is there');
    serves();
    ok($t->wait_until(sub { $machine->read('/var/log/weir/access.log') =~ /301/ }, 'lines go to it'), 'weir writes to the new one');
    ok($machine->exists('/var/log/weir/access.log.1'), 'the old one is kept');
};

subtest 'upgraded while it serves' => sub {
    $machine->write('/tmp/load.pl', $load);
    $machine->write('/tmp/go', '');
    my $count = sub { return split ' ', $machine->read('/tmp/go.count') };
    $machine->sh("setsid perl /tmp/load.pl $port /tmp/go </dev/null >/dev/null 2>/tmp/load.err &");
    $t->wait_until(sub { (($count->())[0] // 0) > 50 }, 'clients come');
    dpkg('-i', $new);
    my $next = $t->wait_until(sub { my $now = master(); return $now && $now != $pid && $now }, 'the new binary has taken over');
    $t->wait_until(sub { !-e $machine->inside("/proc/$pid") }, 'the old master has gone');
    my ($before) = $count->();
    $t->wait_until(sub { (($count->())[0] // 0) > $before + 50 }, 'clients go on');
    unlink $machine->inside('/tmp/go');
    my ($ok, $failed) = $count->();
    is($failed, 0, "none of $ok requests failed") or diag $machine->read('/var/log/weir/error.log');
    is($machine->sh("readlink /proc/$next/exe"), '/usr/sbin/weir', 'what runs is the new file');
    is($machine->read('/etc/weir/weir.yaml'), $config, 'the settings that were changed are kept');
    $pid = $next;
};

subtest 'replaced while it does not run' => sub {
    $machine->sh('weir -s quit');
    $t->wait_until(sub { !-e $machine->inside("/proc/$pid") }, 'weir ends');
    dpkg('-i', $old);
    ok(!master(), 'nothing is started');
};

subtest 'removed' => sub {
    $machine->sh('setsid /usr/sbin/weir -c /etc/weir/weir.yaml </dev/null >/dev/null 2>&1 &');
    $t->wait_until(\&serves, 'weir serves');
    $pid = master();
    $machine->write('/etc/weir/certs/own.pem', "own\n");
    dpkg('-r', 'weir');
    ok($t->wait_until(sub { !-e $machine->inside("/proc/$pid") }, 'weir ends'), 'what ran has ended');
    is_gone($_) for qw(/usr/sbin/weir /usr/bin/weirctl /usr/lib/systemd/system/weir.service /usr/share/doc/weir);
    is_there($_) for qw(/etc/weir/weir.yaml /etc/logrotate.d/weir /var/lib/weir /var/log/weir/access.log);
    like($machine->sh('dpkg -s weir'), qr/^Status: deinstall ok config-files$/m, 'dpkg knows of its settings');
    my ($exit, $out, $err) = $machine->run('logrotate', '-f', '/etc/logrotate.d/weir');
    is($exit, 0, 'logrotate does not mind that weir has gone') or diag $err if $exit != 127;
    dpkg('-i', $new);
    is($machine->read('/etc/weir/weir.yaml'), $config, 'installed again, it has the settings of before');
    dpkg('-r', 'weir');
};

subtest 'purged' => sub {
    dpkg('-P', 'weir');
    is_gone($_) for qw(/etc/weir/weir.yaml /etc/weir/site.yaml /etc/logrotate.d/weir /var/lib/weir /var/log/weir /run/weir);
    is_there('/etc/weir/certs/own.pem');
    isnt(($machine->run(qw(getent passwd weir)))[0], 0, 'the user is gone');
    isnt(($machine->run(qw(getent group weir)))[0], 0, 'and its group');
    is(($machine->run(qw(dpkg -s weir)))[0], 1, 'dpkg knows nothing of it');
    unlink $machine->inside('/etc/weir/certs/own.pem');
    dpkg('-i', $new);
    dpkg('-P', 'weir');
    is_gone('/etc/weir');
};

$machine->stop;
done_testing;
