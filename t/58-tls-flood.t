#!/usr/bin/perl
# A flood of handshakes, each of which costs a worker milliseconds, does not hold up clients that are connected.

use strict;
use warnings;
use IO::Select;
use Test::More;
use lib 't/lib';
use Weir::Test;
use Weir::Test::TLS qw(client_hello);

use constant FLOOD => 100;

my $t = Weir::Test->new;
my $certs = $t->path('certs');
my $origin = $t->origin('a');
my ($web, $plain) = ($t->port, $t->port);
$t->write("$certs/.keep", '');
my ($exit, undef, $err) = $t->openssl(qw(req -x509 -nodes -newkey rsa:4096 -days 30 -subj /CN=web.test), '-keyout',
    "$certs/key", '-out', "$certs/crt");
die $err if $exit;
$t->write("$certs/web.pem", $t->read("$certs/crt") . $t->read("$certs/key"));
chmod 0600, "$certs/web.pem";
my $weir = $t->start_weir(config => $t->config(<<"END", workers => 1) =~ s/^global:\n/global:\n  limits: {handshakes: 1}\n/mr);
listeners:
  - {name: web, listen: ["127.0.0.1:$web"], protocol: https, pool: web, tls: {certificate: web}}
  - {name: plain, listen: ["127.0.0.1:$plain"], protocol: http, pool: web, timeouts: {client_idle: 60s}}
pools:
  - {name: web, servers: [{name: a, address: "@{[ $origin->address ]}"}]}
END
my ($worker) = $weir->workers;

# All that the kernel has for the worker when it runs again: the handshakes first, then the request.
my $client = $t->client($plain);
is($client->request('GET', '/first')->{status}, 200, 'a client that is connected');
my @flood = map { $t->client($web) } 1 .. FLOOD;
$t->wait_until(sub { $weir->stats_listener('web')->{active} == FLOOD }, 'the flood is connected');
kill 'STOP', $worker;
$_->send(client_hello()) for @flood;
$client->send("GET /second HTTP/1.1\r\nHost: x\r\n\r\n");
kill 'CONT', $worker;
my $response = $client->response;
my $select = IO::Select->new(map { $_->socket } @flood);
my $answered = () = $select->can_read(0);
is($response->{status}, 200, 'its next request is served');
cmp_ok($answered, '<', FLOOD / 2, "when $answered of @{[ FLOOD ]} handshakes that came before it have been answered");
for my $c (@flood) {
    my $first = eval { $c->read_bytes(1) } // '';
    $answered = "no answer but '$first'" if $first ne "\x16";
}
like($answered, qr/^\d+$/, 'all of them are answered in the end');

# Some leave while they wait in line.
kill 'STOP', $worker;
my @more = map { my $c = $t->client($web); $c->send(client_hello()); $c } 1 .. 60;
kill 'CONT', $worker;
$more[$_]->reset for grep { $_ % 3 } 0 .. $#more;
my $served = 0;
for my $i (grep { $_ % 3 == 0 } 0 .. $#more) {
    $served++ if (eval { $more[$i]->read_bytes(1) } // '') eq "\x16";
}
is($served, 20, 'those that stay are served though others leave the line');
($exit) = $t->curl('-k', "https://127.0.0.1:$web/third");
is($exit, 0, 'and new ones as before');

is($weir->stop, 0, 'weir ends well');
done_testing;
