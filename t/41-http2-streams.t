# HTTP/2: trailers both ways.
use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::H2 qw(:all);

my $t = Weir::Test->new;
my $port = $t->port;
my $head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
my %answers = (
    '/trailers' => "${head}Trailer: Grpc-Status\r\n\r\n5\r\nhello\r\n0\r\nGrpc-Status: 0\r\nGrpc-Message:  ok \r\n\r\n",
    '/none' => "$head\r\n5\r\nhello\r\n0\r\n\r\n",
    '/empty' => "$head\r\n0\r\nX-T: v\r\n\r\n",
    '/forbidden' => "$head\r\n1\r\nx\r\n0\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\nX-Forwarded-For: x\r\nTransfer-Encoding: chunked\r\nX-T: v\r\n\r\n",
    '/only-forbidden' => "$head\r\n1\r\nx\r\n0\r\nContent-Type: x/y\r\n\r\n",
    '/large' => "$head\r\n" . ("4000\r\n" . 'x' x 16384 . "\r\n") x 10 . "0\r\nX-T: v\r\n\r\n",
    '/broken' => "$head\r\n1\r\nx\r\n0\r\nX T: v\r\n\r\n",
    '/too-long' => "$head\r\n1\r\nx\r\n0\r\n" . 'X-T: ' . 'v' x 5000 . "\r\n\r\n",
);
my $a = $t->origin('a', handler => sub { return $answers{ $_[0]{path} } });
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, http2: {cleartext: on}, pool: web}
pools:
  - {name: web, servers: [{name: a, address: "@{[ $a->address ]}"}]}
CONFIG

sub fields_of { return (':method' => $_[0], ':scheme' => 'http', ':path' => $_[1], ':authority' => 'x') }
sub get {
    my ($path, %o) = @_;
    my $c = Weir::Test::H2->new($t, $port, %o);
    $c->request(1, [fields_of('GET', $path), te => 'trailers']);
    $c->response(1);
    return $c;
}
sub text { return join '; ', map { "$_->[0]: $_->[1]" } @{ $_[0] // [] } }

subtest 'trailers of responses' => sub {
    my $c = get('/trailers');
    is($c->{body}{1}, 'hello', 'the body');
    is(text($c->{trailers}{1}), 'grpc-status: 0; grpc-message: ok', 'the trailers');
    ok($c->{ended}{1}, 'end the stream');
    is(text(get('/none')->{trailers}{1}), '', 'none where there are none');
    $c = get('/empty');
    is(text($c->{trailers}{1}), 'x-t: v', 'without a body');
    ok(!length($c->{body}{1} // ''), 'which stays empty');
    is(text(get('/forbidden')->{trailers}{1}), 'x-t: v', 'forbidden ones are left out');
    $c = get('/only-forbidden');
    ok($c->{ended}{1} && !$c->{trailers}{1} && $c->{body}{1} eq 'x', 'and no empty block is left of them');
};

subtest 'trailers behind a slow body' => sub {
    my $c = Weir::Test::H2->new($t, $port);
    $c->request(1, [fields_of('GET', '/large')]);
    $c->wait_for(sub { length($c->{body}{1} // '') == 65535 });
    is($c->{trailers}{1}, undef, 'no trailers before the end');
    $c->send(frame(WINDOW_UPDATE, 0, $_, pack 'N', 65535)) for 0, 1;
    while (!$c->{ended}{1} && !$c->{closed}) {
        $c->wait_for(sub { $_[0]{type} == DATA || $c->{ended}{1} });
        my $len = length $c->{seen}[-1]{payload};
        $c->send(frame(WINDOW_UPDATE, 0, 1, pack 'N', $len) . frame(WINDOW_UPDATE, 0, 0, pack 'N', $len)) if $len && !$c->{ended}{1};
    }
    is(length $c->{body}{1}, 163840, 'the body');
    is(text($c->{trailers}{1}), 'x-t: v', 'the trailers');
};

subtest 'trailers that break the framing' => sub {
    for (qw(/broken /too-long)) {
        my $c = get($_);
        is($c->{reset}{1}, 'INTERNAL_ERROR', "$_: the response is not complete");
    }
};

subtest 'trailers of requests' => sub {
    my $c = Weir::Test::H2->new($t, $port);
    $c->send(frame(HEADERS, END_HEADERS, 1, fields(fields_of('POST', '/'))) . frame(DATA, 0, 1, 'hello')
        . frame(HEADERS, END_HEADERS | END_STREAM, 1, fields('x-t' => 'v', host => 'evil',
            'content-type' => 'x', cookie => 'a=b', authorization => 'x', 'x-forwarded-for' => '1.2.3.4', 'x-u' => '')));
    ok($c->response(1), 'answered') or diag explain $c->{reset};
    my ($r) = $a->wait_requests(1) ? $a->last_request : ();
    like($r->{raw}, qr/\r\n5\r\nhello\r\n0\r\nx-t: v\r\nx-u: \r\n\r\n\z/, 'reach the server, but for the forbidden ones');
    my $count = $a->request_count;
    $c = Weir::Test::H2->new($t, $port);
    $c->send(frame(HEADERS, END_HEADERS, 1, fields(fields_of('POST', '/'))) . frame(DATA, 0, 1, 'hello')
        . frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(map { ("x$_" => 'v') } 1 .. 200)));
    is($c->verdict(1), 'stream 1 ENHANCE_YOUR_CALM', 'too many of them');
    is($a->request_count, $count, 'the server did not get that request');
};

is($weir->quit, 0, 'weir ends in peace');
done_testing;
