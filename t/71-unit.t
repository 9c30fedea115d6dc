#!/usr/bin/perl
# The unit as it is installed, under a real systemd: PID 1 of a machine of its own.
use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::Machine;

plan skip_all => 'the unit forbids what sanitizers need' if ($ENV{WEIR_SANITIZERS} // 'no') eq 'yes';
my $t = Weir::Test->new(watchdog => 400);
my $machine = Weir::Test::Machine->new($t, systemd => 1) or plan skip_all => 'cannot run systemd here';
my $port = 18080;

# As `make install` does it, with this build's programs; its paths are those of configure.
sub install {
    my ($exit, $out, $err) = $t->run('make', '-C', $t->{build}, '-o', 'weir', '-o', 'weirgen', '-o', 'weirctl', 'install', 'DESTDIR=' . $t->path('installed'));
    die "make install: $out$err" if $exit;
    my $from = $t->path('installed');
    $machine->sh("userdel weir 2>/dev/null; cp -R $from/. / && systemd-sysusers && systemctl daemon-reload");
}
install();
my $unit = $machine->sh('systemctl show -p FragmentPath --value weir.service');
my ($program, $file) = $machine->read($unit) =~ m{^ExecStart=(\S+) -c (\S+)$}m;
my ($ctl) = $machine->read($unit) =~ m{^ExecReload=(\S+) reload$}m;
my ($run) = $machine->read($unit) =~ m{^ReadWritePaths=-(\S+)}m;

sub config {
    my (%o) = @_;
    my $workers = $o{workers} // 2;
    my $protocol = $o{protocol} // 'http';
    return <<"CONFIG";
version: 1
global:
  workers: $workers
  user: weir
  log: {access: off}
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: $protocol, redirect: {scheme: https}}
CONFIG
}
sub show { my ($what) = @_; return $machine->sh("systemctl show -p $what --value weir.service") }
sub serves { return ($machine->run('curl', '-s', '-m', '5', '-o', '/dev/null', '-w', '%{http_code}', "http://127.0.0.1:$port/"))[1] eq '301' }
sub journal { return ($machine->run(qw(journalctl --no-pager -o cat -u weir.service)))[1] }
sub systemctl {
    my ($want, @args) = @_;
    my ($exit, $out, $err) = $machine->run('systemctl', @args);
    is($exit, $want, "systemctl @args") or diag "$out$err", journal();
    return "$out$err";
}

subtest 'units' => sub {
    my ($exit, $out, $err) = $machine->run('systemd-analyze', 'verify', $unit, { timeout => 120 });
    is("$exit$out$err", '0', 'systemd-analyze finds nothing in weir.service');
    $machine->sh('cp ' . ($ENV{WEIR_SRCDIR} // '.') . '/contrib/systemd/weir.socket /etc/systemd/system/');
    ($exit, $out, $err) = $machine->run('systemd-analyze', 'verify', '/etc/systemd/system/weir.socket', { timeout => 120 });
    is("$exit$out$err", '0', 'nor in weir.socket');
};

subtest 'start and reload' => sub {
    $machine->write($file, config());
    $machine->sh('sysctl -qw net.core.somaxconn=100');
    systemctl(0, 'start', 'weir');
    like(journal(), qr/ limits: only 100 new connections may wait/, 'a limit of the machine is seen through the unit');
    $machine->sh('sysctl -qw net.core.somaxconn=4096');
    ok(serves(), 'when it has started it serves');
    is(show('ActiveState'), 'active', 'systemd knows');
    is(show('StatusText'), 'configuration 1, 2 workers', 'with its status');
    like($machine->sh('ps -o user= --ppid ' . show('MainPID')), qr/\A(?:weir\s*)+\z/, 'workers are of the user weir');
    $machine->write($file, config(workers => 3));
    systemctl(0, 'reload', 'weir');
    is(show('StatusText'), 'configuration 2, 3 workers', 'when a reload is done the new configuration is in force');
    $machine->write($file, config(protocol => 'gopher'));
    my $said = systemctl(1, 'reload', 'weir');
    is(show('ActiveState'), 'active', 'a bad one is refused, and weir goes on');
    like(show('StatusText'), qr/^configuration 2, 3 workers; the last reload failed$/, 'which its status says');
    ok(serves(), 'it serves');
    $machine->write($file, config());
};

subtest 'upgrade' => sub {
    my $old = show('MainPID');
    systemctl(0, 'kill', '--kill-who=main', '--signal=USR2', 'weir');
    ok($t->wait_until(sub { show('MainPID') != $old && !-e $machine->inside("/proc/$old") }, 'the new one is the main process'),
        'systemd follows the main process');
    is(show('ActiveState'), 'active', 'it is active');
    is(show('NRestarts'), 0, 'and has not been restarted');
    ok(serves(), 'it serves');
    is($machine->sh("cat $run/weir.pid"), show('MainPID'), 'the pid file says the same');
};

subtest 'watchdog' => sub {
    my $old = show('MainPID');
    $machine->sh("mkdir -p /run/systemd/system/weir.service.d; printf '[Service]\\nWatchdogSec=1s\\nRestartSec=10ms\\n' >/run/systemd/system/weir.service.d/watchdog.conf; systemctl daemon-reload; systemctl restart weir");
    $old = show('MainPID');
    $machine->sh("kill -STOP $old");
    ok($t->wait_until(sub { my $now = show('MainPID'); return $now && $now != $old && serves() }, 'weir is there again', 40), 'a master that is frozen is killed, and weir started again');
    like(journal(), qr/Watchdog timeout|watchdog/i, 'as the journal says');
    $machine->sh('rm -r /run/systemd/system/weir.service.d; systemctl daemon-reload; systemctl reset-failed');
};

subtest 'stop' => sub {
    systemctl(0, 'stop', 'weir');
    is(show('Result'), 'success', 'a stop is no failure');
    is(show('ActiveState'), 'inactive', 'weir is inactive');
    $machine->write($file, config(protocol => 'gopher'));
    systemctl(1, 'start', 'weir');
    like(journal(), qr/gopher/, 'a configuration that is wrong is told in the journal');
    systemctl(0, 'stop', 'weir');
    $machine->sh('systemctl reset-failed');
    $machine->write($file, config());
};

subtest 'socket activation' => sub {
    my $text = $machine->read('/etc/systemd/system/weir.socket');
    $text =~ s/^ListenStream=.*\n//mg;
    $text =~ s/^\[Socket\]\n/[Socket]\nListenStream=127.0.0.1:$port\n/m;
    $machine->write('/etc/systemd/system/weir.socket', $text);
    $machine->sh('systemctl daemon-reload');
    systemctl(0, 'start', 'weir.socket');
    is(show('ActiveState'), 'inactive', 'weir does not run yet');
    ok(serves(), 'the first client starts it, and is served');
    is(show('ActiveState'), 'active', 'weir runs');
    my $load = <<'SH';
failed=0
while [ -e /run/load ]; do
	[ "$(curl -s -m 20 -o /dev/null -w '%{http_code}' http://127.0.0.1:18080/)" = 301 ] || failed=$((failed + 1))
	echo "$failed" >/run/load.failed
	echo >>/run/load.count
done
SH
    $machine->write('/run/load.sh', $load);
    $machine->sh(': >/run/load; setsid sh /run/load.sh </dev/null >/dev/null 2>&1 &');
    my $count = sub { return length $machine->read('/run/load.count') };
    $t->wait_until(sub { $count->() > 3 }, 'clients come');
    systemctl(0, 'restart', 'weir');
    my $before = $count->();
    $t->wait_until(sub { $count->() > $before + 3 }, 'clients go on');
    $machine->sh('rm /run/load');
    is($machine->read('/run/load.failed'), "0\n", 'over a restart no client is refused');
    systemctl(0, 'stop', 'weir.socket', 'weir.service');
};

subtest 'without a user of its own' => sub {
    my ($text) = $t->read(($ENV{WEIR_SRCDIR} // '.') . '/contrib/systemd/dynamic-user.conf');
    # systemd makes its directories below /var and /run alone: this build may have others.
    my $var = $run =~ s{/run/weir$}{}r;
    $machine->sh("rm -rf $var; mkdir -p $var; ln -s /run $var/run; ln -s /var/lib $var/lib; ln -s /var/log $var/log") if $var ne '';
    $machine->sh('systemctl reset-failed; mkdir -p /etc/systemd/system/weir.service.d');
    $machine->write('/etc/systemd/system/weir.service.d/dynamic-user.conf', $text);
    $machine->sh("systemctl daemon-reload; userdel weir");
    $machine->write($file, config() =~ s/^  user: weir\n//mr =~ s/:$port/:80/r);
    systemctl(0, 'start', 'weir');
    is(($machine->run(qw(curl -s -o /dev/null -w %{http_code} http://127.0.0.1/)))[1], '301', 'it serves at port 80');
    my $pid = show('MainPID');
    unlike($machine->sh("ps -o user= -p $pid"), qr/^root/, 'the master too is not root');
    systemctl(0, 'reload', 'weir');
    systemctl(0, 'stop', 'weir');
    is(show('Result'), 'success', 'and it ends');
};

$machine->stop;
done_testing;
