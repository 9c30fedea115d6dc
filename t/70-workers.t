#!/usr/bin/perl
# Workers: their rights, their deaths, and the end of the daemon around them.

use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $origin = $t->origin('a');
my ($port, $echo_port) = $t->ports(2);
my $echo = $t->tcp_echo('echo');

sub config {
    my (%o) = @_;
    return $t->config(<<"CONFIG", %o);
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
  - {name: echo, listen: ["127.0.0.1:$echo_port"], protocol: tcp, pool: echo}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $origin->address ]}"}]
  - name: echo
    protocol: tcp
    servers: [{name: e, address: "@{[ $echo->address ]}"}]
CONFIG
}

sub status {
    my ($pid, $field) = @_;
    return $t->read("/proc/$pid/status") =~ /^\Q$field\E:\s*(.*)$/m ? $1 : undef;
}

sub says_back {
    my ($client) = @_;
    return eval { $client->send("x\n"); $client->read_bytes(2) eq "x\n" };
}

# --- rights ---

{
    my $weir = $t->start_weir(config => config());
    my @children = $weir->children;
    is(scalar @children, 3, 'two workers and control run');
    for my $pid (@children) {
        is(status($pid, 'NoNewPrivs'), 1, "process $pid can get no new privileges");
      SKIP: {
            skip 'privileges are dropped only as root', 4 if $> != 0;
            my ($uid, $gid) = (getpwnam $t->user)[ 2, 3 ];
            is(status($pid, 'Uid'), join("\t", ($uid) x 4), 'is the unprivileged user');
            is(status($pid, 'Gid'), join("\t", ($gid) x 4), 'with its group');
            like(status($pid, 'Groups'), qr/^\s*(?:$gid\s*)?$/, 'and no other one');
            is(status($pid, 'CapEff') =~ s/0//gr, '', 'and no capability');
        }
    }
    is($weir->stop, 0, 'it ends with status 0');
}

# --- a worker that is killed ---

{
    my $weir = $t->start_weir(config => config(workers => 3));
    # Connections that are held by the worker that dies end; those of the others must not notice.
    my @clients = map { my $c = $t->client($echo_port); says_back($c); $c } 1 .. 24;
    my $load = $t->load(port => $port, clients => 2, keepalive => 0);
    $load->wait_ok(50);
    my @before = $weir->workers;
    kill KILL => $before[0];
    $t->wait_until(sub { my @now = grep { $_ != $before[0] } $weir->workers; @now == 3 },
        'another worker has taken its place');
    $weir->wait_log(qr/worker \d+ \(process $before[0]\): killed by signal 9/);
    is($weir->stats->{worker_deaths}, 1, 'the death is counted');
    my %now = map { $_ => 1 } $weir->workers;
    ok($now{$_}, "worker $_ is still there") for @before[ 1, 2 ];
    my @alive = grep { !$_->is_closed } @clients;
    cmp_ok(scalar @alive, '<', 24, 'the connections of the dead worker have ended');
    cmp_ok(scalar @alive, '>', 0, 'those of the others have not');
    is(scalar(grep { says_back($_) } @alive), scalar @alive, 'and go on');
    $load->wait_ok(50);
    my $sum = $load->stop;
    # At most what each client had under way at that moment, and what waited in one queue.
    cmp_ok($sum->{failed}, '<=', 2, "of $sum->{ok} requests under load only those of the dead worker failed");
    is($weir->stats_listener('echo')->{active}, scalar @alive, 'the share of the dead worker is taken back');
    $_->close for @clients;

    my ($control) = grep { my $pid = $_; !grep { $_ == $pid } $weir->workers } $weir->children;
    kill KILL => $control;
    $weir->wait_log(qr/control \(process $control\): killed by signal 9/);
    $t->wait_until(sub { eval { $weir->stats_get('/readyz')->{status} == 200 } }, 'control is replaced');
    is(scalar $weir->children, 4, 'control is replaced');
    is($weir->stop, 0, 'it ends with status 0');
}

# --- a master that is killed ---

{
    my $weir = $t->start_weir(config => config());
    my @children = $weir->children;
    is($weir->kill, 128 + 9, 'the master is killed');
    $t->wait_until(sub { waitpid -1, 1; !grep { kill 0, $_ } @children }, 'no process survives it');
    pass('no process survives it');
    $weir = $t->start_weir(config => config());
    is($t->http_get($port, '/')->{status}, 200, 'and another one can start at once');
    is($weir->stop, 0, 'it ends with status 0');
}

# --- a graceful end ---

{
    my $weir = $t->start_weir(config => config());
    my $idle = $t->client($port);
    is($idle->get('/')->{status}, 200, 'a connection is kept');
    $origin->hold;
    my $slow = $t->client($port);
    $origin->forget;
    $slow->send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    $origin->wait_requests(1);
    $weir->signal('QUIT');
    $t->wait_until(sub { !eval { $t->client($port, timeout => 0.2)->close; 1 } && $@ =~ /refused/i },
        'new connections are refused');
    ok($weir->is_running, 'QUIT waits for a response');
    $origin->release;
    my $r = $slow->response;
    is($r->{status}, 200, 'which comes');
    is($r->{body}, "a\n", 'whole');
    is($weir->wait_exit, 0, 'then weir ends with status 0');
}

{
    my $weir = $t->start_weir(config => config(global => 'limits: {drain: 1s}'));
    $origin->hold->forget;
    my $stuck = $t->client($port);
    $stuck->send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    $origin->wait_requests(1);
    is($weir->quit, 0, 'QUIT cuts what takes longer than limits.drain');
    $origin->release;
}

{
    my $weir = $t->start_weir(config => config());
    $origin->hold->forget;
    my $stuck = $t->client($port);
    $stuck->send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    $origin->wait_requests(1);
    is($weir->stop, 0, 'TERM does not wait for a response');
    $origin->release;
}

# --- logs ---

{
    my $access = $t->path('reopen/access.log');
    my $error = $t->path('reopen/error.log');
    mkdir $t->path('reopen');
    my $weir = $t->start_weir(config => config(access => $access) =~ s/level: info/level: info, error: "$error"/r);
    is($t->http_get($port, '/one')->{status}, 200, 'a request');
    $t->wait_until(sub { $t->read($access) =~ m{/one} }, 'is in the access log');
    is((stat $access)[2] & 0777, 0640, 'which not everybody may read');
    like($t->read($error), qr/is in force/, 'the error log is a file too');
    rename $access, "$access.1";
    rename $error, "$error.1";
    $weir->signal('USR1');
    $t->wait_until(sub { -e $access && $t->read($error) =~ /opened again/ }, 'USR1 opens both anew');
    $t->wait_until(sub { $t->http_get($port, '/two'); $t->read($access) =~ m{/two} },
        'the next request is in the new file');
    is($weir->stop, 0, 'it ends with status 0');
    like($t->read($error), qr/stopped/, 'the new error log goes on');
}

done_testing;
