#!/usr/bin/perl
# Names that a listener is not for: asked for in the handshake (SNI), and in requests on a connection made for another.

use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Weir::Test;
use Weir::Test::TLS qw(client_hello);

my $t = Weir::Test->new;
my $certs = $t->path('certs');
my $origin = $t->origin('a');
my %port = map { $_ => $t->port } qw(open same inside strict partners tls);
$t->make_cert($certs, 'open', ['open.test', '*.open.test']);
$t->make_cert($certs, 'same', ['same.test']);
$t->make_cert($certs, 'inside', ['inside.test']);
$t->make_cert($certs, 'partners', ['partners.test']);

sub https {
    my ($name, $tls, $rest) = @_;
    return "  - {name: $name, listen: [\"127.0.0.1:$port{$name}\"], protocol: https, pool: web, "
        . "tls: {certificate: $tls, alpn: [h2, http/1.1]}" . ($rest // '') . "}\n";
}
my $weir = $t->start_weir(config => $t->config(join('',
    "acls:\n  here: {networks: [127.0.0.1]}\nlisteners:\n",
    https('open', 'open', ', routes: [{host: told.test, pool: web}, {host: both.test, pool: web}]'),
    https('same', 'same'),
    https('inside', 'inside, server_names: [{name: x.inside.test, certificate: inside}]',
        ', access: {acl: here}, routes: [{host: "*.routed.test", pool: web}, {host: both.test, pool: web}]'),
    https('partners', "partners, verify: optional, client_ca: inside"),
    https('strict', 'open, unknown_name: refuse, server_names: [{name: "*.wild.test", certificate: same}]'),
    "  - {name: tls, listen: [\"127.0.0.1:$port{tls}\"], protocol: tls, pool: raw, tls: {certificate: same, unknown_name: refuse}}\n",
    "pools:\n  - {name: web, servers: [{name: a, address: \"@{[ $origin->address ]}\"}]}\n",
    "  - {name: raw, protocol: tcp, servers: [{name: a, address: \"@{[ $origin->address ]}\"}]}\n"), workers => 1));

# The status of one request for $host on a connection for which $sni was asked.
sub status {
    my ($listener, $sni, $host, @args) = @_;
    my ($exit, $out, $err) = $t->curl('-k', '-o', $t->path('body'), '-w', '%{http_code} %{num_connects}', @args,
        '--resolve', "$sni:$port{$listener}:127.0.0.1", '-H', "Host: $host", "https://$sni:$port{$listener}/");
    diag $err if $exit;
    return $out;
}

for my $version ('--http1.1', '--http2') {
    subtest "hosts of other listeners, $version" => sub {
        my @cases = (
            ['open.test', '200', 'its own host'],
            ['OPEN.test:443', '200', '... in any case, with a port'],
            ['a.open.test.', '200', '... by a wildcard of the certificate, with the dot of the root'],
            ['unheard.test', '200', 'a host of nobody'],
            ['127.0.0.1', '200', 'an address'],
            ['same.test', '200', 'a host of a listener with the same rules'],
            ['told.test', '200', 'a host that the certificate has not, but a route of this listener'],
            ['both.test', '200', '... also if another listener names it too'],
            ['inside.test', '421', 'a host of a listener with an access list'],
            ['INSIDE.test.:8443', '421', '... in any case, with a port and a dot'],
            ['x.inside.test', '421', '... that it names'],
            ['any.routed.test', '421', '... or routes'],
            ['partners.test', '421', 'a host of a listener that asks for client certificates'],
        );
        is(status('open', 'open.test', $_->[0], $version), "$_->[1] 1", $_->[2]) for @cases;
        is(status('inside', 'inside.test', 'inside.test', $version), '200 1', 'at its own listener it is served');
        is(status('inside', 'inside.test', 'open.test', $version), '421 1', 'and the other way round');
        is(status('inside', 'elsewhere.test', 'inside.test', $version), '200 1', 'what counts is the certificate shown');
    };
}

subtest 'what is told of it' => sub {
    my ($exit, $out) = $t->curl('-ki', '--http1.1', '-H', 'Host: inside.test', "https://127.0.0.1:$port{open}/");
    like($out, qr{\AHTTP/1\.1 421 Misdirected Request\r\n}, 'the status line');
    like($out, qr/^Proxy-Status: weir; error=http_request_error/m, 'Proxy-Status');
    my $before = $origin->request_count;
    status('open', 'open.test', 'inside.test');
    is($origin->request_count, $before, 'no server hears of it');
};

sub s_client {
    my ($name, @args) = @_;
    my ($exit, $out, $err) = $t->openssl('s_client', '-connect', "127.0.0.1:$port{$name}", @args, { stdin => '', timeout => 30 });
    my ($cn) = $out =~ /^subject=.*?CN ?= ?(\S+)/m;
    return $cn // (($out . $err) =~ /(unrecognized name)/ ? $1 : 'nothing');
}

sub hello { return client_hello(name => $_[0]) }

subtest 'unknown names in the handshake' => sub {
    is(s_client('strict', '-servername', 'open.test'), 'open.test', 'a name of the default certificate');
    is(s_client('strict', '-servername', 'b.open.test'), 'open.test', '... by its wildcard');
    is(s_client('strict', '-servername', 'a.wild.test'), 'same.test', 'a name of server_names');
    is(s_client('strict', '-noservername'), 'open.test', 'no name: the default certificate');
    my $failures = $weir->stats_listener('strict')->{tls_failures};
    for my $version (qw(-tls1_2 -tls1_3)) {
        is(s_client('strict', '-servername', 'other.test', $version), 'unrecognized name', "$version: another name is refused");
        is(s_client('tls', '-servername', 'other.test', $version), 'unrecognized name', '... at a listener for TCP too');
    }
    is($weir->stats_listener('strict')->{tls_failures}, $failures + 2, '... and counted');
    is(s_client('tls', '-servername', 'same.test'), 'same.test', 'its own is served there');
    is(s_client('open', '-servername', 'other.test'), 'open.test', 'without unknown_name: refuse it gets the default certificate');
    my %odd = ('odd characters' => "a b\t!.test", 'a name that is too long' => 'l' x 300 . '.test', 'bytes above ASCII' => "\xff\xfe.test");
    for my $what (sort keys %odd) {
        my ($answer) = $t->raw_exchange($port{strict}, hello($odd{$what}), half_close => 1);
        like($answer, qr/\A\x15\x03.\x00\x02\x02\x70/s, "$what: refused with the alert");
        ($answer) = $t->raw_exchange($port{open}, hello($odd{$what}), half_close => 1);
        like($answer, qr/\A(?:\x16\x03\x03|\x15\x03.\x00\x02\x02)/s, "$what: the default certificate or an alert elsewhere");
    }
    for my $bad ('', "nul\0.test") {
        my ($answer) = $t->raw_exchange($port{strict}, hello($bad), half_close => 1);
        like($answer, qr/\A\x15\x03.\x00\x02\x02/s, 'a malformed name is refused');
    }
    is(s_client('strict', '-servername', 'open.test'), 'open.test', 'others are served as before');
};

is($weir->stop, 0, 'weir ends well');
done_testing;
