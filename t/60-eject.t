#!/usr/bin/perl
# Servers that fail requests are left out for a while, by all workers; and how often other servers are tried.
use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $fail = $t->path('fail');
my $bad = sub { -e $fail ? { status => 503, body => "sick\n" } : undef };
my %origin = (a => $t->origin('a', handler => $bad), b => $t->origin('b'), c => $t->origin('c'));

sub servers {
    return join '', map { "      - {name: $_, address: \"@{[ $origin{$_}->address ]}\"}\n" } @_;
}

sub get {
    my ($port) = @_;
    my $r = $t->http_get($port, '/');
    return $r->{status} == 200 ? $r->{body} =~ s/\n//r : $r->{status};
}

sub wait_ejected {
    my ($weir, $pool, $name, $value) = @_;
    $t->wait_until(sub { !!$weir->stats_server($pool, $name)->{ejected} == !!$value }, "$pool/$name: ejected is $value");
    return $weir->stats_server($pool, $name);
}

subtest 'a server that answers with errors' => sub {
    my $port = $t->port;
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 2));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
pools:
  - name: web
    eject: {errors: 3, time: 1s, time_max: 1h}
    servers:
@{[ servers(qw(a b c)) ]}
CONFIG
    my %seen;
    $seen{ get($port) }++ for 1 .. 12;
    is(join(' ', sort keys %seen), 'a b c', 'all are used while they are good');
    is($weir->stats_server('web', 'a')->{ejections}, 0, 'and none is left out');

    $t->write('fail', '');
    my $sick = 0;
    $t->wait_until(sub { $sick += get($port) eq '503'; $sick >= 3 }, 'three errors');
    my $out = wait_ejected($weir, 'web', 'a', 1);
    is($out->{ejections}, 1, 'it is left out after three failures, whichever worker met them');
    is($out->{health}, 'unknown', 'its health is not touched');
    ok(!$out->{usable}, 'it is not usable');
    ok($out->{ejected_s} >= 1, 'the time left is told');
    is($weir->stats_pool('web')->{servers_usable}, 2, 'nor does the pool count it');
    like($weir->log, qr/warn worker\S*: pool web server a: 3 failures in a row \(bad status\), left out for 1000 ms/, 'the log has it');
    like($weir->metrics, qr/^weir_server_ejections_total\{.*server="a".*\} [12]$/m, 'the metrics too');
    like(($t->weirctl('-S', $t->path('run/control.sock'), 'servers'))[1], qr/LEFT OUT/, 'and weirctl');

    wait_ejected($weir, 'web', 'a', 0);
    like($weir->log, qr/pool web server a: no longer left out/, 'its return is logged');
    $t->wait_until(sub { get($port); $weir->stats_server('web', 'a')->{ejections} == 2 }, 'it is left out again');
    like($weir->log, qr/left out for 2000 ms/, 'for twice as long');
    my ($again) = $weir->log =~ /no longer left out.*?(\d+) failures in a row/s;
    is($again, 3, 'after one more failure');
    unlink $fail;

    my ($exit) = $t->weirctl('-S', $t->path('run/control.sock'), qw(server web/a ready));
    is($exit, 0, 'the operator says that it is ready');
    ok(!$weir->stats_server('web', 'a')->{ejected}, 'and it is used again');
    %seen = ();
    $seen{ get($port) }++ for 1 .. 12;
    is(join(' ', sort keys %seen), 'a b c', 'as are all');
    is($weir->stop, 0, 'weir ends');
};

subtest 'a floor of servers stays' => sub {
    my ($port, $one) = $t->ports(2);
    $origin{$_}->stop for qw(b c);
    $t->write('fail', '');
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
  - {name: one, listen: ["127.0.0.1:$one"], protocol: http, pool: one}
pools:
  - name: web
    eject: {errors: 1, time: 1h, time_max: 1h, keep: 60}
    retry: {attempts: 1}
    servers:
@{[ servers(qw(a b c)) ]}
  - name: one
    eject: {errors: 1, time: 1h, time_max: 1h, keep: 0}
    servers:
@{[ servers(qw(b)) ]}
CONFIG
    get($port) for 1 .. 12;
    is((grep { $weir->stats_server('web', $_)->{ejected} } qw(a b c)), 1, 'sixty percent of three are two');
    like($weir->log, qr/too few others would stay/, 'the log says why');
    get($one) for 1 .. 3;
    ok(!$weir->stats_server('one', 'b')->{ejected}, 'the last one always stays');

    # Nobody ejects in the new configuration: nobody would readmit either.
    $weir->reload($t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
pools:
  - name: web
    servers:
@{[ servers(qw(a b c)) ]}
CONFIG
    $t->wait_until(sub { !grep { $weir->stats_server('web', $_)->{ejected} } qw(a b c) }, 'all are used again');
    pass('without eject nobody stays left out');
    is($weir->stop, 0, 'weir ends');
    unlink $fail;
    $origin{$_}->start for qw(b c);
};

subtest 'what counts as a failure' => sub {
    my %port = map { $_ => $t->port } qw(closes resets late connect tcp good);
    my $closed = $t->port;
    my $closes = $t->tcp_server('closes', sub { $_[0]->read_match(qr/\r\n\r\n/) });
    my $resets = $t->tcp_server('resets', sub { $_[0]->read_match(qr/\n/); $_[0]->reset });
    my $late = $t->tcp_server('late', sub { $_[0]->read_until_close });
    my %address = (closes => $closes->address, late => $late->address, connect => "127.0.0.1:$closed",
        tcp => $resets->address, resets => $resets->address, good => $origin{b}->address);
    my $spare = $origin{b}->address;
    my $listeners = join '', map {
        my $rest = $_ eq 'tcp' ? 'protocol: tcp' : 'protocol: http, timeouts: {response: 300ms}';
        "  - {name: $_, listen: [\"127.0.0.1:$port{$_}\"], pool: $_, $rest}\n"
    } sort keys %port;
    my $pools = join '', map {
        my $p = $_ eq 'tcp' ? 'tcp' : 'http';
        "  - {name: $_, protocol: $p, eject: {errors: 2, time: 1h, time_max: 1h}, servers: [{name: x, address: \"$address{$_}\"}, {name: y, address: \"$spare\"}]}\n"
    } sort keys %port;
    my $weir = $t->start_weir(config => $t->config("listeners:\n${listeners}pools:\n$pools", workers => 1));
    for my $pool (qw(closes resets late connect good)) {
        get($port{$pool}) for 1 .. 5;
    }
    for (1 .. 5) {
        my ($bytes) = $t->raw_exchange($port{tcp}, "GET / HTTP/1.0\r\n\r\n", half_close => 1);
    }
    ok($weir->stats_server($_, 'x')->{ejected}, "$_: left out") for qw(closes resets late connect tcp);
    ok(!$weir->stats_server($_, 'y')->{ejected}, "$_: the good one is not") for sort keys %port;
    ok(!$weir->stats_server('good', 'x')->{ejected}, 'nor one that is good');
    is($weir->stop, 0, 'weir ends');
};

subtest 'successes between' => sub {
    my $port = $t->port;
    my $odd = $t->origin('odd', handler => sub { $_[0]{path} eq '/bad' ? { status => 502, body => 'x' } : undef });
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
pools:
  - name: web
    eject: {errors: 2, time: 1h, time_max: 1h, keep: 0, status: [500-501, 502]}
    balance: source_hash
    servers:
      - {name: a, address: "@{[ $odd->address ]}"}
      - {name: b, address: "@{[ $odd->address ]}"}
CONFIG
    for (1 .. 5) {
        $t->http_get($port, '/bad');
        $t->http_get($port, '/good');
    }
    is((grep { $weir->stats_server('web', $_)->{ejections} } qw(a b)), 0, 'only failures in a row count');
    $t->http_get($port, '/bad') for 1 .. 2;
    is((grep { $weir->stats_server('web', $_)->{ejected} } qw(a b)), 1, 'two in a row do');
    $weir->stop;
};

subtest 'retries' => sub {
    my ($port, $budget, $once) = $t->ports(3);
    my @closed = $t->ports(3);
    my $dead = join ', ', map { "{name: d$_, address: \"127.0.0.1:$closed[$_]\"}" } 0 .. 2;
    my $b = '{name: b, address: "' . $origin{b}->address . '"}';
    my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: free, listen: ["127.0.0.1:$port"], protocol: http, pool: free}
  - {name: budget, listen: ["127.0.0.1:$budget"], protocol: http, pool: budget}
  - {name: once, listen: ["127.0.0.1:$once"], protocol: http, pool: once}
pools:
  - {name: free, servers: [$dead, $b]}
  - {name: budget, retry: {budget: 20}, servers: [$dead]}
  - {name: once, retry: {attempts: 1}, servers: [$dead, $b]}
CONFIG
    is(get($port), 'b', "request $_ finds the one that lives") for 1 .. 4;
    is(get($budget), 503, 'none lives') for 1 .. 100;
    my $pool = $weir->stats_pool('budget');
    cmp_ok($pool->{retries}, '<=', 10 + 20, 'at most ten saved retries, and one for each five requests');
    cmp_ok($pool->{retries}, '>=', 10 + 20 - 2, 'and hardly fewer');
    ok($pool->{retries_refused} > 0, 'others are refused, and counted');
    my %seen;
    $seen{ get($once) }++ for 1 .. 8;
    is_deeply(\%seen, { 503 => 6, b => 2 }, 'one attempt is one attempt');
    is($weir->stats_pool('once')->{retries}, 0, 'no retries');
    is($weir->stop, 0, 'weir ends');
    like($t->read('access.log'), qr/"status":503,"pool":"budget".*"retries":0,/, 'the log has the refusal');
};

subtest 'what is wrong in a configuration' => sub {
    my ($exit, undef, $err) = $t->weir('-t', '-c', $t->write('bad.yaml', $t->config(<<"CONFIG")));
pools:
  - {name: a, eject: {errors: 0}}
  - {name: b, eject: {time: 2h}}
  - {name: c, eject: {time: 10s, time_max: 5s}}
  - {name: d, eject: {keep: 101}}
  - {name: e, eject: {status: [600]}}
  - {name: f, retry: {attempts: 9, budget: 0}}
CONFIG
    is($exit, 1, 'refused');
    like($err, qr/errors: "0" is too small/, 'no failures');
    like($err, qr/time: "2h" is too big/, 'too long');
    like($err, qr/eject: time_max is less than time/, 'bounds the wrong way round');
    like($err, qr/keep: "101" is too big/, 'more than all');
    like($err, qr/status: /, 'no status');
    like($err, qr/attempts: "9" is too big/, 'too many attempts');
    like($err, qr/budget: "0" is too small/, 'no budget');
};

done_testing;
