#!/usr/bin/perl
# Connections that are reset right behind their last bytes, both of which weir sees at once: the reset counts at once,
# not when the time is over.  The worker is stopped meanwhile, so that nothing of it is chance.

use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $port = $t->port;
my $ok = "HTTP/1.1 200 OK\r\nDate: D\r\n";
my %answers = (
    length => "${ok}Content-Length: 100\r\n\r\nhello",
    chunked => "${ok}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    close => "${ok}\r\nhello",
    line => 'HTTP/1.1 200',
    head => "${ok}Content-Length: 5\r\n",
    interim => "HTTP/1.1 100 Continue\r\n\r\n",
    nothing => '',
    behind => "${ok}Content-Length: 100\r\n\r\nhello", # its head comes, and is read, before
);
my $server = $t->tcp_server('server', sub {
    my ($conn) = @_;
    my ($name) = $conn->read_match(qr/\r\n\r\n/) =~ m{^\S+ /(\w+)};
    if ($name eq 'body') {
        eval { $conn->read_until_close(60) };
        return;
    }
    my $bytes = $answers{$name};
    $conn->send(substr $bytes, 0, -5, '') if $name eq 'behind';
    $t->write("asked-$name", 'x');
    $t->wait_until(sub { -s $t->path("stopped-$name") }, "the worker is stopped");
    $conn->send($bytes);
    $conn->reset;
    $t->write("sent-$name", 'x');
});
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, http2: {cleartext: on}, pool: web}
pools:
  - {name: web, servers: [{name: a, address: "@{[ $server->address ]}"}]}
CONFIG

# Runs $sub while the only worker is stopped.
sub while_stopped {
    my ($sub) = @_;
    my ($pid) = $weir->workers;
    kill 'STOP', $pid;
    $t->wait_until(sub { $t->read("/proc/$pid/stat") =~ /^\d+ \(.*\) T/ }, 'the worker is stopped');
    $sub->();
    kill 'CONT', $pid;
    return;
}

for my $version (qw(1.1 1.0)) {
    for my $name (sort keys %answers) {
        unlink map { $t->path("$_-$name") } qw(asked stopped sent);
        my $client = $t->client($port, timeout => 10);
        $client->send("GET /$name HTTP/$version\r\nHost: t\r\n\r\n");
        $t->wait_until(sub { -s $t->path("asked-$name") }, 'the server has the request');
        my $got = $name eq 'behind' ? $client->read_match(qr/\r\n\r\n/) : '';
        while_stopped(sub {
            $t->write("stopped-$name", 'x');
            $t->wait_until(sub { -s $t->path("sent-$name") }, 'the server has reset');
        });
        if ($version eq '1.1' && $name !~ /^(?:length|chunked|close|behind)$/) {
            like($client->read_match(qr/ 502 .*\r\n\r\n/s), qr{HTTP/1\.1 502 .*error=connection_terminated}s, "HTTP/1.1: a reset before the body ($name): 502");
            next;
        }
        my $ended = eval { 1 while $client->fill; 1 } ? 'closed' : $@ =~ /timeout/ ? 'timeout' : 'reset';
        $got .= $client->{in};
        if ($name =~ /^(?:length|chunked|close|behind)$/) {
            is($ended, 'reset', "HTTP/$version: a reset in the body ($name) cuts the response");
            like($got, qr/hello/, 'what came of it is handed on');
        } else {
            is($ended, 'closed', "HTTP/$version: a reset before the body ($name): answered, and closed");
        }
    }
}

# Clients.
for my $case ([ 'a head', "GET /x HTTP/1.1\r\nHo" ], [ 'a line', 'GET' ], [ 'a body', "POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n", 'hello' ],
    [ 'a chunk', "POST /body HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhel" ]) {
    my ($what, $first, $more) = @$case;
    my $client = $t->client($port);
    $client->send(defined $more ? $first : substr $first, 0, 1);
    $t->wait_until(sub { $weir->stats_listener('web')->{active} == 1 && (!defined $more || $weir->stats_server('web', 'a')->{active} == 1) }, 'weir has the beginning');
    while_stopped(sub { $client->send($more // substr $first, 1); $client->reset });
    $t->wait_until(sub { $weir->stats_listener('web')->{active} == 0 && $weir->stats_server('web', 'a')->{active} == 0 }, "$what: the connection is ended", 10);
    pass("a client that resets in $what is gone at once");
}

is($weir->stop, 0, 'weir ends with status 0');
done_testing;
