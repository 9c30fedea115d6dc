#!/usr/bin/perl
# TCP listeners that pass TLS through to a pool chosen by the name that the client asks for.

use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Weir::Test;

my $t = Weir::Test->new;
my $origin = $t->origin('a');
my %port = map { $_ => $t->port } qw(pass strict one two);
$t->make_cert($t->path('certs'), $_, ["$_.test"]) for qw(one two);
my $other = $t->tcp_server('other', sub { $_[0]->send('other got ' . $_[0]->read_match(qr/\n/)) });
my $names = 'server_names: [{name: one.test, pool: one}, {name: "*.two.test", pool: two}]';
my $weir = $t->start_weir(config => $t->config(<<"END", workers => 1));
listeners:
  - {name: pass, listen: ["127.0.0.1:$port{pass}"], protocol: tcp, $names, pool: other}
  - {name: strict, listen: ["127.0.0.1:$port{strict}"], protocol: tcp, $names}
  - {name: one, listen: ["127.0.0.1:$port{one}"], protocol: https, tls: {certificate: one}, pool: web}
  - {name: two, listen: ["127.0.0.1:$port{two}"], protocol: https, tls: {certificate: two}, pool: web}
pools:
  - {name: web, servers: [{name: a, address: "@{[ $origin->address ]}"}]}
  - {name: one, protocol: tcp, servers: [{name: s, address: "127.0.0.1:$port{one}"}]}
  - {name: two, protocol: tcp, servers: [{name: s, address: "127.0.0.1:$port{two}"}]}
  - {name: other, protocol: tcp, servers: [{name: s, address: "@{[ $other->address ]}"}]}
END

# The certificate that a client gets to see, and everything openssl says.
sub s_client {
    my ($name, @args) = @_;
    my ($exit, $out, $err) = $t->openssl('s_client', '-connect', "127.0.0.1:$port{$name}", '-ign_eof', @args,
        { stdin => "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", timeout => 30 });
    my ($cn) = $out =~ /^subject=.*?CN ?= ?(\S+)/m;
    return { cn => $cn // '', ok => $out =~ m{^HTTP/1\.1 200}m ? 1 : 0, text => "$out$err" };
}

for my $version (qw(tls1_2 tls1_3)) {
    my $r = s_client('pass', "-$version", '-servername', 'one.test');
    is($r->{cn}, 'one.test', "$version: an exact name");
    is($r->{ok}, 1, '... and the request is answered');
    is(s_client('pass', "-$version", '-servername', 'A.Two.Test')->{cn}, 'two.test', 'a wildcard, in any case');
}
is(s_client('pass', '-servername', 'a.b.two.test')->{cn}, '', 'which stands for one label');

my $r = s_client('strict', '-servername', 'none.test');
like($r->{text}, qr/alert unrecognized name|alert number 112/, 'an unknown name without a pool: an alert');
$r = s_client('strict', '-noservername');
like($r->{text}, qr/alert number 112/, 'no name: likewise');

is($t->raw_exchange($port{pass}, "a line\n"), "other got a line\n", 'what is no TLS goes to the pool of the listener');
my ($answer, $how) = $t->raw_exchange($port{strict}, "GET / HTTP/1.1\r\n\r\n");
isnt($how, 'timeout', 'without one it is closed');
is($answer, '', '... without a word');

# Torn in every way that matters: the bytes reach the server as they were.
my $hello = "\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x03" . 'R' x 32 . "\x00\x00\x02\x13\x01\x01\x00\x00\x02\x00\x2b";
$hello = "\x16\x03\x01\x00\x41\x01\x00\x00\x3d\x03\x03" . 'R' x 32 . "\x00\x00\x02\x13\x01\x01\x00\x00\x12"
    . "\x00\x00\x00\x0e\x00\x0c\x00\x00\x09none.test";
my $client = $t->client($port{pass});
for my $byte (split //, substr $hello, 0, -1) {
    $client->send($byte);
}
$client->send(substr($hello, -1) . "\n");
like($client->read_until_close, qr/\Aother got \Q$hello\E\n\z/, 'a message that comes byte by byte is passed on whole')
    or diag unpack 'H*', $hello;
($answer, $how) = $t->raw_exchange($port{strict}, substr($hello, 0, 20), half_close => 1);
isnt($how, 'timeout', 'a torn message: closed');

is($weir->stats_listener('strict')->{tls_failures}, 4, 'those refused are counted');

for my $bad (
    ['server_names: [{name: a, pool: one}, {name: A, pool: two}]', qr/server name "a" has two pools/],
    ['server_names: [{name: a, pool: web}]', qr/pool "web" has protocol http; this listener needs one with protocol tcp/],
    ['server_names: [{name: a, pool: none}]', qr/there is no pool "none"/],
    ['server_names: [{name: "a b", pool: one}]', qr/name: "a b"/],
    ['server_names: []', qr/listener "l" has no target/],
) {
    my ($rest, $expected) = @$bad;
    my $file = $t->write('bad.yaml', $t->config(<<"END"));
listeners:
  - {name: l, listen: ["127.0.0.1:$port{pass}"], protocol: tcp, $rest}
pools:
  - {name: web, servers: []}
  - {name: one, protocol: tcp, servers: []}
  - {name: two, protocol: tcp, servers: []}
END
    my ($exit, undef, $err) = $t->weir('-t', '-c', $file);
    is($exit, 1, "$rest is refused");
    like($err, $expected, '... and why is told');
}

is($weir->stop, 0, 'weir ends well');
done_testing;
