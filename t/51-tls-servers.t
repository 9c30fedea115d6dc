#!/usr/bin/perl
# Pools with protocol https: TLS to the servers, what they must prove, sessions, health checks, faults.

use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Weir::Test;

my $t = Weir::Test->new;
my $certs = $t->path('certs');
my $origin = $t->origin('a');
my $plain = $t->tcp_server('plain', sub { $_[0]->read_bytes(1); $_[0]->send("HTTP/1.1 400 Bad Request\r\n\r\n") });
my %port = map { $_ => $t->port } qw(back openssl asks verify named off unknown wrong plain check bad_check shown checked);
my %cert = map { $_ => $t->make_cert($certs, $_, ["$_.test"]) } qw(api other me);
$t->make_cert($certs, 'address', ['127.0.0.1']);
my $bundle = $t->write('bundle.pem', $cert{api}{crt} . $cert{other}{crt});

# The servers are listeners of another weir, so that their statistics can be asked.
my $t2 = Weir::Test->new;
$t->write($t2->path("certs/$_.pem"), $cert{$_}{crt} . $cert{$_}{key}) for qw(api other);
chmod 0600, $t2->path("certs/$_.pem") for qw(api other);
my $back = $t2->start_weir(config => $t2->config(<<"END", workers => 1));
listeners:
  - {name: back, listen: ["127.0.0.1:$port{back}"], protocol: https, pool: origin,
     tls: {certificate: other, server_names: [{name: api.test, certificate: api}]}}
  # Health checks have a listener of their own: the handshakes of the other are counted.
  - {name: checked, listen: ["127.0.0.1:$port{checked}"], protocol: https, pool: origin,
     tls: {certificate: other, server_names: [{name: api.test, certificate: api}]}}
pools:
  - {name: origin, servers: [{name: a, address: "@{[ $origin->address ]}"}]}
END

# openssl tells what it saw of the connection.
sub s_server {
    my ($name, @args) = @_;
    my $at = $port{$name};
    $t->spawn(sub {
        exec 'openssl', 's_server', '-accept', "127.0.0.1:$at", '-cert', "$certs/api.pem", '-www', '-quiet', @args;
    });
    $t->wait_until(sub { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $at) }, "s_server at $at");
    return;
}
s_server('openssl');
s_server('asks', '-Verify', 1, '-CAfile', "$certs/me.pem", '-verify_return_error');

my (@listeners, @pools, %front);

sub pool {
    my ($name, $server, $tls, $rest) = @_;
    $front{$name} = $t->port;
    push @listeners, "  - {name: $name, listen: [\"127.0.0.1:$front{$name}\"], protocol: http, pool: $name}\n";
    push @pools, "  - {name: $name, protocol: https, tls: {$tls}, servers: "
        . "[{name: s, address: \"127.0.0.1:$server\"}]" . ($rest // '') . "}\n";
    return;
}
pool('verify', $port{back}, "ca: $bundle");
pool('named', $port{back}, 'ca: api, server_name: api.test');
pool('off', $port{back}, 'verify: off');
pool('wrong', $port{back}, 'ca: me, server_name: api.test');
pool('system', $port{back}, 'server_name: api.test');
pool('plain', $plain->port, 'verify: off');
pool('sessions', $port{openssl}, 'ca: api, server_name: api.test');
pool('shown', $port{asks}, 'ca: api, server_name: api.test, certificate: me');
pool('hidden', $port{asks}, 'ca: api, server_name: api.test');
my $health = 'type: http, path: /health, interval: 100ms, timeout: 5s, rise: 1, fall: 1';
pool('check', $port{checked}, 'ca: api, server_name: api.test', ", health: {$health}");
pool('bad_check', $port{checked}, 'ca: me, server_name: api.test', ", health: {$health}");
pool('plain_check', $plain->port, 'verify: off', ", health: {$health}");

my $weir = $t->start_weir(config => $t->config(join('', "listeners:\n", @listeners, "pools:\n", @pools), workers => 1,
    access => $t->path('access.log')));

sub get {
    my ($name, $host, %o) = @_;
    return $t->http_get($front{$name}, '/x', host => $host, %o);
}

sub handshakes { return $back->stats_listener('back')->{tls_handshakes} }

subtest 'verified by the host of the request' => sub {
    my $r = get('verify', 'api.test');
    is($r->{status}, 200, 'a name that the certificate is for');
    is($r->{body}, "a\n", '... and the answer');
    is(get('verify', 'API.test:8080')->{status}, 200, 'in any case, with a port');
    is(get('verify', 'other.test')->{status}, 200, 'another name, another certificate');
    $r = get('verify', 'third.test');
    is($r->{status}, 502, 'a name that no certificate is for');
    like($r->{headers}{'proxy-status'}, qr/error=tls_certificate_error/, '... and Proxy-Status says so');
    is(get('verify', '127.0.0.1')->{status}, 502, 'an address: the certificate must be for the server\'s own');
    like($weir->log, qr/pool verify server s: TLS handshake: certificate verify failed: hostname mismatch/i,
        'the log says why');
    $t->wait_until(sub { $t->read($t->path('access.log')) =~ /"server-certificate"/ }, 'the access log');
};

subtest 'connections are kept by name' => sub {
    my $before = handshakes();
    get('verify', 'api.test') for 1 .. 3;
    get('verify', 'other.test') for 1 .. 3;
    is(handshakes(), $before, 'those for two names serve the next requests for each');
    get('named', $_) for qw(api.test other.test x 127.0.0.1);
    is(handshakes(), $before + 1, 'with server_name one serves all');
};

subtest 'unverified only when said' => sub {
    is(get('off', 'whatever.test')->{status}, 200, 'verify: off takes any certificate');
    my $r = get('wrong', 'api.test');
    is($r->{status}, 502, 'another authority');
    like($r->{headers}{'proxy-status'}, qr/tls_certificate_error/, '... is told');
    is(get('system', 'api.test')->{status}, 502, 'without ca those of the system count, and none of them knows it');
};

subtest 'servers that speak no TLS' => sub {
    my $r = get('plain', 'x');
    is($r->{status}, 502, 'plain HTTP');
    like($r->{headers}{'proxy-status'}, qr/tls_protocol_error/, '... is no TLS');
    is($weir->stats_server('plain', 's')->{connect_errors}, 1, 'and counts as a failed connection');
};

subtest 'sessions' => sub {
    like(get('sessions', 'x')->{body}, qr/^New, TLSv1\.3/m, 'the first connection');
    like(get('sessions', 'x')->{body}, qr/^Reused, TLSv1\.3/m, 'the next one goes on with its session') for 1 .. 3;
};

subtest 'a certificate of our own' => sub {
    my $r = get('shown', 'x');
    is($r->{status}, 200, 'a server that wants one gets it') or diag $weir->log;
    like($r->{body}, qr/Verify return code: 0/, '... and believes it');
    isnt(get('hidden', 'x')->{status}, 200, 'without one it does not answer');
};

subtest 'bodies' => sub {
    my $body = 'x' x 300_000;
    my $r = get('verify', 'api.test', method => 'POST', body => $body);
    is($r->{status}, 200, 'a large body goes up');
    my ($post) = grep { $_->{method} eq 'POST' } $origin->requests; # health checks come too
    is(length $post->{body}, 300_000, '... whole');
    is(length $t->http_get($front{verify}, '/bytes/3000000', host => 'api.test')->{body}, 3_000_000,
        'a large body comes down');
};

subtest 'health checks over TLS' => sub {
    $weir->wait_server('check', 's', 'up');
    is($weir->stats_server('check', 's')->{last_check}, '200', 'a good server');
    ok((grep { $_->{path} eq '/health' } $origin->requests), 'saw the request');
    $weir->wait_server('bad_check', 's', 'down');
    like($weir->stats_server('bad_check', 's')->{last_check}, qr/^TLS: self.signed certificate/, 'one that proves nothing');
    is(get('bad_check', 'api.test')->{status}, 503, '... gets no requests');
    $weir->wait_server('plain_check', 's', 'down');
    like($weir->stats_server('plain_check', 's')->{last_check}, qr/^TLS: wrong version number/, 'one without TLS');
};

subtest 'faults of the configuration' => sub {
    $t->write("$certs/empty.pem", '');
    my %expected = (
        'tls: {ca: none}' => "pool p: cannot load the certificates of authorities in $certs/none/ca.crt: "
            . 'No such file or directory',
        "tls: {ca: $certs}" => 'not a regular file',
        'tls: {ca: empty}' => "authorities in $certs/empty.pem: ",
        'tls: {certificate: none}' => "pool p: certificate \"none\": cannot read",
        'tls: {policy: best}' => 'policy: "best" is not a policy',
        'tls: {ca: ../x}' => 'ca: "../x" is not the ID of a certificate',
        'tls: {server_name: "1 2"}' => 'server_name: "1 2"',
    );
    for my $tls (sort keys %expected) {
        my $file = $t->write('bad.yaml', $t->config("pools:\n  - {name: p, protocol: https, $tls, servers: "
            . "[{name: s, address: \"127.0.0.1:1\"}]}\n"));
        my ($exit, undef, $err) = $t->weir('-t', '-c', $file);
        is($exit, 1, "$tls is refused");
        like($err, qr/^\S+bad\.yaml:\d+:\d+: error: .*\Q$expected{$tls}\E/m, '... and why is told');
    }
    my $file = $t->write('bad.yaml', $t->config("pools:\n  - {name: p, tls: {verify: off}, servers: []}\n"));
    my ($exit, undef, $err) = $t->weir('-t', '-c', $file);
    like($err, qr/error: tls has no meaning here; it is allowed with protocol https/, 'tls belongs to protocol https');
};

is($weir->stop, 0, 'weir ends well');
is($back->stop, 0, 'and so does the other');
done_testing;
