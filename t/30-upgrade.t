#!/usr/bin/perl
# Upgrade: from the switch on, bytes both ways.

use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::Script;

my $t = Weir::Test->new;
my ($port, $short) = $t->ports(2);
my $xff = "X-Forwarded-For: 127.0.0.1\r\n";
my $switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\nX: y\r\n\r\n";
my $switched = "HTTP/1.1 101 Switching Protocols\r\nX: y\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
my $size = 3_000_000;

sub echo {
    my ($c) = @_;
    while (length $c->{in} || $c->fill) {
        my $bytes = $c->{in};
        $c->{in} = '';
        $c->send($bytes);
    }
    return 0;
}
my %cases = (
    echo => { answer => sub { my ($c) = @_; $c->note; $c->send($switch); echo($c) } },
    greets => { answer => sub { my ($c) = @_; $c->note; $c->send($switch . 'welcome'); echo($c) } },
    # Speaks last, after the client has ended its side.
    farewell => { answer => sub { my ($c) = @_; $c->note; $c->send($switch); $c->read_until_close; $c->send('bye'); 0 } },
    # Ends its side first, then listens.
    listens => { answer => sub { my ($c) = @_; $c->note; $c->send($switch . 'over'); $c->end_sending; $c->{name} = 'heard'; $c->read_until_close; $c->note; $c->{gone} = 1; 0 } },
    dies => { answer => sub { my ($c) = @_; $c->note; $c->send($switch . 'ugh'); $c->cut } },
    bare => { answer => "HTTP/1.1 101 Switching Protocols\r\n\r\n" },
    h2c => { answer => "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" },
    interim => { answer => sub { my ($c) = @_; $c->note; $c->send("HTTP/1.1 103 Early Hints\r\n\r\n$switch"); echo($c) } },
);
my $script = Weir::Test::Script->new($t, \%cases);
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
  - {name: short, listen: ["127.0.0.1:$short"], protocol: http, pool: web, timeouts: {tunnel: 300ms}}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $script->address ]}"}]
CONFIG

sub ask {
    my ($name, $more) = @_;
    return "GET /$name HTTP/1.1\r\nHost: t\r\nConnection: Upgrade, X-Hop\r\nUpgrade: chat\r\nX-Hop: 1\r\n\r\n" . ($more // '');
}

sub opened {
    my ($name, %o) = @_;
    my $c = $t->client($o{port} // $port);
    $c->send(ask($name, $o{more}));
    is($c->read_bytes(length $switched), $switched, "$name: the switch reaches the client");
    return $c;
}

my $c = opened('echo');
is([ $script->seen('echo') ]->[0]{saw}, "GET /echo HTTP/1.1\r\nHost: t\r\n${xff}Connection: upgrade\r\nUpgrade: chat\r\n\r\n", 'the server is asked to switch');
$c->send("GET / HTTP/1.1\r\n\0\n\xff");
is($c->read_bytes(19), "GET / HTTP/1.1\r\n\0\n\xff", 'bytes pass both ways as they are');
is($weir->stats_server('web', 'a')->{active}, 1, 'the tunnel counts as active');
my $big = join '', map { chr $_ % 251 } 1 .. $size;
my $reader = fork // die;
if (!$reader) {
    eval { $c->send($big) };
    POSIX::_exit(0);
}
ok($c->read_bytes($size) eq $big, 'megabytes pass both ways at a time');
waitpid $reader, 0;
$c->end_sending;
is($c->read_until_close, '', 'the end of one side comes back as the end of the other');
$t->wait_until(sub { $weir->stats_server('web', 'a')->{active} == 0 }, 'the tunnel is not counted any more');

$c = opened('echo', more => 'sent right behind the head');
is($c->read_bytes(26), 'sent right behind the head', 'bytes behind the head come first');
$c->close;
$c = opened('greets', more => 'x' x 20_000);
is($c->read_bytes(7), 'welcome', 'bytes behind the 101 too');
is($c->read_bytes(20_000), 'x' x 20_000, 'and many behind the head');
$c->close;
$c = opened('farewell', more => 'last words');
$c->end_sending;
is($c->read_until_close, 'bye', 'a client that ended its side hears what the server still has to say');
$c = opened('listens');
is($c->read_until_close, 'over', 'a server that ended its side');
$c->send('still here');
$c->end_sending;
$t->wait_until(sub { grep { $_->{name} eq 'heard' } $script->seen }, 'the server heard the client');
is([ $script->seen('heard') ]->[0]{saw}, 'still here', 'still hears the client');
$c->close;
$c = opened('dies');
is((eval { $c->read_until_close } // $c->{in}) =~ /^(?:ugh)?$/ ? 1 : 0, 1, 'a server that resets ends the tunnel at once');
$c = opened('echo');
$c->reset;
$t->wait_until(sub { $weir->stats_server('web', 'a')->{active} == 0 }, 'a client that resets ends it too');
pass('a client that resets ends it too');

$c = opened('echo', port => $short);
is(eval { $c->read_until_close; 1 } ? 'closed' : $@ =~ /timeout/ ? 'timeout' : 'reset', 'reset', 'a silent tunnel is cut');

for my $name (qw(bare h2c)) {
    my ($got, $how) = $t->raw_exchange($port, ask($name) . "GET /probe HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", timeout => 10);
    like($got, qr{^HTTP/1\.1 502 .*\Q$Weir::Test::Script::probe_got\E\z}s, "$name: a switch that is none is refused, and the connection goes on");
}
$c = $t->client($port);
$c->send(ask('interim', 'abc'));
is($c->read_bytes(31 + length $switched), "HTTP/1.1 103 Early Hints\r\n\r\n" . $switched . 'abc', 'an interim response before the switch') ;
$c->close;

my ($got, $how) = $t->raw_exchange($port, ask('plain') . "GET /probe HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", timeout => 10);
is($got, $Weir::Test::Script::probe_answer . $Weir::Test::Script::probe_got, 'a server that does not switch just answers, and what follows is a request');

is($weir->stop, 0, 'weir ends with status 0');
done_testing;
