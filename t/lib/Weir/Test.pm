package Weir::Test;

=head1 NAME

Weir::Test - run the real programs on real sockets, and say what should happen

=head1 SYNOPSIS

    use strict;
    use warnings;
    use Test::More;
    use Weir::Test;

    my $t = Weir::Test->new;
    my $port = $t->port;
    my $a = $t->origin('a');
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
    listeners:
      - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
    pools:
      - name: web
        servers: [{name: a, address: "@{[ $a->address ]}"}]
    CONFIG

    my $r = $t->http_get($port, '/hello');
    is($r->{status}, 200, 'the request is answered');
    is($a->last_request->{path}, '/hello', 'and the server saw its path');
    is($weir->stop, 0, 'weir ends with status 0');
    done_testing;

Run one test with C<make check TESTS=t/30-http1.t PROVE_FLAGS=-v>.  KEEP=1 keeps the directory of a test that failed.
WEIR_BUILD names the build directory (default: ./build, then the current directory).

=head1 Weir::Test

    new(watchdog => 300)        everything below hangs on it; all processes and files go when it goes
    dir, path(NAME), write(NAME, TEXT), read(NAME)      files in the test's own directory
    port, ports(N)              free TCP and UDP ports, each given out once, below the ephemeral range
    program(NAME)               path of weir, weirgen, weirctl
    run(CMD..., {stdin => TEXT, timeout => S, env => {}})   (exit status, stdout, stderr); signal N: status 128 + N
    weir(ARGS), weirgen(ARGS), weirctl(ARGS), curl(ARGS), openssl(ARGS)     run() of these programs
    make_cert(DIR, ID, [NAMES], type => ec|rsa, layout => pem|pair, days => N)   {crt, key} as PEM text; files in DIR
    config(BODY, workers => N, stats => 0|1, access => FILE|off, format => json, level => L, global => YAML)
                                a complete configuration: version, global (all paths inside dir, `certs` for
                                certificates), then BODY; `global` is lines without indentation
    start_weir(config => TEXT | file => PATH, args => [], env => {}, wait => 0|1)    a daemon, see below
    origin(NAME, port =>, host =>, handler => sub, close => 1, stopped => 1)   a scripted HTTP server, see below
    tcp_server(NAME, sub { my ($conn, $nth) = @_ }, port =>, host =>)   one process per connection; $conn is a client
                                object (below) on the accepted socket
    tcp_echo(NAME, port =>)     sends back what it gets
    http_get(PORT, PATH, headers => [NAME => VALUE...], host =>, to => ADDRESS, method =>, body =>)    one response
    raw_exchange(PORT, BYTES | [PIECES and subs], timeout => S, half_close => 1)
                                all bytes until the other side closes; in list context also how it ended:
                                closed, reset or timeout
    client(PORT, host =>, timeout =>)    a connection: send, request, get, response, read_match, read_bytes,
                                read_until_close, is_closed, end_sending, reset, close (Weir::Test::Client)
    load(port =>, clients => N, path =>, headers => [], keepalive => 0|1, tcp => 0|1)   see below
    limit(PID, nofile => SOFT | as => SOFT)   its limit from now on (the hard one stays); open_files(PID), resident(PID) in kB
    leave_files(PID, N)         it can open N descriptors more; tighten(PID, N): and all that are open keep their numbers
                                below the limit, so that there may be more than N, returned
    jump_clock(SECONDS)         the wall clock of each weir that was started with env => clock_env() is so far ahead
    small_disk(SIZE)            before new(): a directory on a full-able tmpfs of SIZE (1m); runs the test again in a mount
                                namespace of its own; undef where that may not be
    wait_until(SUB, WHAT, SECONDS = 15)    polls until SUB is true and returns that; dies saying WHAT

=head1 Daemon: start_weir()

    pid, control_socket, stats_port, config_file
    signal(NAME)                HUP, QUIT...
    configure(TEXT)             writes the configuration file anew
    reload(TEXT)                configure if given, HUP, wait until the new generation runs
    reload_fails(TEXT)          the same where the configuration must be refused
    stop, quit, kill            TERM, QUIT, KILL; wait for the end; return the exit status (128 + N: by signal N)
    wait_exit(SECONDS), is_running
    workers, workers(STATE)     pids of the running (draining) workers; children: pids of all the master's children
    log, wait_log(RE)           what it wrote to stderr
    stats                       /stats.json decoded; metrics: /metrics as text; stats_get(PATH): one response
    stats_listener(NAME), stats_pool(NAME), stats_server(POOL, NAME)    one object of it
    wait_server(POOL, NAME, STATE)      until health says so (up, down)

=head1 Origin: origin(), tcp_server(), tcp_echo()

    name, port, host, address, pid, start, stop (its port refuses then), hold, release
    requests                    all so far: {method, path, version, head, headers, body, raw, connection, nth}
    last_request, request_count, connection_count, forget, wait_requests(N)

Without a handler it answers "NAME\n", and by path /echo (the request's bytes), /status/N, /bytes/N, /chunked/N,
/until-close/N, /close.  A handler gets a request and returns raw bytes, {status, headers => [], body, chunked,
until_close, close}, or undef for the default.

=head1 Load: load()

    ok_count, failed_count      so far; wait_ok(N): until N more requests have succeeded
    stop                        ends it: {ok, failed, reasons => {TEXT => N}, statuses => {N => N}, bodies => {TEXT => N},
                                idle_closed (kept connections found closed before anything was sent)}

A request counts as failed when it was sent and not answered completely with 2xx or 3xx, on kept connections too.

=cut

use strict;
use warnings;
use Carp qw(croak);
use Fcntl qw(:flock O_RDWR O_CREAT);
use File::Path qw(make_path remove_tree);
use File::Spec;
use File::Temp ();
use IO::Socket::IP;
use POSIX ();
use Scalar::Util qw(weaken);
use Socket qw(SOCK_DGRAM);
use Test::More ();
use Time::HiRes qw(time sleep);

use Weir::Test::Client;
use Weir::Test::Daemon;
use Weir::Test::Load;
use Weir::Test::Origin;

my @live;    # objects to clean up at END, weak
my $owner = $$;
my $fault;   # found while cleaning up: the test file fails

# prctl(2) numbers: a test that is killed takes its processes along, and finds those that weir left behind.
my %prctl = (x86_64 => 157, aarch64 => 167, riscv64 => 167, i686 => 172);
my $prctl = $prctl{ (POSIX::uname())[4] };
use constant { PR_SET_PDEATHSIG => 1, PR_SET_CHILD_SUBREAPER => 36 };

sub die_with_parent {
    my ($signal) = @_;
    syscall($prctl, PR_SET_PDEATHSIG, $signal // POSIX::SIGKILL(), 0, 0, 0) if $prctl;
    return;
}

sub new {
    my ($class, %o) = @_;
    my $dir = File::Temp::tempdir('weir-test-XXXXXXXX', TMPDIR => 1);
    chmod 0755, $dir;    # workers run as another user when the test runs as root
    my $self = bless { dir => $dir, processes => {}, daemons => [], next_run => 0, runs => 0 }, $class;
    for my $name (qw(run state certs)) {
        mkdir "$dir/$name";
        chown((getpwnam $self->user)[ 2, 3 ], "$dir/$name") if $> == 0 && $name ne 'certs';
    }
    $self->{build} = find_build();
    syscall($prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) if $prctl;
    # Handlers, not IGNORE: programs that the test starts get the default back.
    $SIG{PIPE} = sub { };
    my $watchdog = ($o{watchdog} // 300) * patience();
    $SIG{ALRM} = sub { give_up("watchdog: the test took more than $watchdog s") };
    $SIG{TERM} = $SIG{INT} = $SIG{HUP} = sub { give_up("ended by SIG$_[0]") };
    alarm $watchdog;
    push @live, $self;
    weaken($live[-1]);
    return $self;
}

# Deadlines, not durations: instrumented programs get more of them.
sub patience { return ($ENV{WEIR_SANITIZERS} // 'no') eq 'yes' ? 3 : 1 }

sub find_build {
    for my $dir (grep { defined } $ENV{WEIR_BUILD}, 'build', '.') {
        return File::Spec->rel2abs($dir) if -x "$dir/weir" || defined $ENV{WEIR_BUILD};
    }
    croak 'no build found: set WEIR_BUILD';
}

# Who weir becomes when the test runs as root.
sub user { return 'nobody' }

sub dir { return $_[0]{dir} }
sub path { my ($self, $name) = @_; return "$self->{dir}/$name" }
sub program { my ($self, $name) = @_; return "$self->{build}/$name" }

sub write {
    my ($self, $name, $text) = @_;
    my $path = $name =~ m{^/} ? $name : $self->path($name);
    make_path($path =~ s{/[^/]*$}{}r);
    open my $out, '>:raw', $path or croak "$path: $!";
    print $out $text;
    close $out or croak "$path: $!";
    return $path;
}

sub read {
    my ($self, $name) = @_;
    my $path = $name =~ m{^/} ? $name : $self->path($name);
    open my $in, '<:raw', $path or return '';
    local $/;
    return <$in> // '';
}

sub wait_until {
    my ($self, $sub, $what, $seconds) = @_;
    $seconds = ($seconds // 15) * patience();
    my $deadline = time + $seconds;
    while (1) {
        my $result = $sub->();
        return $result if $result;
        croak "waited $seconds s in vain until $what" if time > $deadline;
        sleep 0.02;
    }
}

# --- ports ---

# Tests that run side by side take blocks of ports by lock; each port is tried before it is given out.
use constant PORT_BLOCK => 100;
my ($port_lock, $port_next, $port_end, $ephemeral);

sub take_port_block {
    if (!$ephemeral) {
        open my $in, '<', '/proc/sys/net/ipv4/ip_local_port_range';
        ($ephemeral) = $in ? <$in> =~ /^(\d+)/ : ();
        $ephemeral = 32768 if !$ephemeral || $ephemeral < 12000;
    }
    my $blocks = int(($ephemeral - 10000) / PORT_BLOCK);
    my $dir = File::Spec->tmpdir . "/weir-test-ports-$>";
    mkdir $dir, 0700;
    my $first = int rand $blocks;
    for my $i (0 .. $blocks - 1) {
        my $block = ($first + $i) % $blocks;
        sysopen my $lock, "$dir/$block", O_RDWR | O_CREAT or croak "$dir/$block: $!";
        next unless flock $lock, LOCK_EX | LOCK_NB;
        push @{$port_lock}, $lock;
        $port_next = 10000 + $block * PORT_BLOCK;
        $port_end = $port_next + PORT_BLOCK;
        return;
    }
    croak 'no free ports are left';
}

sub port {
    my ($self) = @_;
    while (1) {
        take_port_block() if !defined $port_next || $port_next >= $port_end;
        my $port = $port_next++;
        my @tries = (
            { LocalHost => '0.0.0.0', Listen => 1, Proto => 'tcp' },
            { LocalHost => '0.0.0.0', Type => SOCK_DGRAM, Proto => 'udp' },
            -e '/proc/net/if_inet6' ? { LocalHost => '::', Listen => 1, Proto => 'tcp', V6Only => 1 } : (),
        );
        return $port if @tries == grep { IO::Socket::IP->new(%$_, LocalPort => $port) } @tries;
    }
}

sub ports {
    my ($self, $count) = @_;
    return map { $self->port } 1 .. $count;
}

# --- processes ---

# Runs $sub in a process of its own, which ends with the test; returns its pid.
sub spawn {
    my ($self, $sub, $log) = @_;
    my $pid = fork // croak "fork: $!";
    if ($pid == 0) {
        die_with_parent();
        alarm 0;
        $SIG{$_} = 'DEFAULT' for qw(ALRM TERM INT HUP);
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        open STDERR, '>>', $self->path($log) if $log;
        eval { $sub->(); 1 } or print STDERR $@;
        POSIX::_exit($@ ? 1 : 0);
    }
    $self->{processes}{$pid} = 1;
    return $pid;
}

# Sends the signal, waits for the end, returns the exit status as a shell would.
sub end_process {
    my ($self, $pid, $signal, $seconds) = @_;
    kill $signal, $pid;
    return $self->reap($pid, $seconds);
}

sub reap {
    my ($self, $pid, $seconds) = @_;
    my $status;
    $self->wait_until(sub {
        my $got = waitpid $pid, POSIX::WNOHANG();
        $status = $?;
        return $got != 0;
    }, "process $pid ends", $seconds);
    delete $self->{processes}{$pid};
    return $status & 127 ? 128 + ($status & 127) : $status >> 8;
}

sub run {
    my ($self, @cmd) = @_;
    my %o = ref $cmd[-1] eq 'HASH' ? %{ pop @cmd } : ();
    my $base = 'run-' . $self->{next_run}++;
    my $in = $self->write("$base.in", $o{stdin} // '');
    my $pid = fork // croak "fork: $!";
    if ($pid == 0) {
        die_with_parent();
        alarm 0;
        $SIG{$_} = 'DEFAULT' for qw(ALRM TERM INT HUP PIPE);
        %ENV = (%ENV, %{ $o{env} // {} });
        open STDIN, '<', $in;
        open STDOUT, '>', $self->path("$base.out");
        open STDERR, '>', $self->path("$base.err");
        no warnings 'exec';
        exec { $cmd[0] } @cmd or print STDERR "$cmd[0]: $!\n";
        POSIX::_exit(127);
    }
    $self->{processes}{$pid} = 1;
    my $exit = eval { $self->reap($pid, $o{timeout} // 60) };
    my $late = $@;
    if (!defined $exit) {
        $self->end_process($pid, 'KILL');
        croak "@cmd: $late" . $self->read("$base.err");
    }
    my @result = ($exit, $self->read("$base.out"), $self->read("$base.err"));
    note_findings("@cmd", $result[2]);
    unlink map { $self->path("$base.$_") } qw(in out err);
    return @result;
}

sub weir { my ($self, @args) = @_; return $self->run($self->program('weir'), @args) }
sub weirgen { my ($self, @args) = @_; return $self->run($self->program('weirgen'), @args) }
sub weirctl { my ($self, @args) = @_; return $self->run($self->program('weirctl'), @args) }
sub curl { my ($self, @args) = @_; return $self->run(qw(curl -q -sS --noproxy * --max-time 30), @args) }
sub openssl { my ($self, @args) = @_; return $self->run('openssl', @args) }

sub make_cert {
    my ($self, $dir, $id, $names, %o) = @_;
    my @names = @{ $names // ['localhost'] };
    make_path($dir);
    my @key = ($o{type} // 'ec') eq 'rsa' ? qw(-newkey rsa:2048) : qw(-newkey ec -pkeyopt ec_paramgen_curve:P-256);
    my $base = $self->path("cert-$self->{next_run}");
    my $alt = join ',', map { (/^[\d.]+$|:/ ? 'IP:' : 'DNS:') . $_ } @names;
    my ($exit, undef, $err) = $self->openssl(qw(req -x509 -nodes -sha256), @key, '-days', $o{days} // 30,
        '-subj', "/CN=$names[0]", '-addext', "subjectAltName=$alt", '-keyout', "$base.key", '-out', "$base.crt");
    croak "openssl: $err" if $exit;
    my %pem = (crt => $self->read("$base.crt"), key => $self->read("$base.key"));
    unlink "$base.crt", "$base.key";
    my %files = ($o{layout} // 'pem') eq 'pair'
        ? ("$dir/$id/tls.crt" => $pem{crt}, "$dir/$id/tls.key" => $pem{key})
        : ("$dir/$id.pem" => $pem{crt} . $pem{key});
    for my $file (keys %files) {
        $self->write($file, $files{$file});
        chmod 0600, $file;
    }
    return \%pem;
}

# --- what a machine does to processes ---

sub limit {
    my ($self, $pid, $what, $soft) = @_;
    # Who is root without all of root's rights may do it to processes of the same user.
    my ($uid, $gid) = map { $self->read("/proc/$pid/status") =~ /^${_}id:\s+(\d+)/m } qw(U G);
    my @as = $> == 0 && $uid != 0 ? ('setpriv', "--reuid=$uid", "--regid=$gid", '--clear-groups') : ();
    my ($exit, undef, $err) = $self->run(@as, 'prlimit', '--pid', $pid, "--$what=$soft:");
    croak "prlimit: $err" if $exit;
    return;
}

# Numbers below the limit may be free between those that are open: `free` of them stay.
sub leave_files {
    my ($self, $pid, $free) = @_;
    my %is_open = map { m{(\d+)$} => 1 } glob "/proc/$pid/fd/*";
    my $soft = 0;
    $soft++ while $is_open{$soft} || $free-- > 0;
    return $self->limit($pid, nofile => $soft);
}

sub tighten {
    my ($self, $pid, $least) = @_;
    my @open = sort { $a <=> $b } map { m{(\d+)$} } glob "/proc/$pid/fd/*";
    my $free = $open[-1] + 1 - @open;
    my $more = $free < $least ? $least - $free : 0;
    $self->limit($pid, nofile => $open[-1] + 1 + $more);
    return $free + $more;
}

sub open_files { my ($self, $pid) = @_; my @all = glob "/proc/$pid/fd/*"; return scalar @all }

sub resident { my ($self, $pid) = @_; return $self->read("/proc/$pid/status") =~ /VmRSS:\s+(\d+)/ ? $1 : undef }

sub clock_env {
    my ($self) = @_;
    $self->jump_clock(0);
    return {
        LD_PRELOAD => $self->program('programs/clockjump.so'),
        CLOCKJUMP => $self->path('clockjump'),
        # Theirs need not come first: the library knows nothing of memory.
        ASAN_OPTIONS => join(':', $ENV{ASAN_OPTIONS} // (), 'verify_asan_link_order=0'),
    };
}

# In place: the file is mapped.
sub jump_clock {
    my ($self, $seconds) = @_;
    sysopen my $out, $self->path('clockjump'), O_RDWR | O_CREAT or croak "clockjump: $!";
    syswrite $out, pack 'q', $seconds;
    return;
}

sub small_disk {
    my ($size) = @_;
    my $disk = '/mnt';
    return $disk if $ENV{WEIR_TEST_DISK};
    my @namespace = ('unshare', '-m', '--propagation', 'private', 'sh', '-c',
        "mount -t tmpfs -o size=$size,mode=755 none $disk && exec \"\$@\"", 'sh');
    return if !-d $disk || system("@namespace[0 .. 5] 'mount -t tmpfs -o size=$size none $disk' >/dev/null 2>&1") != 0;
    $ENV{WEIR_TEST_DISK} = 1;
    exec @namespace, $^X, (map { "-I$_" } @INC), $0 or die "unshare: $!\n";
}

# --- weir ---

sub config {
    my ($self, $body, %o) = @_;
    my $dir = $self->{dir};
    my @global = ('workers: ' . ($o{workers} // 2));
    push @global, 'user: ' . $self->user if $> == 0;
    push @global, "certificates: {dir: $dir/certs}", "control: {socket: $dir/run/control.sock}";
    push @global, ($o{stats} // 1)
        ? 'stats: {listen: "127.0.0.1:' . ($self->{stats_port} //= $self->port) . '"}'
        : 'stats: {listen: "off"}';
    my $access = $o{access} // "$dir/access.log";
    push @global, "log: {access: \"$access\", format: " . ($o{format} // 'json') . ', level: ' . ($o{level} // 'info') . '}';
    push @global, "pid_file: $dir/run/weir.pid", "state_dir: $dir/state";
    push @global, split /\n/, $o{global} // '';
    return join '', "version: 1\nglobal:\n", (map { "  $_\n" } @global), $body;
}

sub start_weir {
    my ($self, %o) = @_;
    my $daemon = Weir::Test::Daemon->new($self, %o);
    push @{ $self->{daemons} }, $daemon;
    $daemon->wait_ready if $o{wait} // 1;
    return $daemon;
}

# --- servers and clients ---

sub origin {
    my ($self, $name, %o) = @_;
    return Weir::Test::Origin->new($self, name => $name, %o);
}

sub tcp_server {
    my ($self, $name, $sub, %o) = @_;
    return Weir::Test::Origin->new($self, name => $name, tcp => $sub, %o);
}

sub tcp_echo {
    my ($self, $name, %o) = @_;
    return $self->tcp_server($name, \&Weir::Test::Origin::echo, %o);
}

sub client {
    my ($self, $port, %o) = @_;
    return Weir::Test::Client->new(port => $port, timeout => 20 * patience(), %o);
}

# The same over TLS, which openssl speaks: the bytes go through a pair of sockets.
sub tls_client {
    my ($self, $port, $alpn) = @_;
    socketpair my $here, my $there, Socket::AF_UNIX(), Socket::SOCK_STREAM(), 0 or croak "socketpair: $!";
    my $pid = $self->spawn(sub {
        open STDIN, '<&', $there or die;
        open STDOUT, '>&', $there or die;
        exec 'openssl', 's_client', '-connect', "127.0.0.1:$port", '-alpn', $alpn, '-quiet', '-no_ign_eof';
    }, 's_client.err');
    CORE::close $there;
    $here->blocking(0);
    return Weir::Test::Client->new(socket => $here, timeout => 20 * patience(), on_close => sub { $self->reap($pid) });
}

sub http_get {
    my ($self, $port, $path, %o) = @_;
    my $client = $self->client($port, ($o{to} ? (host => $o{to}) : ()));
    my $response = $client->request($o{method} // 'GET', $path,
        map { $_ => $o{$_} } grep { defined $o{$_} } qw(host headers body version));
    $client->close;
    return $response;
}

sub raw_exchange {
    my ($self, $port, $bytes, %o) = @_;
    my $client = $self->client($port, timeout => ($o{timeout} // 20) * patience(), ($o{to} ? (host => $o{to}) : ()));
    my $how = 'closed';
    eval {
        for my $piece (ref $bytes ? @$bytes : $bytes) {
            ref $piece ? $piece->($client) : $client->send($piece);
        }
        $client->end_sending if $o{half_close};
        1;
    } or $how = $@ =~ /timeout/ ? 'timeout' : 'reset';
    # What was answered before the other side closed is there to read even when sending failed.
    eval { 1 while $client->fill; 1 } or $how = $@ =~ /timeout/ ? 'timeout' : 'reset';
    return wantarray ? ($client->{in}, $how) : $client->{in};
}

sub load {
    my ($self, %o) = @_;
    return Weir::Test::Load->new($self, %o);
}

# --- the end ---

# A sanitizer's finding fails the test file, wherever it was written.
sub note_findings {
    my ($who, $text) = @_;
    return if $text !~ /(ERROR: \w+Sanitizer|runtime error:|WARNING: \w+Sanitizer)/;
    Test::More::diag("$who:\n" . substr($text, $-[0] > 200 ? $-[0] - 200 : 0, 6000));
    $fault = 1;
    return;
}

# The test's processes and their descendants; weir's old generations hang on the test itself once orphaned.
sub descendants {
    my @pids = @_;
    my %children;
    for my $stat (glob '/proc/[0-9]*/stat') {
        open my $in, '<', $stat or next;
        my $line = <$in> // next;
        my ($pid, $parent) = $line =~ /^(\d+) \(.*\) \S (\d+)/s or next;
        push @{ $children{$parent} }, $pid;
    }
    my @all;
    while (defined(my $pid = shift @pids)) {
        my @next = @{ $children{$pid} // [] };
        push @all, @next;
        push @pids, @next;
    }
    return @all;
}

sub end_all {
    my ($self) = @_;
    return if $$ != $owner || $self->{ended}++;
    my $failed = $? || !Test::More->builder->is_passing;
    local ($?, $@, $!);
    $_->finish for grep { defined } @{ $self->{daemons} };
    my @rest = (keys %{ $self->{processes} }, descendants(keys %{ $self->{processes} }), descendants($$));
    kill 'KILL', @rest if @rest;
    for my $pid (@rest) {
        waitpid $pid, 0;
    }
    for my $daemon (grep { defined } @{ $self->{daemons} }) {
        my $log = $daemon->log;
        note_findings("weir ($daemon->{log_file})", $log);
        Test::More::diag("end of weir's log:\n" . substr $log, -4000) if $failed && $log ne '';
    }
    if ($failed && $ENV{KEEP}) {
        Test::More::diag("kept: $self->{dir}");
    } else {
        remove_tree($self->{dir}, { safe => 0, error => \my $ignored });
    }
    return;
}

sub give_up {
    my ($why) = @_;
    POSIX::_exit(1) if $$ != $owner;
    Test::More::diag($why);
    $fault = 1;
    exit 1;
}

sub DESTROY {
    my ($self) = @_;
    $self->end_all;
    return;
}

END {
    if ($$ == $owner) {
        alarm 0;
        $_->end_all for grep { defined } @live;
        $? = 1 if $fault && !$?;
    }
}

1;
