#!/usr/bin/perl
# TCP listeners: bytes both ways, half-close, timeouts, servers that refuse, access lists.

use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($port, $fast, $dead, $some, $deny, $allow, $last, $dead_port) = $t->ports(8);
my $echo = $t->tcp_echo('echo');
my $scripted = $t->tcp_server('scripted', sub {
    my ($c) = @_;
    my $order = $c->read_match(qr/\n/);
    if ($order eq "bye\n") {
        $c->read_until_close;
        $c->send("goodbye\n");
    } elsif ($order eq "first\n") {
        $c->send("over\n");
        $c->end_sending;
        $t->write('heard', $c->read_until_close);
    } elsif ($order eq "reset\n") {
        $c->send("last words\n");
        $c->reset;
    } elsif ($order eq "flood\n") {
        my $sent = 0;
        eval {
            while ($sent < 32 << 20) {
                $c->send('x' x 65536);
                $t->write('flooded', $sent += 65536);
            }
        };
    } elsif ($order eq "hold\n") {
        $t->wait_until(sub { -e $t->path('read-on') }, 'the server may read');
        my $n = 0;
        $n += length $c->{in}, $c->{in} = '' while $c->fill;
        $c->send("$n\n");
    }
});
my $greeter = $t->tcp_server('greeter', sub { my ($c) = @_; $c->send("220 hello\r\n"); $c->read_until_close });
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
acls:
  here: {networks: [127.0.0.0/8]}
  elsewhere: {networks: [192.0.2.0/24, "::/0"]}
listeners:
  - {name: echo, listen: ["127.0.0.1:$port"], protocol: tcp, pool: echo}
  - {name: fast, listen: ["127.0.0.1:$fast"], protocol: tcp, pool: echo, timeouts: {idle: 300ms}}
  - {name: dead, listen: ["127.0.0.1:$dead"], protocol: tcp, pool: dead}
  - {name: some, listen: ["127.0.0.1:$some"], protocol: tcp, pool: some}
  - {name: deny, listen: ["127.0.0.1:$deny"], protocol: tcp, pool: echo, access: {acl: here, mode: deny}}
  - {name: allow, listen: ["127.0.0.1:$allow"], protocol: tcp, pool: echo, access: {acl: elsewhere}}
  - {name: last, listen: ["127.0.0.1:$last"], protocol: tcp, pool: scripted}
pools:
  - {name: echo, protocol: tcp, servers: [{name: a, address: "@{[ $echo->address ]}"}]}
  - {name: dead, protocol: tcp, servers: [{name: a, address: "127.0.0.1:$dead_port"}]}
  - name: some
    protocol: tcp
    servers: [{name: gone, address: "127.0.0.1:$dead_port"}, {name: a, address: "@{[ $greeter->address ]}"}]
  - {name: scripted, protocol: tcp, servers: [{name: a, address: "@{[ $scripted->address ]}"}]}
CONFIG

# Memory of the workers, in bytes.  How much a blocked sender gets rid of is up to the kernel's buffers; none of it may
# be in weir's.
sub memory {
    my $sum = 0;
    $sum += 1024 * (($t->read("/proc/$_/status") =~ /^VmRSS:\s+(\d+)/m)[0] // 0) for $weir->workers;
    return $sum;
}

my $c = $t->client($port);
$c->send("a\0\xff\r\n");
is($c->read_bytes(5), "a\0\xff\r\n", 'bytes pass both ways as they are');
is($weir->stats_listener('echo')->{active}, 1, 'the connection is counted');
my $big = join '', map { chr $_ % 251 } 1 .. 4_000_000;
my $writer = fork // die;
if (!$writer) {
    eval { $c->send($big) };
    POSIX::_exit(0);
}
ok($c->read_bytes(length $big) eq $big, 'megabytes at a time');
waitpid $writer, 0;
$c->end_sending;
is($c->read_until_close, '', 'the end of one side comes back as the end of the other');
$t->wait_until(sub { $weir->stats_listener('echo')->{active} == 0 }, 'the connection is gone');
$c->close;

$c = $t->client($last);
$c->send("bye\nand more");
$c->end_sending;
is($c->read_until_close, "goodbye\n", 'a client that ended its side still hears the server');
$c = $t->client($last);
$c->send("first\n");
is($c->read_until_close, "over\n", 'a server that ended its side');
$c->send('still here');
$c->end_sending;
$t->wait_until(sub { $t->read('heard') eq 'still here' }, 'the server hears the client');
pass('still hears the client');
$c = $t->client($last);
$c->send("reset\n");
my $how = eval { $c->read_until_close; 1 } ? 'closed' : $@ =~ /timeout/ ? 'timeout' : 'reset';
is($how, 'reset', 'a reset from the server is passed on at once, also with the last bytes');
$c = $t->client($last);
$c->send("hold\n");
$c->reset;
$t->wait_until(sub { $weir->stats_listener('last')->{active} == 0 }, 'a reset from the client ends the session');
pass('a reset from the client ends the session');

# Backpressure both ways.
my $before = memory();
$c = $t->client($last);
$c->send("flood\n");
my $sent = 0;
$t->wait_until(sub { my $now = $t->read('flooded') || 0; my $still = $now == $sent && $now > 0; $sent = $now; select undef, undef, undef, 0.2; $still },
    'the server does not get on');
cmp_ok(memory() - $before, '<', 8 << 20, "what a client does not read is not kept in memory (of $sent bytes sent)");
my $n = 0;
$n += length $c->{in}, $c->{in} = '' while $c->fill;
is($n, 32 << 20, 'and gets every byte when it does');
$c = $t->client($last);
$c->send("hold\n");
my $up = 0;
while (IO::Select->new($c->socket)->can_write(0.5)) {
    $up += syswrite($c->socket, 'x' x 65536) // 0;
    last if $up > 32 << 20;
}
cmp_ok(memory() - $before, '<', 8 << 20, "nor is what a server does not read (of $up bytes sent)");
$t->write('read-on', '');
$c->end_sending;
is($c->read_until_close, "$up\n", 'and gets every byte when it does');

# Timeouts and refusals.
# Where the machine is busy, the echo may take longer than the session may be silent.
$t->wait_until(sub { $c = $t->client($fast); eval { $c->send('ping'); $c->read_bytes(4) eq 'ping' } }, 'a session');
$how = eval { $c->read_until_close; 1 } ? 'closed' : $@ =~ /timeout/ ? 'timeout' : 'reset';
isnt($how, 'timeout', 'is ended when it is silent for too long');
for (1 .. 4) {
    $c = $t->client($some);
    is($c->read_bytes(11), "220 hello\r\n", "refused by one server: the other speaks ($_)");
    $c->close;
}
my ($got, $end) = $t->raw_exchange($dead, '', timeout => 10);
is("$got$end", 'closed', 'all servers refuse: closed');
for ([ $deny, 'deny' ], [ $allow, 'allow' ]) {
    my ($to, $name) = @$_;
    $how = eval { my $x = $t->client($to); $x->read_until_close; 1 } ? 'closed' : $@ =~ /timeout/ ? 'timeout' : 'reset';
    is($how, 'reset', "access list ($name): reset");
    is($weir->stats_listener($name)->{refused}, 1, 'and counted');
}
$c = $t->client($port);
$c->send('held over the stop');
$c->read_bytes(18);
$weir->signal('QUIT');
$weir->wait_log(qr/stopping/);
$c->send('x');
is($c->read_bytes(1), 'x', 'a graceful stop lets the session go on');
$c->close;
is($weir->wait_exit, 0, 'and weir ends with status 0 when it is over');
done_testing;
