#!/usr/bin/perl
# weirctl and the control socket: every command, what each changes, and requests that are refused.
use strict;
use warnings;
use IO::Socket::UNIX;
use JSON::PP ();
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($http, $other) = $t->ports(2);
my $a = $t->origin('a');
my $b = $t->origin('b');
my $json = JSON::PP->new->utf8;

sub body {
    my (%o) = @_;
    my $web = $o{web} // 'default/test:443';
    return <<"CONFIG";
listeners:
  - {name: "$web", listen: ["127.0.0.1:$http"], protocol: http, pool: "$web"}
pools:
  - name: "$web"
    health: {type: tcp, interval: 100ms, timeout: 5s, rise: 1, fall: 1}
    servers:
      - {name: a, address: "@{[ $a->address ]}", weight: 3}
      - {name: b, address: "@{[ $b->address ]}", weight: 3}
  - name: idle
    balance: weighted_least_connections
    servers: [{name: a, address: "127.0.0.1:1"}]
CONFIG
}

my $weir = $t->start_weir(config => $t->config(body()));
my @ctl = ('-S', $weir->control_socket);
$weir->wait_server('default/test:443', $_, 'up') for qw(a b);

# The result as JSON; dies when weirctl does.
sub ctl {
    my ($exit, $out, $err) = $t->weirctl(@ctl, '-o', 'json', @_);
    die "weirctl @_: status $exit: $err" if $exit;
    return JSON::PP->new->utf8->allow_nonref->decode($out);
}

# A command that must fail: the exit status and what it says.
sub ctl_fails {
    my ($exit, $out, $err) = $t->weirctl(@ctl, @_);
    is($out, '', "weirctl @_: nothing on standard output");
    return ($exit, $err);
}

sub bodies {
    my %seen;
    $seen{ $t->http_get($http, '/')->{body} }++ for 1 .. $_[0];
    return join ' ', map { s/\n//r } sort keys %seen;
}

subtest 'usage' => sub {
    my ($exit, $out, $err) = $t->weirctl('--help');
    is($exit, 0, '--help');
    like($out, qr/^Usage: weirctl/, 'says how');
    for my $command (qw(status listeners pools servers server reload help)) {
        like($out, qr/^  $command /m, "and lists $command");
    }
    ($exit, $out) = $t->weirctl('--version');
    is($exit, 0, '--version');
    like($out, qr/^weirctl \d+\.\d+/, 'says which');
    my @wrong = (
        [ [], qr/no command/ ], [ ['frobnicate'], qr/no command 'frobnicate'/ ],
        [ ['stauts'], qr/did you mean 'status'/ ], [ [ 'status', 'x' ], qr/usage: weirctl status\n/ ],
        [ ['server'], qr/usage: weirctl server POOL/ ], [ [ 'server', 'a/b' ], qr/usage/ ],
        [ [qw(server a/b weight 1 2)], qr/usage/ ], [ [qw(-o xml status)], qr/'xml': table or json/ ],
        [ ['--frobnicate'], qr/unrecognized option/ ], [ ['-S'], qr/requires an argument/ ],
        [ [ 'servers', 'a b' ], qr/blanks/ ], [ [ 'servers', '' ], qr/empty/ ],
    );
    for my $case (@wrong) {
        my ($status, $text) = ctl_fails(@{ $case->[0] });
        is($status, 2, "weirctl @{ $case->[0] }: status 2");
        like($text, $case->[1], 'and the reason');
    }
    my $nowhere = $t->path('run/nowhere.sock');
    ($exit, $out, $err) = $t->weirctl('-S', $nowhere, 'status');
    is($exit, 1, 'no daemon: status 1');
    is($err, "weirctl: cannot connect to $nowhere: No such file or directory; is weir running?\n", 'and a hint');
    ($exit, $out, $err) = $t->weirctl('-S', '/' . 'x' x 200, 'status');
    is($exit, 1, 'a path too long for a socket: status 1');
    like($err, qr/cannot connect/, 'and the reason');
};

subtest 'status' => sub {
    my $s = ctl('status');
    is($s->{pid}, $weir->pid, 'pid of the master');
    is($s->{generation}, 1, 'generation');
    is($s->{configuration}, $weir->config_file, 'configuration file');
    is("$s->{listeners} $s->{pools} $s->{servers}", '1 2 3', 'what is configured');
    is(scalar @{ $s->{workers} }, 2, 'workers');
    my ($exit, $out) = $t->weirctl(@ctl, 'status');
    is($exit, 0, 'as a table');
    like($out, qr/^pid +@{[ $weir->pid ]}$/m, 'with the pid');
    like($out, qr/^WORKER +PID +STATE +GENERATION\n +1 +\d+ +running +1\n/m, 'and the workers');
};

subtest 'listeners, pools, servers' => sub {
    is($t->http_get($http, '/')->{status}, 200, 'a request');
    $t->wait_until(sub { ctl('listeners')->[0]{requests} == 1 }, 'it is counted');
    my $l = ctl('listeners');
    is_deeply([ map { $_->{name} } @$l ], ['default/test:443'], 'listeners');
    is_deeply($l->[0]{addresses}, ["127.0.0.1:$http"], 'with their addresses');
    my $p = ctl('pools');
    is_deeply([ map { "$_->{name} $_->{servers_usable}/$_->{servers_total}" } @$p ],
        [ 'default/test:443 2/2', 'idle 1/1' ], 'pools');
    is($p->[0]{requests}, 1, 'with their counters');
    my $s = ctl('servers');
    is_deeply([ map { "$_->{pool} $_->{name}" } @$s ], [ 'default/test:443 a', 'default/test:443 b', 'idle a' ], 'servers');
    is_deeply([ map { $_->{name} } @{ ctl('servers', 'default/test:443') } ], [ 'a', 'b' ], 'those of one pool');
    my %heads = (listeners => 'LISTENER +PROTOCOL +ADDRESSES', pools => 'POOL +PROTOCOL +BALANCE', servers => 'POOL +SERVER +ADDRESS');
    for my $command (sort keys %heads) {
        my ($exit, $out) = $t->weirctl(@ctl, $command);
        is($exit, 0, "$command as a table");
        like($out, qr/^$heads{$command} .*\ndefault\/test:443 /, 'has a head and rows');
        my %widths = map { length() => 1 } split /\n/, $out;
        is(scalar keys %widths, 1, 'and is aligned');
        unlike($out, qr/ $/m, 'without blanks at the end of lines');
    }
    my ($exit, $err) = ctl_fails('servers', 'default/tset:443');
    is($exit, 1, 'a pool that is not there: status 1');
    is($err, "weirctl: no pool \"default/tset:443\"; did you mean \"default/test:443\"?\n", 'and the nearest one');
};

subtest 'help of the daemon' => sub {
    my $list = ctl('help');
    ok((grep { $_->{command} eq 'server' && $_->{arguments} =~ /weight/ } @$list), 'lists the commands');
    is(($t->weirctl(@ctl, 'help'))[0], 0, 'as a table too');
};

subtest 'server: ready, drain, maint' => sub {
    my $path = 'default/test:443/b';
    my $r = ctl('server', $path, 'drain');
    is("$r->{pool} $r->{name} $r->{admin}", 'default/test:443 b drain', 'the server is named by what follows the last slash');
    is(bodies(20), 'a', 'a draining server gets no new requests, from no worker');
    $weir->wait_log(qr/info control\[\d+\]: pool default\/test:443 server b: drain by user $> \(process \d+\)/);
    pass('the log says who did it');
    is(ctl('server', $path, 'maint')->{admin}, 'maint', 'maint');
    is(bodies(20), 'a', 'likewise in maintenance');
    is(ctl('pools')->[0]{servers_usable}, 1, 'it is not usable');
    is(ctl('server', 'default/test:443/a', 'maint')->{usable}, JSON::PP::false, 'the last one too');
    is($t->http_get($http, '/')->{status}, 503, 'then there is none');
    $weir->reload;
    is(ctl('servers')->[0]{admin}, 'maint', 'a reload keeps it so');
    is(ctl('server', "default/test:443/$_", 'ready')->{admin}, 'ready', 'ready') for qw(a b);
    is(bodies(20), 'a b', 'and all are used again');
};

subtest 'server: weight' => sub {
    my $path = 'default/test:443/b';
    my $r = ctl('server', $path, 'weight', 0);
    is("$r->{weight} $r->{configured_weight}", '0 3', 'weight 0');
    is(bodies(20), 'a', 'gets no new requests');
    is(ctl('server', $path, 'weight', 256)->{weight}, 256, 'weight 256');
    is(ctl('server', $path, 'weight', 'auto')->{weight}, 3, 'auto: the configured one');
    is(bodies(20), 'a b', 'which is used');
    $weir->wait_log(qr/server b: weight auto \(3\) by user/);
    pass('the log says so');
    my ($exit, $out) = $t->weirctl(@ctl, 'server', $path, 'weight', 7);
    is($exit, 0, 'as a table');
    like($out, qr/^default\/test:443 +b +\S+ +7 +ready/m, 'the server as it is now');
    ctl('server', $path, 'weight', 'auto');
};

subtest 'changes that are refused' => sub {
    my @cases = (
        [ [qw(server default/test:443/c ready)], 'no server in pool default/test:443 named "c"' ],
        [ [qw(server default/tesd:443/a ready)], 'no pool "default/tesd:443"; did you mean "default/test:443"?' ],
        [ [qw(server default/test:443 ready)], 'no pool "default"' ],
        [ [qw(server a ready)], '"a" is no POOL/NAME' ],
        [ [qw(server idle/ ready)], '"idle/" is no POOL/NAME' ],
        [ [qw(server /a ready)], '"/a" is no POOL/NAME' ],
        [ [qw(server idle/a up)], '"up" is none of ready, drain, maint, weight' ],
        [ [qw(server idle/a ready now)], 'nothing may follow "ready"' ],
        map { [ [ 'server', 'idle/a', 'weight', $_ ], 'a weight is 0 to 256, or auto' ] }
            qw(257 1000 +1 1.5 0x10 ten 99999999999999999999),
    );
    for my $case (@cases) {
        my ($exit, $err) = ctl_fails(@{ $case->[0] });
        is($exit, 1, "@{ $case->[0] }: status 1");
        is($err, "weirctl: $case->[1]\n", 'and the reason');
    }
    is((ctl_fails(qw(server idle/a weight)))[1], "weirctl: a weight is 0 to 256, or auto\n", 'a weight without number');
    my ($idle) = grep { $_->{pool} eq 'idle' } @{ ctl('servers') };
    is("$idle->{admin} $idle->{weight}", 'ready 1', 'nothing has changed');
};

subtest 'reload' => sub {
    my $before = ctl('status')->{generation};
    ctl('server', 'default/test:443/a', 'weight', 9);
    my ($exit, $out) = $t->weirctl(@ctl, 'reload');
    is($exit, 0, 'a reload');
    like($out, qr/reload/, 'is confirmed');
    $t->wait_until(sub { ctl('status')->{generation} == $before + 1 }, 'the new generation answers');
    is(ctl('servers')->[0]{weight}, 9, 'a weight set at run time stays');
    $weir->configure($t->config("listeners: []\npools:\n  - {name: x, balance: wrong}\n  - {name: y, what: 1}\n"));
    my $err;
    ($exit, $err) = ctl_fails('reload');
    is($exit, 1, 'a configuration with errors: status 1');
    my $file = quotemeta $weir->config_file;
    like($err, qr/^$file:\d+:\d+: error: .*$file:\d+:\d+: error: /sm, 'all of them are told, with their places');
    like($err, qr/^weirctl: reload failed, the old configuration goes on$/m, 'and what it means');
    is(ctl('status')->{generation}, $before + 1, 'the generation is the old one');
    is(ctl('status')->{reload_failures}, 1, 'the failure is counted');
    is(bodies(20), 'a b', 'and serves');
    $weir->reload($t->config(body() =~ s/weight: 3/weight: 4/gr));
    is(ctl('servers')->[0]{weight}, 4, 'until the configuration says another');
    $weir->configure($t->config(body(web => 'renamed')));
    is(($t->weirctl(@ctl, 'reload'))[0], 0, 'a good one again');
    $t->wait_until(sub { ctl('listeners')->[0]{name} eq 'renamed' }, 'commands see the new names');
    is((ctl_fails('servers', 'default/test:443'))[0], 1, 'and not the old ones');
    is(bodies(20), 'a b', 'which serve');
};

# --- the protocol itself ---

sub connect_raw {
    my $sock = IO::Socket::UNIX->new(Peer => $weir->control_socket) or die "connect: $!";
    return $sock;
}

# Sends bytes, returns the lines that come until the daemon closes, or until $count of them are there.
sub raw_lines {
    my ($bytes, $count) = @_;
    my $sock = connect_raw();
    syswrite $sock, $bytes;
    my @lines;
    while ((!defined $count || @lines < $count) && defined(my $line = <$sock>)) {
        push @lines, $line;
    }
    return map { $json->decode($_) } @lines;
}

subtest 'the protocol' => sub {
    my @answers = raw_lines("status\nservers renamed\nnonsense\npools\n", 4);
    is_deeply([ map { $_->{ok} ? 1 : 0 } @answers ], [ 1, 1, 0, 1 ], 'requests in one write, answers in their order');
    is($answers[2]{error}, 'no command "nonsense"', 'an error does not end the connection');
    is_deeply([ map { $_->{error} } raw_lines("statsu\n", 1) ], ['no command "statsu"; did you mean "status"?'], 'the nearest command');

    my $sock = connect_raw();
    syswrite $sock, $_ for split //, "help\n";
    ok($json->decode(scalar <$sock>)->{ok}, 'a request byte by byte');
    shutdown $sock, 1;
    is(scalar <$sock>, undef, 'who says no more is let go');

    my @bad = (
        [ "\n", 'an empty request; "help" lists the commands' ], [ "   \n", 'an empty request; "help" lists the commands' ],
        [ "status\r\n", 'a malformed request' ], [ "sta\0tus\n", 'a malformed request' ], [ "status\x1b\n", 'a malformed request' ],
        [ 'status' . ' x' x 20 . "\n", 'a malformed request' ], [ "status x\n", 'usage: status' ],
        [ "server x\n", 'usage: server POOL/NAME ready|drain|maint|weight N|weight auto' ],
        [ "servers \xff\xfe\n", "no pool \"\x{fffd}\x{fffd}\"" ], [ "servers \"\\\n", 'no pool ""\\"' ],
        [ "  status  \n", undef ],
    );
    for my $case (@bad) {
        my ($answer) = raw_lines($case->[0], 1);
        is($answer->{error}, $case->[1], 'request ' . $json->encode([ $case->[0] ]));
    }
    my ($long, @more) = raw_lines('x' x 5000 . "\nstatus\n");
    is($long->{error}, 'a request has 4096 bytes at most', 'a request too long');
    is(@more, 0, 'ends the connection');
    my ($exit, $err) = ctl_fails('servers', 'x' x 5000);
    is($exit, 2, 'weirctl does not send one');
};

subtest 'connections are limited' => sub {
    my @many = map { connect_raw() } 1 .. 32;
    for my $sock (@many) {
        syswrite $sock, "help\n";
        die 'no answer' unless defined readline $sock;
    }
    my $late = connect_raw();
    syswrite $late, "help\n";
    close $many[3];
    ok($json->decode(scalar <$late>)->{ok}, 'one more than 32 waits until there is room');
};

subtest 'who may talk' => sub {
    my $mode = (stat $weir->control_socket)[2] & 07777;
    is($mode & 07, 0, 'the socket is closed to others');
};

is($weir->stop, 0, 'weir ends');
my ($exit, $err) = ctl_fails('status');
is($exit, 1, 'after it has gone weirctl fails');
like($err, qr/is weir running\?/, 'and says why');
done_testing;
