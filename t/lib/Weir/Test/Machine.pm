package Weir::Test::Machine;

=head1 NAME

Weir::Test::Machine - a machine of its own on top of this one: what is installed or run in it changes nothing outside

=head1 SYNOPSIS

    my $machine = Weir::Test::Machine->new($t, systemd => 1) or plan skip_all => 'cannot make a machine here';
    my ($exit, $out, $err) = $machine->run('dpkg', '-i', $package);
    $machine->write('/etc/weir/weir.yaml', $text);

Its root is an overlay over the root of this machine, whose changes are kept in memory; its mounts, processes, network (lo
alone), names and devices are its own, and go with it.  PID 1 is systemd, or a process that does nothing but reap.  It
sees the test's directory, the build and the source at the paths that they have outside; the latter two read-only.

    run(CMD..., {options of Weir::Test::run})   (exit status, stdout, stderr) of a command in it
    sh(TEXT)                            what a shell command wrote, without the last line feed; dies if it failed
    read(PATH), write(PATH, TEXT), exists(PATH)     files in it
    stop

=cut

use strict;
use warnings;
use Carp qw(croak);
use File::Path qw(make_path);
use File::Spec;

# Each a shell script; the first runs in namespaces of its own, but for processes and control groups.
my $outer = <<'SH';
set -eu
top=$1 init=$2
shift 2
mount --make-rprivate /
mount -t tmpfs -o mode=755 machine "$top"
mkdir "$top/upper" "$top/work" "$top/root" "$top/groups"
mount -t overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" machine "$top/root"
root=$top/root
for directory in run tmp; do mount -t tmpfs -o mode=755 machine "$root/$directory"; done
chmod 1777 "$root/tmp"
mount -t tmpfs -o mode=755 machine "$root/dev"
for device in null zero full random urandom tty; do
	: >"$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t tmpfs -o mode=1777 machine "$root/dev/shm"
mount -t devpts -o newinstance,mode=620,ptmxmode=666 machine "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for directory; do
	mkdir -p "$root/${directory#*:}"
	mount --bind "${directory#*:}" "$root/${directory#*:}"
	[ "${directory%%:*}" = rw ] || mount -o remount,bind,ro "$root/${directory#*:}"
done
ip link set lo up
groups=
if [ "$init" = systemd ]; then
	mount -t cgroup2 machine "$top/groups"
	mkdir "$top/groups/weir-test-$$"
	echo $$ >"$top/groups/weir-test-$$/cgroup.procs"
	groups=--cgroup
fi
exec unshare --pid $groups --fork --kill-child=KILL sh -c "$INNER" sh "$root" "$init"
SH

my $inner = <<'SH';
set -eu
root=$1
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
[ "$2" != systemd ] || mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
cd "$root"
mkdir -p tmp/outside
pivot_root . tmp/outside
umount -l /tmp/outside
rmdir /tmp/outside
hostname weir-test
unset INNER
if [ "$2" = systemd ]; then
	# What this machine starts is not what is looked at: the journal is enough.
	# Without an identity systemd would enable all that is installed, as at the first boot.
	rm -f /etc/machine-id
	echo 0123456789abcdef0123456789abcdef >/etc/machine-id
	rm -rf /etc/systemd/system/*.wants
	find /lib/systemd/system/sysinit.target.wants/ ! -name '*journald*' ! -type d -exec rm -f {} +
	export container=weir-test
	exec /lib/systemd/systemd --unit=basic.target --log-target=journal
fi
exec perl -e '$SIG{CHLD} = "IGNORE"; sleep 1000 while 1'
SH

sub new {
    my ($class, $t, %o) = @_;
    return undef if $> != 0 || ($o{systemd} && !-x '/lib/systemd/systemd');
    local $ENV{PATH} = "$ENV{PATH}:/usr/sbin:/sbin";
    for my $tool (qw(unshare nsenter pivot_root ip mount)) {
        return undef if !grep { -x "$_/$tool" } split /:/, $ENV{PATH};
    }
    my $self = bless { t => $t, count => $t->{machines}++, groups => $o{systemd} }, $class;
    my $top = $t->path("machine-$self->{count}");
    mkdir $top or croak "$top: $!";
    my $source = File::Spec->rel2abs($ENV{WEIR_SRCDIR} // '.');
    my @see = ('ro:' . $source, 'ro:' . $t->{build}, 'rw:' . $t->dir);
    my $init = $o{systemd} ? 'systemd' : 'reaper';
    my $log = "machine-$self->{count}.log";
    my $pid = $t->spawn(sub {
        $ENV{INNER} = $inner;
        open STDERR, '>>', $t->path($log) or die $!;
        exec qw(unshare --mount --net --uts --ipc sh -c), $outer, 'sh', $top, $init, @see;
    }, $log);
    $self->{unshare} = $pid;
    # The process that waits is unshare(1); its child is PID 1 of the machine, once that has its own root.
    my $up = eval {
        $t->wait_until(sub {
            die "the machine did not start\n" if waitpid($pid, POSIX::WNOHANG()) != 0;
            my ($child) = $t->read("/proc/$pid/task/$pid/children") =~ /^(\d+)/ or return 0;
            $self->{pid} = $child;
            return ($t->read("/proc/$child/comm")) =~ /^(?:systemd|perl)$/;
        }, 'the machine is there');
    };
    if (!$up) {
        $self->{why} = $@ . $t->read($log);
        Test::More::diag($self->{why});
        delete $t->{processes}{$pid} if kill(0, $pid) == 0;
        $self->stop if kill 0, $pid;
        return undef;
    }
    if ($o{systemd}) {
        eval {
            $t->wait_until(sub { ($self->run(qw(systemctl is-system-running)))[1] =~ /^(?:running|degraded)$/ }, 'systemd runs', 30);
        } or do {
            Test::More::diag($@);
            $self->stop;
            return undef;
        };
    }
    return $self;
}

sub run {
    my ($self, @command) = @_;
    my %o = ref $command[-1] eq 'HASH' ? %{ pop @command } : ();
    local $ENV{PATH} = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    return $self->{t}->run('nsenter', '-t', $self->{pid}, qw(-m -n -u -i -p -C), @command, \%o);
}

sub sh {
    my ($self, $text) = @_;
    my ($exit, $out, $err) = $self->run('sh', '-c', $text);
    croak "$text: exit status $exit\n$out$err" if $exit;
    chomp $out;
    return $out;
}

sub inside { my ($self, $path) = @_; return "/proc/$self->{pid}/root$path" }
sub read { my ($self, $path) = @_; return $self->{t}->read($self->inside($path)) }
sub write { my ($self, $path, $text) = @_; return $self->{t}->write($self->inside($path), $text) }
sub exists { my ($self, $path) = @_; my $at = $self->inside($path); return -e $at || -l $at }

# PID 1 takes all others along.  Its control groups stay behind, empty: they are removed.
sub stop {
    my ($self) = @_;
    my $pid = delete $self->{unshare} or return;
    kill 'KILL', $self->{pid} if $self->{pid};
    $self->{t}->end_process($pid, 'KILL');
    return if !$self->{groups};
    my @remove = ('unshare', '-m', 'sh', '-c',
        'mkdir -p "$1" && mount -t cgroup2 none "$1" && { [ ! -d "$1/$2" ] || find "$1/$2" -depth -type d -exec rmdir {} +; }',
        'sh', $self->{t}->path('groups'), "weir-test-$pid");
    # Until the last process has gone they are busy.
    eval { $self->{t}->wait_until(sub { ($self->{t}->run(@remove))[0] == 0 }, 'the control groups are removed') }
        or Test::More::diag($@);
    return;
}

1;
