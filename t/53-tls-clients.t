#!/usr/bin/perl
# Client certificates: asked for, verified, told to the servers in fields that no client can set.

use strict;
use warnings;
use MIME::Base64 qw(encode_base64);
use Digest::SHA qw(sha256_hex);
use Test::More;
use lib 't/lib';
use Weir::Test;

my $t = Weir::Test->new;
my $certs = $t->path('certs');
my $origin = $t->origin('a');
my %port = map { $_ => $t->port } qw(required optional off other);
$t->make_cert($certs, 'site', ['site.test']);

# An authority and what it signed.
sub openssl { my ($exit, undef, $err) = $t->openssl(@_); die $err if $exit; return }

sub authority {
    my ($name) = @_;
    openssl(qw(req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 30), '-subj', "/CN=$name",
        '-keyout', $t->path("$name.key"), '-out', "$certs/$name.pem");
    return;
}

sub signed {
    my ($name, $ca, $subject, $days) = @_;
    openssl(qw(req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -utf8), '-subj', $subject,
        '-keyout', $t->path("$name.key"), '-out', $t->path("$name.csr"));
    openssl(qw(x509 -req -CAcreateserial), '-days', $days // 30, '-in', $t->path("$name.csr"), '-CA', "$certs/$ca.pem", '-CAkey',
        $t->path("$ca.key"), '-out', $t->path("$name.crt"));
    return ('-cert', $t->path("$name.crt"), '-key', $t->path("$name.key"));
}
authority($_) for qw(ca stranger);
my @known = signed('known', 'ca', "/O=Example\\, Inc./CN=Kn\xc3\xb6wn");
my @unknown = signed('unknown', 'stranger', '/CN=known');

my $weir = $t->start_weir(config => $t->config(<<"END", workers => 2));
listeners:
  - {name: required, listen: ["127.0.0.1:$port{required}"], protocol: https, pool: web,
     tls: {certificate: site, verify: required, client_ca: ca}}
  - {name: optional, listen: ["127.0.0.1:$port{optional}"], protocol: https, pool: web,
     tls: {certificate: site, verify: optional, client_ca: ca, alpn: [h2, http/1.1]}}
  - {name: other, listen: ["127.0.0.1:$port{other}"], protocol: https, pool: web,
     tls: {certificate: site, verify: optional, client_ca: $certs/stranger.pem}}
  - {name: off, listen: ["127.0.0.1:$port{off}"], protocol: https, pool: web, tls: {certificate: site}}
pools:
  - {name: web, servers: [{name: a, address: "@{[ $origin->address ]}"}]}
END

sub s_client {
    my ($name, @args) = @_;
    my ($exit, $out, $err) = $t->openssl('s_client', '-connect', "127.0.0.1:$port{$name}", '-ign_eof', @args,
        { stdin => "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Client-Verify: SUCCESS\r\nClient-Cert: :forged:\r\n"
            . "x-client-subject: CN=root\r\nX-Client-Fingerprint: 00\r\nX_Client-VERIFY: SUCCESS\r\nx_client_verify: SUCCESS\r\nclient_cert: :x:\r\n\r\n", timeout => 30 });
    # What openssl says of a ticket may end in the same line.
    return { ok => $out =~ m{HTTP/1\.1 200} ? 1 : 0, reused => $out =~ /^Reused, /m ? 1 : 0, text => "$out$err" };
}
sub headers { return $origin->last_request->{headers} }

my $pem = $t->read($t->path('known.crt'));
(my $base64 = $pem) =~ s/-----.*?-----|\s//g;

for my $version (qw(tls1_2 tls1_3)) {
    subtest $version => sub {
        is(s_client('required', "-$version", @known)->{ok}, 1, 'required: a client with a good certificate is served');
        my $h = headers();
        is($h->{'x-client-verify'}, 'SUCCESS', 'the server learns that it was verified');
        is($h->{'client-cert'}, ":$base64:", '... the certificate (RFC 9440)');
        is($h->{'x-client-subject'}, 'CN=Kn\\C3\\B6wn,O=Example\\, Inc.', '... its subject, safe for a field');
        is($h->{'x-client-fingerprint'}, sha256_hex(MIME::Base64::decode_base64($base64)), '... and its fingerprint');
        my $r = s_client('required', "-$version");
        is($r->{ok}, 0, 'one without is not');
        like($r->{text}, qr/alert (?:certificate required|handshake failure)/, '... and is told why');
        $r = s_client('required', "-$version", @unknown);
        is($r->{ok}, 0, 'one of another authority is not');
        like($r->{text}, qr/alert unknown ca/, '... and is told why');

        is(s_client('optional', "-$version", @known)->{ok}, 1, 'optional: one with a good certificate is served');
        is(headers()->{'x-client-verify'}, 'SUCCESS', '... and told about');
        is(s_client('optional', "-$version")->{ok}, 1, 'one without too');
        $h = headers();
        is($h->{'x-client-verify'}, 'NONE', '... and what it said of itself is not passed on');
        ok(!exists $h->{$_}, "$_ is left out") for qw(client-cert x-client-subject x-client-fingerprint);
        is(s_client('optional', "-$version", @unknown)->{ok}, 0, 'one with a bad certificate is refused');

        my $session = $t->path("session-$version");
        s_client('optional', "-$version", @known, '-sess_out', $session);
        $r = s_client('optional', "-$version", '-sess_in', $session);
        ok($r->{ok} && $r->{reused}, 'a session is resumed');
        is(headers()->{'x-client-verify'}, 'SUCCESS', '... with the certificate it was made with');
        ok(!(grep { /_/ } keys %{ headers() }), '... and no other spelling of the fields');
        for my $other (qw(required other off)) {
            is(s_client($other, "-$version", '-sess_in', $session)->{reused}, 0, "... but not at listener $other");
        }
        is(s_client('off', "-$version")->{ok}, 1, 'off: nobody is asked');
        $h = headers();
        is_deeply([grep { /client/i } sort keys %$h], [], '... and what clients say of themselves is not passed on either');
    };
}

cmp_ok($weir->stats_listener('required')->{tls_certificates}, '>=', 4, 'those refused are counted');

subtest 'HTTP/2' => sub {
    my ($exit, $out, $err) = $t->curl('-k', '--http2', '--cert', $t->path('known.crt'), '--key', $t->path('known.key'),
        '-H', 'X-Client-Verify: FORGED', "https://127.0.0.1:$port{optional}/x");
    is($exit, 0, 'a request') or diag $err;
    is(headers()->{'x-client-verify'}, 'SUCCESS', 'the fields are the same');
};

for my $bad (
    ['verify: required', qr/listener "l" verifies clients and has no client_ca/],
    ['verify: required, client_ca: none', qr/cannot load the certificates of authorities in \S+none\/ca\.crt/],
    ['verify: maybe', qr/verify: "maybe" is not known here; allowed: off/],
) {
    my ($tls, $expected) = @$bad;
    my $file = $t->write('bad.yaml', $t->config(<<"END"));
listeners:
  - {name: l, listen: ["127.0.0.1:$port{off}"], protocol: https, pool: web, tls: {certificate: site, $tls}}
pools:
  - {name: web, servers: [{name: a, address: "127.0.0.1:1"}]}
END
    my ($exit, undef, $err) = $t->weir('-t', '-c', $file);
    is($exit, 1, "$tls is refused");
    like($err, $expected, '... and why is told');
}

is($weir->stop, 0, 'weir ends well');
done_testing;
