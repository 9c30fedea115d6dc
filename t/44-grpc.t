#!/usr/bin/perl
# gRPC through weir: a real client and a real server (grpcio), in the clear and over TLS on both sides; reloads; the log.

use strict;
use warnings;
use FindBin;
use Test::More;
use Weir::Test;
use Weir::Test::H2Server;

my $python = '/usr/bin/python3';
my $t = Weir::Test->new;
my ($missing) = $t->run($python, '-c', 'import grpc');
plan skip_all => 'python3-grpcio is not installed' if $missing;

my $peer = "$FindBin::Bin/lib/grpc_peer.py";
my $certs = $t->path('certs');
$t->make_cert($certs, $_, ["$_.test"]) for qw(front back);
$t->write("front.pem", join '', $t->read('certs/front.pem') =~ /(-----BEGIN CERT.*?END CERTIFICATE-----\n)/s);
my %port = map { $_ => $t->port } qw(plain secure clear tls to_tls script);

sub serve {
    my ($name, @tls) = @_;
    my $log = $t->path("$name.log");
    $t->write("$name.log", '');
    my $pid = $t->spawn(sub { exec $python, $peer, 'serve', $port{$name}, $log, @tls }, "$name.err");
    $t->wait_until(sub { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port{$name}) }, "the $name server");
    return $pid;
}
serve('plain');
serve('secure', ("$certs/back.pem") x 2);

my $often = 'interval: 200ms, rise: 1, fall: 1';
my $http1 = $t->origin('http1');
# Resets with each code, instead of a response or within one.
my $script = Weir::Test::H2Server->start($t, 'script', {
    'begin:test.Script/wait' => sub { },
    map({ my $code = $_; ("test.Script/first$code" => sub { $_[0]->rst($_[1], $code) }, "test.Script/late$code" => sub {
        $_[0]->head($_[1], [':status' => 200, 'content-type' => 'application/grpc'])->data($_[1], "\0\0\0\0\1x")->rst($_[1], $code) }) } 0 .. 13),
});
sub config {
    my ($name) = @_;
    return $t->config(<<"CONFIG", workers => 2, access => $t->path('access.log'));
listeners:
  - {name: clear, listen: ["127.0.0.1:$port{clear}"], protocol: http, http2: {cleartext: on}, pool: plain}
  - {name: script, listen: ["127.0.0.1:$port{script}"], protocol: http, http2: {cleartext: on}, pool: script}
  - {name: tls, listen: ["127.0.0.1:$port{tls}"], protocol: https, tls: {certificate: front, alpn: [h2]}, pool: plain}
  - {name: to_tls, listen: ["127.0.0.1:$port{to_tls}"], protocol: https, tls: {certificate: front, alpn: [h2]}, pool: secure}
pools:
  - {name: plain, protocol: h2c, servers: [{name: $name, address: "127.0.0.1:$port{plain}"}]}
  - {name: script, protocol: h2c, servers: [{name: a, address: "@{[ $script->address ]}"}]}
  - name: secure
    protocol: h2
    tls: {verify: on, ca: $certs/back.pem, server_name: back.test}
    servers: [{name: $name, address: "127.0.0.1:$port{secure}"}]
  - {name: echo, protocol: h2c, health: {type: grpc, service: echo, $often}, servers: [{name: a, address: "127.0.0.1:$port{plain}"}]}
  - name: echo_tls
    protocol: h2
    tls: {verify: on, ca: $certs/back.pem, server_name: back.test}
    health: {type: grpc, $often}
    servers: [{name: a, address: "127.0.0.1:$port{secure}"}]
  - {name: unknown, protocol: h2c, health: {type: grpc, service: other, $often}, servers: [{name: a, address: "127.0.0.1:$port{plain}"}]}
  - {name: over_http, protocol: h2c, health: {type: http, path: /none, status: [415, 2xx], $often}, servers: [{name: a, address: "127.0.0.1:$port{plain}"}]}
  - {name: no_h2, protocol: h2c, health: {type: grpc, $often}, servers: [{name: a, address: "@{[ $http1->address ]}"}]}
CONFIG
}
my $weir = $t->start_weir(config => config('a'));
my @tls = ($t->path('front.pem'), 'front.test');

sub peer { my ($how, @args) = @_; return $t->run($python, $peer, $how, @args, { timeout => 120 }) }

for (['in the clear', 'clear'], ['TLS to clear', 'tls', @tls], ['TLS to TLS', 'to_tls', @tls]) {
    my ($what, $at, @how) = @$_;
    subtest $what => sub {
        my ($exit, $out, $err) = peer('calls', "127.0.0.1:$port{$at}", @how);
        is($exit, 0, 'the client') or diag $err;
        my @lines = split /\n/, $out;
        is(scalar @lines, 13, 'all calls were made');
        /^ok (.*)/ ? pass($1) : fail($_) for @lines;
    };
}

subtest 'what the server and the log see' => sub {
    like($t->read('plain.log'), qr/^unary 5 forwarded=127\.0\.0\.1$/m, 'X-Forwarded-For');
    $t->wait_until(sub { 2 <= (() = $t->read('plain.log') =~ /^ended active=False$/mg) },
        'calls that the client gave up end at the server');
    like($t->read('access.log'), qr{"target":"/test.Echo/Unary","protocol":"HTTP/2","status":200,"pool":"plain","server":"a".*"end":"ok"},
        'the access log');
    $t->wait_until(sub { $weir->stats_server('plain', 'a')->{active} == 0 }, 'no request is counted as active');
    is($weir->stats_server('plain', 'a')->{connect_errors}, 0, 'no errors');
};

subtest 'codes of resets' => sub {
    # PROTOCOL-HTTP2.md of gRPC: what has no status of its own is INTERNAL.
    my %want = map { $_ => 'INTERNAL' } 0 .. 6, 9, 10, 12, 13;
    @want{7, 8, 11} = qw(UNAVAILABLE CANCELLED RESOURCE_EXHAUSTED);
    my @names = ((map { "first$_" } 0 .. 13), (map { "late$_" } grep { $_ != 7 } 0 .. 13), 'wait');
    my ($exit, $out, $err) = peer('status', "127.0.0.1:$port{script}", @names);
    is($exit, 0, 'the client') or diag $err;
    my %got = map { split } split /\n/, $out;
    is($got{"first$_"}, $want{$_}, "$_ instead of a response") for 0 .. 13;
    is($got{"late$_"}, $want{$_}, "$_ within one") for grep { $_ != 7 } 0 .. 13;
    is($got{wait}, 'CANCELLED', 'a call that the client cancels');
    $t->wait_until(sub { grep { defined $_->{reset} } $script->seen('test.Script/wait') }, 'the server hears of it');
    is((grep { defined $_->{reset} } $script->seen('test.Script/wait'))[0]{reset}, 8, 'as CANCEL');
};

subtest 'health' => sub {
    my $is = sub {
        my ($pool, $state, $text) = @_;
        my $server;
        eval { $t->wait_until(sub { $server = $weir->stats_server($pool, 'a');
            $server->{health} eq $state && $server->{last_check} =~ $text }, $pool) };
        is($server->{health}, $state, "$pool is $state");
        like($server->{last_check}, $text, 'because of that');
    };
    $is->('echo', 'up', qr/^SERVING$/);
    $is->('echo_tls', 'up', qr/^SERVING$/);
    $is->('unknown', 'down', qr/^grpc-status 5/);
    $is->('over_http', 'up', qr/^(?:200|415)$/);
    $is->('no_h2', 'down', qr/./);
    peer('serving', "127.0.0.1:$port{plain}", 0);
    $is->('echo', 'down', qr/^NOT_SERVING$/);
    peer('serving', "127.0.0.1:$port{plain}", 1);
    $is->('echo', 'up', qr/^SERVING$/);
    like($t->read('plain.log'), qr/^check b'\\n\\x04echo'$/m, 'the server was asked about the service');
};

subtest 'reloads' => sub {
    my $client = fork_stream("127.0.0.1:$port{tls}", @tls);
    is($client->('before'), 'echo before', 'a stream');
    $weir->configure(config('b'));
    $weir->reload;
    is($client->('during'), 'echo during', 'goes on after a reload');
    my ($exit, $out) = peer('unary', "127.0.0.1:$port{tls}", 20, @tls);
    is($out, "20\n", 'new calls are served by the new workers');
    is($client->('after'), 'echo after', 'and the stream still goes on');
    is($client->(), 'status OK', 'and ends well');
};

# A stream whose messages are sent when the test says so: returns a sub that sends and gives the answer.
sub fork_stream {
    my (@args) = @_;
    pipe my $in, my $to or die;
    pipe my $from, my $out or die;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDIN, '<&', $in;
        open STDOUT, '>&', $out;
        close $_ for $to, $from;
        exec $python, $peer, 'stream', @args;
    }
    $t->{processes}{$pid} = 1;
    close $_ for $in, $out;
    $to->autoflush(1);
    return sub {
        @_ ? print {$to} "$_[0]\n" : close $to;
        local $SIG{ALRM} = sub { die "no answer\n" };
        alarm 20;
        my $line = <$from>;
        alarm 0;
        chomp $line if defined $line;
        return $line;
    };
}
done_testing();
