#!/usr/bin/perl
# Starting and stopping: options, diagnostics, pid file, sockets, signals.

use strict;
use warnings;
use IO::Socket::IP;
use IO::Socket::UNIX;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $origin = $t->origin('a');
my ($port, $other) = $t->ports(2);
my $run = $t->path('run');

sub body {
    my ($listen) = @_;
    return <<"CONFIG";
listeners:
  - {name: web, listen: [$listen], protocol: http, pool: web}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $origin->address ]}"}]
CONFIG
}

my $good = $t->config(body("\"127.0.0.1:$port\""));
my $file = $t->write('good.yaml', $good);

# --- options ---

{
    my ($exit, $out, $err) = $t->weir('--version');
    is($exit, 0, '--version succeeds');
    like($out, qr/^weir \d+\.\d+/, 'and says which');
    ($exit, $out) = $t->weir('-V');
    is($exit, 0, '-V succeeds');
    like($out, qr/^$_ /m, "-V names $_") for qw(libevent OpenSSL llhttp nghttp2 libyaml zlib xxhash);
    ($exit, $out) = $t->weir('--help');
    is($exit, 0, '--help succeeds');
    like($out, qr/--config=FILE/, 'and tells the options');
    ($exit, $out, $err) = $t->weir('--no-such-option');
    is($exit, 2, 'an unknown option is wrong usage');
    like($err, qr/--help/, 'that points to the help');
    is(($t->weir('-s', 'nonsense'))[0], 2, 'so is an unknown signal');
    is(($t->weir('-c', $file, 'more'))[0], 2, 'and an argument too many');
}

# --- testing a configuration ---

{
    my ($exit, $out, $err) = $t->weir('-c', $file, '-t');
    is($exit, 0, '-t accepts a good configuration');
    is($out, "$file: configuration is valid\n", 'and says so');
    is($err, '', 'without complaint');
    ok(!-e "$run/weir.pid", 'and leaves no pid file');

    my $bad = $t->write('bad.yaml', $good =~ s/workers: 2/workers: many/r =~ s/pool: web/pool: wep/r);
    ($exit, $out, $err) = $t->weir('-t', '-c', $bad);
    is($exit, 1, '-t refuses a bad one');
    like($err, qr/^\Q$bad\E:\d+:\d+: error: .*workers/m, 'with the place of one error');
    like($err, qr/^\Q$bad\E:\d+:\d+: error: .*wep/m, 'and of the other');
    is(($t->weir('-c', $bad))[0], 1, 'nor does it start');

    ($exit, undef, $err) = $t->weir('-t', '-c', $t->path('missing.yaml'));
    is($exit, 1, 'a configuration that is not there is an error');
    like($err, qr/missing\.yaml: error: .*No such file/, 'that names the file');

    my $log = $t->write('log.yaml', $good =~ s/access: "[^"]*"/access: "$run\/none\/access.log"/r);
    ($exit, undef, $err) = $t->weir('-t', '-c', $log);
    is($exit, 1, 'a log that cannot be written is an error');
    like($err, qr/cannot open log \S+: No such file/, 'that names the log');

  SKIP: {
        skip 'users are looked up only as root', 2 if $> != 0;
        my $user = $t->write('user.yaml', $good =~ s/user: \S+/user: nobody-of-that-name/r);
        ($exit, undef, $err) = $t->weir('-t', '-c', $user);
        is($exit, 1, 'a user that does not exist is an error');
        like($err, qr/useradd --system .* nobody-of-that-name/, 'with the command that makes it');
    }
}

# --- what is in the way ---

{
    my @blockers =
        map { IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $_, Listen => 1, ReuseAddr => 1) } $port, $other;
    my $both = $t->write('both.yaml', $t->config(body("\"127.0.0.1:$port\", \"127.0.0.1:$other\"")));
    my ($exit, undef, $err) = $t->weir('-c', $both);
    is($exit, 1, 'a port in use is an error');
    like($err, qr/^\Q$both\E:\d+:\d+: error: cannot listen on 127\.0\.0\.1:$_ for listener web: Address already in use$/m,
        "that names port $_")
        for $port, $other;
    ok(!-e "$run/weir.pid", 'no pid file is left');
    ok(!-e "$run/control.sock", 'no control socket is left');
}

{
    my $listener = IO::Socket::UNIX->new(Local => "$run/control.sock", Listen => 1) or die "control.sock: $!";
    my ($exit, undef, $err) = $t->weir('-c', $file);
    is($exit, 1, 'a control socket that somebody listens on is an error');
    like($err, qr/control socket \S+: Address already in use/, 'that says so');
    close $listener;
    ok(-S "$run/control.sock", 'the file stays when its owner has gone');
    $t->write("$run/weir.pid", "$$\n");
}

# --- running ---

{
    my $weir = $t->start_weir(config => $good);
    is($t->http_get($port, '/')->{status}, 200, 'a stale control socket and a stale pid file are no obstacle');
    is($t->read("$run/weir.pid"), $weir->pid . "\n", 'the pid file names the master');
    is((stat "$run/control.sock")[2] & 0777, 0660, 'the control socket is for owner and group');
    is((stat $t->path('state/secret'))[2] & 0777, 0600, 'the secret is for the owner alone');
    is(-s $t->path('state/secret'), 32, 'and 32 bytes');

    my ($exit, undef, $err) = $t->weir('-c', $weir->config_file);
    is($exit, 1, 'a second one does not start');
    like($err, qr/runs already, as process @{[ $weir->pid ]}/, 'and says who runs');
    like($err, qr/cannot listen on 127\.0\.0\.1:$port for listener web: Address already in use/,
        'the port is not shared with it');
    is($t->http_get($port, '/')->{status}, 200, 'the first one goes on');

    is(scalar $weir->workers, 2, 'two workers run');
    is(scalar $weir->children, 3, 'and one more process');

    is(($t->weir('-c', $weir->config_file, '-s', 'stop'))[0], 0, '-s stop finds it');
    is($weir->wait_exit, 0, 'it ends with status 0');
    ok(!-e "$run/weir.pid", 'the pid file is gone');
    ok(!-e "$run/control.sock", 'the control socket is gone');
    ($exit, undef, $err) = $t->weir('-c', $weir->config_file, '-s', 'stop');
    is($exit, 1, '-s stop fails when nobody runs');
    like($err, qr/does not run/, 'and says so');
}

for my $signal (qw(TERM INT QUIT)) {
    my $weir = $t->start_weir(config => $good);
    my @children = $weir->children;
    $weir->signal($signal);
    is($weir->wait_exit, 0, "SIG$signal ends it with status 0");
    is(scalar(grep { kill 0, $_ } @children), 0, 'and all its processes');
}

# --- IPv6 ---

SKIP: {
    skip 'no IPv6 here', 3 if !IO::Socket::IP->new(LocalHost => '::1', LocalPort => $other, Listen => 1);
    my $weir = $t->start_weir(config => $t->config(body("\"*:$port\", \"0.0.0.0:$other\", \"[::]:$other\"")));
    for my $case ([ $port, '127.0.0.1' ], [ $port, '::1' ], [ $other, '127.0.0.1' ], [ $other, '::1' ]) {
        is($t->http_get($case->[0], '/', to => $case->[1], host => 'test')->{status}, 200,
            ($case->[0] == $port ? '*' : 'both wildcards') . " serves $case->[1]");
    }
    is($weir->stop, 0, 'it ends with status 0');
}

done_testing;
