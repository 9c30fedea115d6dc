#!/usr/bin/perl
# What operators want of servers (weirctl server ...) stays: over reloads, changes of servers, crashes and restarts.

use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $port = $t->port;
my @names = qw(a b c d);

# weights: of a, b...; servers: which of them; keep: what becomes of run-time weights.
sub config {
    my (%o) = @_;
    my %weight = (%{ $o{weights} // {} });
    my $servers = join ', ',
        map { "{name: $_, address: \"127.0.0.1:9\", weight: @{[ $weight{$_} // 5 ]}}" } @{ $o{servers} // \@names };
    my $keep = $o{keep} // 'yield';
    my $meta = $o{meta} // 'none';
    return $t->config(<<"CONFIG", workers => 1, global => 'state_interval: 1h');
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: "n/web:80"}
pools:
  - {name: "n/web:80", run_time_weights: $keep, servers: [$servers], meta: {turn: "$meta"}}
CONFIG
}

my $weir = $t->start_weir(config => config());
my @ctl = ('-S', $weir->control_socket);
my $file = $t->path('state/servers');

sub server { my ($exit, undef, $err) = $t->weirctl(@ctl, 'server', "n/web:80/$_[0]", @_[ 1 .. $#_ ]); is($exit, 0, "@_") or diag $err; return }

# "a:ready:5 b:drain:0"
sub states_are {
    my ($wanted, $what) = @_;
    my $have = join ' ', map { "$_->{name}:$_->{admin}:$_->{weight}" } @{ $weir->stats_pool('n/web:80')->{servers} };
    return is($have, $wanted, $what);
}

sub restart {
    my ($text) = @_;
    $weir->configure($text) if defined $text;
    $weir->start->wait_ready;
    return;
}

# Do it, and wait until it is on disk.
sub and_kept {
    my ($code) = @_;
    my $was = -e $file ? $t->read($file) : '';
    $code->();
    $t->wait_until(sub { -e $file && $t->read($file) ne $was }, 'it is on disk');
    return;
}

ok(!-e $file, 'nothing to keep, no file');
and_kept(sub { server('a', 'drain') });
and_kept(sub { server('b', 'maint') });
and_kept(sub { server('c', 'weight', 9) });
my $states = 'a:drain:5 b:maint:5 c:ready:9 d:ready:5';
states_are($states, 'states and weights');
is((stat $file)[2] & 07777, 0600, 'the file is weir\'s alone');

$weir->reload(config(meta => 'another'));
states_are($states, 'over a reload');
$weir->reload(config(meta => 'another', servers => [ @names, 'e' ]));
states_are("$states e:ready:5", 'over a change of servers');
$weir->reload(config(meta => 'another'));

is($weir->kill, 137, 'a crash');
restart();
states_are($states, 'over a crash');
like($weir->log, qr/state \S+servers: 3 servers that were changed by hand/, 'which the log tells');
is($weir->stop, 0, 'weir ends');
restart(config(servers => [ reverse @names ]));
states_are('d:ready:5 c:ready:9 b:maint:5 a:drain:5', 'over a restart, with the servers in another order');
$weir->quit;
restart(config(weights => { c => 6 }));
states_are('a:drain:5 b:maint:5 c:ready:6 d:ready:5', 'a weight gives way to another configured one');
and_kept(sub { server('c', 'weight', 8) });
$weir->stop;
restart(config(weights => { c => 7 }, keep => 'keep'));
states_are('a:drain:5 b:maint:5 c:ready:8 d:ready:5', 'unless the pool keeps it');
$weir->stop;
restart(config(keep => 'reset'));
states_are('a:drain:5 b:maint:5 c:ready:5 d:ready:5', 'or never does');
$weir->signal('USR2');
$weir->follow_pid_file;
$weir->wait_ready;
states_are('a:drain:5 b:maint:5 c:ready:5 d:ready:5', 'over an upgrade');
$weir->stop;
restart(config(servers => [qw(a c)]));
states_are('a:drain:5 c:ready:5', 'servers that are gone are forgotten');
$weir->stop;
restart(config());
states_are('a:drain:5 b:ready:5 c:ready:5 d:ready:5', 'for good');
and_kept(sub { server('a', 'ready') });
$weir->stop;
restart();
states_are('a:ready:5 b:ready:5 c:ready:5 d:ready:5', 'what was taken back is not kept');
and_kept(sub { server($_, 'drain') for @names });
$weir->stop;

# Whatever is in the file, weir starts.
my $good = $t->read($file);
sub cut { my ($at, $len, $with) = @_; my $copy = $good; substr $copy, $at, $len, $with; return $copy }
my %bad = (
    'an empty file' => '',
    'a short one' => substr($good, 0, 30),
    'a cut one' => substr($good, 0, -1),
    'a longer one' => "${good}x",
    'another kind' => cut(8, 1, 'x'),
    'another version' => cut(16, 1, "\x7f"),
    'another byte' => cut(60, 1, chr(1 ^ ord substr $good, 60, 1)),
    'text' => 'x' x 1000,
);
for my $what (sort keys %bad) {
    $t->write('state/servers', $bad{$what});
    my $before = () = $weir->log =~ /servers: not used: /g;
    restart();
    states_are('a:ready:5 b:ready:5 c:ready:5 d:ready:5', $what);
    is(scalar(() = $weir->log =~ /servers: not used: /g), $before + 1, 'is told');
    $weir->kill;
}
$t->write('state/servers', $good);
restart();
states_are('a:drain:5 b:drain:5 c:drain:5 d:drain:5', 'the good one');
is($weir->stop, 0, 'weir ends');
done_testing;
