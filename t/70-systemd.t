#!/usr/bin/perl
# What the service manager is told, and what it starts weir with.

use strict;
use warnings;
use File::Spec;
use IO::Select;
use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $port = $t->port;
my $path = $t->path('notify');
my $manager = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) or die "$path: $!";
my $select = IO::Select->new($manager);
my $config = $t->config(<<"CONFIG");
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, redirect: {scheme: https}}
CONFIG

# The next notification that has $want in it.
sub notified {
    my ($want) = @_;
    my $found;
    $t->wait_until(sub {
        while ($select->can_read(0)) {
            $manager->recv(my $text, 4096);
            return $found = $text if $text =~ $want;
        }
        return 0;
    }, "the service manager hears $want");
    return $found;
}

my $weir = $t->start_weir(config => $config, env => { NOTIFY_SOCKET => $path, WATCHDOG_USEC => 200_000 });
like(notified(qr/^READY=1$/m), qr/^STATUS=configuration 1, 2 workers$/m, 'ready, with a status line');
ok(notified(qr/^WATCHDOG=1$/m), 'the watchdog is fed') for 1 .. 2;

{
    my ($worker) = $weir->workers;
    my $silent = sub { my @n = $weir->log =~ /worker\[$worker\] does not answer: the watchdog is not fed/g; return scalar @n };
    kill 'STOP', $worker;
    $t->wait_until(sub { $silent->() >= 1 }, 'a worker that is stopped is found out');
    my $fed = 0;
    my $count = sub { while ($select->can_read(0)) { $manager->recv(my $text, 4096); $fed++ if $text =~ /^WATCHDOG=1$/m } };
    $count->();
    $fed = 0;
    $t->wait_until(sub { $silent->() >= 4 }, 'so it is at later turns');
    $count->();
    is($fed, 0, 'while a worker does not answer the watchdog is not fed');
    kill 'CONT', $worker;
    ok(notified(qr/^WATCHDOG=1$/m), 'it is as soon as all answer again');
}

$weir->reload;
like(notified(qr/^RELOADING=1$/m), qr/^MONOTONIC_USEC=\d+$/m, 'a reload is announced with its time');
like(notified(qr/^READY=1$/m), qr/^STATUS=configuration 2\b/m, 'and its end');

$weir->reload_fails($config =~ s/protocol: http/protocol: gopher/r);
ok(notified(qr/^RELOADING=1$/m), 'so is one that fails');
like(notified(qr/^READY=1$/m), qr/^STATUS=configuration 2, .*the last reload failed$/m, 'which the status line says');

$weir->configure($config);
my $old = $weir->pid;
$weir->signal('USR2');
my $main = notified(qr/^MAINPID=\d+$/m);
my $new = $weir->follow_pid_file;
is($main, "MAINPID=$new", 'after an upgrade the new master is the main process');
like(notified(qr/^READY=1$/m), qr/^STATUS=configuration 3, 2 workers$/m, 'which goes on with the status');
ok(notified(qr/^WATCHDOG=1$/m), 'and the watchdog') for 1 .. 2;
$t->wait_until(sub { waitpid $old, POSIX::WNOHANG(); return !kill 0, $old }, 'the old one is gone');

$weir->signal('QUIT');
ok(notified(qr/^STOPPING=1$/m), 'a graceful stop is announced');
$t->wait_until(sub { !$weir->is_running }, 'weir ends');

# An abstract socket: its name begins with a NUL, in the environment with @.
my $name = "weir-test-$$";
$manager = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "\0$name") or die "\@$name: $!";
$select = IO::Select->new($manager);
$weir = $t->start_weir(config => $config, env => { NOTIFY_SOCKET => "\@$name" });
ok(notified(qr/^READY=1$/m), 'an abstract socket hears it too');
$weir->stop;
ok(notified(qr/^STOPPING=1$/m), 'to the end');

# --- the unit ---

SKIP: {
    skip 'systemd-analyze is not installed', 2 if !grep { -x "$_/systemd-analyze" } split /:/, $ENV{PATH};
    my %dirs = (sbindir => '/usr/sbin', bindir => '/usr/bin', sysconfdir => '/etc', localstatedir => '/var',
        runstatedir => '/run');
    my $src = $ENV{WEIR_SRCDIR} // '.';
    my $text = $t->read(File::Spec->rel2abs("$src/contrib/systemd/weir.service"));
    my $unit = $t->write('unit/weir.service', $text =~ s/\@(\w+)\@/$dirs{$1}/gr);
    my ($exit, $out, $err) = $t->run('systemd-analyze', 'security', '--offline=true', '--no-pager', $unit);
    skip "systemd-analyze cannot judge a unit offline: $err", 2 if $exit && $err =~ /unrecognized|Unknown/i;
    is($exit, 0, 'systemd-analyze accepts the unit');
    my ($exposure) = $out =~ /Overall exposure level for weir\.service: ([\d.]+)/;
    cmp_ok($exposure // 99, '<', 3, 'its exposure is below 3.0');
}

done_testing;
