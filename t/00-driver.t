#!/usr/bin/perl
# The driver of the other tests: its servers answer, its clients read framing, and its load sees what is lost.

use strict;
use warnings;
use Test::More;

use Weir::Test;

my $t = Weir::Test->new;
my $o = $t->origin('a');

my $r = $t->http_get($o->port, '/x?y', headers => [ A => 'b' ]);
is("$r->{status} $r->{body}", "200 a\n", 'an origin says its name');
is($o->last_request->{path}, '/x?y', 'and records the path');
is($o->last_request->{headers}{a}, 'b', 'and the fields');
for my $path (qw(/bytes/300000 /chunked/10000 /until-close/10000)) {
    my ($size) = $path =~ /(\d+)/;
    is(length $t->http_get($o->port, $path)->{body}, $size, "$path is read whole");
}
like($t->http_get($o->port, '/echo', method => 'POST', body => "a\xffb")->{body}, qr/\r\n\r\na\xffb\z/, 'bodies are bytes');
is($t->http_get($o->port, '/status/304')->{body}, '', '304 has no body');

my $c = $t->client($o->port);
is($c->get('/1')->{status}, 200, 'a connection is used');
is($c->request('HEAD', '/bytes/10')->{headers}{'content-length'}, 10, 'and used again after HEAD');
ok($c->get('/close')->{closes}, 'until the server announces the end');
$t->wait_until(sub { $c->is_closed }, 'the end comes');

$o->hold->forget;
$c = $t->client($o->port);
$c->send("GET /held HTTP/1.1\r\n\r\n");
$o->wait_requests(1);
is($c->{in}, '', 'a held answer does not come');
$o->release;
is($c->response->{status}, 200, 'until it is released');

my ($bytes, $how) = $t->raw_exchange($o->port, [ 'GET / HTT', "P/1.1\r\nConnection: close\r\n\r\n" ]);
like($bytes, qr{^HTTP/1\.1 200 .*\r\n\r\na\n\z}s, 'a request in pieces is answered');
is($how, 'closed', 'and the connection closed');

my $load = $t->load(port => $o->port, clients => 2);
$load->wait_ok(50);
my $sum = $load->stop;
is($sum->{failed}, 0, 'load on a server that stays: nothing fails');
cmp_ok($sum->{ok}, '>=', 50, 'and successes are counted');

my $dropper = $t->tcp_server('dropper', sub {
    my ($conn) = @_;
    for (1 .. 3) {
        $conn->read_match(qr/\r\n\r\n/);
        $conn->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") if $_ < 3;
    }
});
$load = $t->load(port => $dropper->port, clients => 1);
$load->wait_ok(10);
$sum = $load->stop;
cmp_ok($sum->{failed}, '>=', 4, 'a request dropped on a kept connection counts as failed');
like(join(' ', keys %{ $sum->{reasons} }), qr/kept connection: closed before/, 'with the reason');

$load = $t->load(port => $o->port, clients => 2);
$load->wait_ok(20);
$o->stop;
$t->wait_until(sub { $load->failed_count > 0 }, 'failures are seen');
$o->start;
$load->wait_ok(20);
cmp_ok($load->stop->{failed}, '>', 0, 'load on a server that goes away: failures are counted');

$load = $t->load(port => $t->tcp_echo('e')->port, tcp => 1);
$load->wait_ok(50);
is($load->stop->{failed}, 0, 'TCP load comes back from an echo');

is_deeply([ $t->run('sh', '-c', 'cat; echo e >&2; exit 3', { stdin => 'in' }) ], [ 3, 'in', "e\n" ], 'programs are run');
my $dir = $t->dir;
undef $t;
ok(!-e $dir, 'nothing is left behind');

done_testing;
