#!/usr/bin/perl
# What contrib/container/Containerfile makes, without an engine: its steps in an overlay of this machine, weir as the first
# process of its own process namespace, as its user, on a read-only root.
use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::Machine;
use Weir::Test::Package;

my $t = Weir::Test->new(watchdog => 600);
my $machine = Weir::Test::Machine->new($t) or plan skip_all => 'cannot make a machine of its own here';
my $package = Weir::Test::Package::build($t) or plan skip_all => 'dpkg-dev is not installed';
my $text = $t->read(($ENV{WEIR_SRCDIR} // '.') . '/contrib/container/Containerfile');
$text =~ s/\\\n//g;
my (undef, $first, $last) = split /^FROM .*\n/m, $text;

subtest 'its steps' => sub {
    my ($options) = $first =~ /configure ([^&]*[^& ])/;
    like($t->read(($ENV{WEIR_SRCDIR} // '.') . '/contrib/debian/build'), qr/configure" \Q$options\E/, 'it is configured as the Debian package is');
    my ($exit, $depends) = $t->run('dpkg-deb', '--field', $package, 'Depends');
    my @libraries = grep { /^lib/ && $_ ne 'libc6' } map { /^([\w.+-]+)/ } split /, /, $depends;
    my ($installed) = $last =~ /apt-get install ([^&]*)/;
    is_deeply([ sort grep { /^lib/ } split ' ', $installed ], [ sort @libraries ], 'it installs the libraries that the programs need');
    # The machine has them; the rest of the steps is run.
    my ($run) = $last =~ /^RUN (.*)/m;
    my @steps = grep { !/^\s*(?:apt-get|rm) / } split /&&/, $run;
    is(scalar @steps, 2, 'and two steps more');
    $machine->sh('userdel weir 2>/dev/null; rm -rf /etc/weir /var/lib/weir /var/log/weir; true');
    $machine->sh(join '&&', 'set -e; :', @steps);
    $machine->sh("dpkg-deb -x '$package' /out && rm -rf /out/etc/logrotate.d && cp -R /out/. /");
    pass('they run');
};

my ($user) = $last =~ /^USER (\w+)/m;
my ($signal) = $last =~ /^STOPSIGNAL SIG(\w+)/m;
my @health = $last =~ /^HEALTHCHECK .*CMD \[(.*)\]/m ? $1 =~ /"([^"]*)"/g : ();
my @command = map { /"([^"]*)"/g } $last =~ /^(?:ENTRYPOINT|CMD) \[(.*)\]/mg;

sub config {
    my ($port) = @_;
    return <<"CONFIG";
version: 1
global:
  workers: 2
  log: {access: stdout}
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, redirect: {scheme: https}}
CONFIG
}

# As an engine starts it; the settings come from a mount, and only three directories can be written to.
my $start = <<'SH';
mount --bind /settings /etc/weir
for directory in /run/weir /var/lib/weir /var/log/weir; do
	mount -t tmpfs -o uid=$(id -u weir),gid=$(id -g weir) none $directory
done
mount -o remount,bind,ro /etc/weir
mount -o remount,bind,ro /
user=$1
shift
exec setpriv --reuid "$user" --regid "$user" --clear-groups --bounding-set -all --no-new-privs "$@"
SH
my $pid;
sub start {
    my ($port) = @_;
    $machine->write('/settings/weir.yaml', config($port));
    $machine->write('/start.sh', $start);
    $machine->sh('rm -f /dev/shm/pid; setsid sh -c \'echo $$ >/dev/shm/unshare; exec unshare --mount --pid --fork --kill-child --mount-proc sh /start.sh "$@"\' sh '
        . "$user @command </dev/null >/dev/shm/stdout 2>/dev/shm/stderr &");
    $t->wait_until(sub { ask($port) eq '301' }, 'weir serves');
    my $parent = $machine->read('/dev/shm/unshare') + 0;
    ($pid) = $machine->sh("cat /proc/$parent/task/$parent/children") =~ /(\d+)/;
}
sub ask { my ($port) = @_; return ($machine->run('curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', "http://127.0.0.1:$port/"))[1] }
sub inside { my (@what) = @_; return $machine->run('nsenter', '-t', $pid, '-m', '-p', @what) }
sub log_of { return $machine->read('/dev/shm/stderr') }

subtest 'the first process' => sub {
    start(8080);
    is((inside('readlink', '/proc/1/exe'))[1], "$command[0]\n", 'is weir');
    is($machine->sh("ps -o user= -p $pid"), $user, "as $user");
    isnt((inside('touch', '/etc/weir/x'))[0], 0, 'it runs on a read-only root');
    my ($exit, $out, $err) = inside(@health);
    is($exit, 0, 'the health check is content') or diag "$out$err";
    ok($t->wait_until(sub { $machine->read('/dev/shm/stdout') =~ /"status":301/ }, 'the access log comes'), 'the access log goes to standard output');
    $machine->sh("kill -HUP $pid");
    ok($t->wait_until(sub { log_of() =~ /configuration 2 .* is in force/ }, 'a reload'), 'HUP reloads');
    # A shell that ends before its child: the child is an orphan, and weir's.
    inside('sh', '-c', 'sleep 0.1 & true');
    ok($t->wait_until(sub { (inside('ps', '-eo', 'comm='))[1] !~ /sleep/ }, 'nothing is left of it'), 'orphans of others are taken away');
    $machine->sh("kill -USR2 $pid");
    ok($t->wait_until(sub { log_of() =~ /upgrade: not as the first process/ }, 'weir says no'), 'an upgrade, which would end the container, is refused');
    is(ask(8080), '301', 'it serves');
};

subtest 'signals that end it' => sub {
    for my $name ($signal, 'TERM', 'INT') {
        start(8080) if !$machine->exists("/proc/$pid");
        $machine->sh("kill -$name $pid");
        ok($t->wait_until(sub { !$machine->exists("/proc/$pid") }, "$name ends it"), "$name ends it");
        like(log_of(), qr/stopped/, 'in good order');
    }
};

subtest 'ports below 1024' => sub {
    $machine->sh('sysctl -qw net.ipv4.ip_unprivileged_port_start=0');
    start(80);
    is(ask(80), '301', 'as engines of today allow them');
    $machine->sh("kill -KILL $pid");
};

$machine->stop;
done_testing;
