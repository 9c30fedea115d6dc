#!/usr/bin/perl
# Kept connections to servers: what a server sends without being asked answers no request.

use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::Script;

my $t = Weir::Test->new;
my $port = $t->port;
my $ok = $Weir::Test::Script::probe_answer;
my $go = $t->path('go');

# Answers; once the test says so it sends `more`, which nobody asked for, and then closes or waits for what comes.
sub talks {
    my ($name, $more, %o) = @_;
    return ($name => { answer => sub {
        my ($c) = @_;
        $c->note;
        $c->send($ok);
        $t->wait_until(sub { -e "$go-$name" }, "the test to let $name go on");
        $c->send($more) if length $more;
        $c->end_sending if $o{close};
        return 1;
    } });
}

my $timeout = "HTTP/1.1 408 Request Timeout\r\nDate: D\r\nContent-Length: 5\r\n\r\nSTALE";
my %cases = (
    talks('timeout-get', $timeout), talks('timeout-close', $timeout, close => 1), talks('timeout-post', $timeout),
    talks('timeout-put', $timeout), talks('response', "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 5\r\n\r\nOTHER"),
    talks('interim', "HTTP/1.1 103 Early Hints\r\n\r\n"), talks('line-end', "\r\n"), talks('closed', '', close => 1),
    'next-put' => { body => 5 }, 'next-post' => { body => 5 },
);
my $script = Weir::Test::Script->new($t, \%cases);
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $script->address ]}"}]
CONFIG
my ($worker) = $weir->workers;
my ($server_port) = $script->address =~ /:(\d+)\z/;

# Does a connection of weir's (by its own port, or by that of its peer) have bytes that nobody has read, or an end?
sub has_unread {
    my (%o) = @_;
    for my $line (split /\n/, $t->read('/proc/net/tcp')) {
        my ($local, $peer, $state, $unread) = $line =~ /^\s*\d+: \w+:(\w+) \w+:(\w+) (\w+) \w+:(\w+) / or next;
        next if $o{local} && hex $local != $o{local} || $o{peer} && hex $peer != $o{peer};
        return 1 if hex $unread > 0 && $state ne '0A' || $state eq '08';
    }
    return 0;
}

# The worker finds the request of the client and what the server sent in one turn of its loop, the request first: it
# must not take the one for the answer to the other.
for my $case ([ 'timeout-get', 'GET' ], [ 'timeout-close', 'GET' ], [ 'timeout-post', 'POST' ], [ 'timeout-put', 'PUT' ], [ 'response', 'GET' ],
    [ 'interim', 'GET' ], [ 'line-end', 'GET' ], [ 'closed', 'GET' ]) {
    my ($name, $method) = @$case;
    my $client = $t->client($port);
    $client->send("GET /$name HTTP/1.1\r\nHost: t\r\n\r\n");
    is(Weir::Test::Script::shown($client->read_bytes(length $ok)), Weir::Test::Script::shown($ok), "$name: the first response");
    $t->wait_until(sub { $weir->stats_server('web', 'a')->{active} == 0 }, 'the connection to the server is kept');
    kill STOP => $worker;
    $t->wait_until(sub { $t->read("/proc/$worker/stat") =~ /\) [Tt]/ }, 'the worker has stopped');
    my ($fields, $body) = $method eq 'GET' ? ('', '') : ("Content-Length: 5\r\n", 'hello');
    my $path = $method eq 'GET' ? 'next' : 'next-' . lc $method;
    $client->send("$method /$path HTTP/1.1\r\nHost: t\r\n${fields}Connection: close\r\n\r\n$body");
    $t->write("go-$name", '');
    $t->wait_until(sub { has_unread(local => $port) && has_unread(peer => $server_port) }, 'both have arrived');
    kill CONT => $worker;
    is(Weir::Test::Script::shown($client->read_until_close), Weir::Test::Script::shown($Weir::Test::Script::probe_got),
        "$name: a $method gets its own answer, not what came before");
    $client->close;
}
is((grep { $_->{name} =~ /^next-/ } $script->seen), 2, 'what must not be sent twice was not');

is($weir->stop, 0, 'weir ends with status 0');
done_testing;
