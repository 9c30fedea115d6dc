#!/usr/bin/perl
# Every policy before a scanner: what sslscan can get is what the policy says, no more and no less.

use strict;
use warnings;
use Test::More;
use lib 't/lib';
use Weir::Test;

my $scanner = (grep { -x "$_/sslscan" } split /:/, $ENV{PATH})[0];
plan skip_all => 'sslscan is not installed (apt-get install sslscan)' unless $scanner;

my $t = Weir::Test->new;
my $certs = $t->path('certs');
my $rsa = $t->make_cert($certs, 'rsa', ['rsa.test'], type => 'rsa');
my $ec = $t->make_cert($certs, 'ec', ['ec.test']);
$t->write("$certs/both.pem", join '', @{$rsa}{qw(crt key)}, @{$ec}{qw(crt key)});
chmod 0600, "$certs/both.pem";

# The policies as doc/tls.md tells them: versions, and families of suites for TLS 1.2 and before.
my @ecdhe = qw(ECDHE-ECDSA ECDHE-RSA);
my $gcm = [map { ("$_-AES128-GCM-SHA256", "$_-AES256-GCM-SHA384") } @ecdhe];
my $chacha = [map { "$_-CHACHA20-POLY1305" } @ecdhe];
my $cbc = [map { ("$_-AES128-SHA256", "$_-AES256-SHA384") } @ecdhe];
my $sha1 = [map { ("$_-AES128-SHA", "$_-AES256-SHA") } @ecdhe];
my $plain = [qw(AES128-GCM-SHA256 AES256-GCM-SHA384 AES128-SHA256 AES256-SHA256)];
my $plain_sha1 = [qw(AES128-SHA AES256-SHA)];
my @cce = (@$gcm, @$cbc, @$sha1, @$plain, @$plain_sha1);
my @old = (@$gcm, @$chacha, @$cbc, @$sha1, @$plain, @$plain_sha1);
my $rsa_only = sub { return grep { !/ECDSA/ } @_ };
my @ack = $rsa_only->(@cce);
my %policy = (
    intermediate => ['1.2 1.3', @$gcm, @$chacha],
    modern => ['1.3'],
    old => ['1.0 1.1 1.2 1.3', @old],
    'tls-1-0' => ['1.0 1.1 1.2', @cce],
    'tls-1-1' => ['1.1 1.2', @cce],
    'hybrid-policy-1-0' => ['1.1 1.2', @cce],
    'tls-1-2' => ['1.2', @cce],
    'tls-1-2-strict' => ['1.2', @$gcm, @$cbc, @$plain],
    'tls-1-0-inherit' => ['1.0 1.1 1.2', @cce, qw(DHE-RSA-AES128-SHA DHE-RSA-AES256-SHA DHE-RSA-CAMELLIA128-SHA
        DHE-RSA-CAMELLIA256-SHA CAMELLIA128-SHA CAMELLIA256-SHA)],
    'tls-1-0-with-1-3' => ['1.0 1.1 1.2 1.3', @cce],
    'tls-1-2-fs' => ['1.2', @$gcm, @$cbc],
    'tls-1-2-fs-with-1-3' => ['1.2 1.3', @$gcm, @$cbc],
    'tls-1-2-strict-no-cbc' => ['1.2', @$gcm],
    tls_cipher_policy_1_0 => ['1.0 1.1 1.2', @ack],
    tls_cipher_policy_1_1 => ['1.1 1.2', @ack],
    tls_cipher_policy_1_2 => ['1.2', @ack],
    tls_cipher_policy_1_2_strict => ['1.2', $rsa_only->(@$gcm, @$cbc, @$sha1)],
    tls_cipher_policy_1_2_strict_with_1_3 => ['1.2 1.3', @$gcm, @$cbc, @$sha1],
);
my ($exit, $schema) = $t->weir('--schema');
my ($known) = $schema =~ /"policy"\s*:\s*\{[^}]*?"enum"\s*:\s*\[([^\]]*)\]/s;
is_deeply([sort($known =~ /"([^"]+)"/g)], [sort keys %policy], 'all policies are here');

my %port = map { $_ => $t->port } sort keys %policy;
my $weir = $t->start_weir(config => $t->config(join('', "listeners:\n", map({
    "  - {name: \"$_\", listen: [\"127.0.0.1:$port{$_}\"], protocol: https, pool: p, tls: {certificate: both, policy: $_}}\n"
} sort keys %policy), "pools:\n  - {name: p, servers: [{name: a, address: \"127.0.0.1:1\"}]}\n"), workers => 1));

for my $name (sort keys %policy) {
    my ($versions, @suites) = @{ $policy{$name} };
    my ($status, $out, $err) = $t->run('sslscan', '--no-colour', '--show-sigs', '--no-compression', '--no-fallback',
        '--no-heartbleed', '--no-groups', "127.0.0.1:$port{$name}", { timeout => 120 });
    is($status, 0, "$name: scanned") or diag $err;
    is(join(' ', map { /^TLSv(\S+)\s+enabled/ ? $1 : () } split /\n/, $out), $versions, '... its versions');
    my %seen;
    $seen{$2}{$1} = 1 while $out =~ /^(?:Preferred|Accepted)\s+TLSv(\S+)\s+\d+ bits\s+(\S+)/mg;
    my @old_suites = grep { !$seen{$_}{'1.3'} } sort keys %seen;
    is_deeply(\@old_suites, [sort @suites], '... its suites before TLS 1.3') or diag $out;
    my @new = sort grep { $seen{$_}{'1.3'} } keys %seen;
    my @wanted = $versions =~ /1\.3/ ? qw(TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256) : ();
    is_deeply([grep { !/CCM/ } @new], \@wanted, '... and those of TLS 1.3');
    like($out, qr/^SSLv[23]\s+disabled/m, '... no SSL') if $out =~ /^SSLv/m;
    unlike($out, qr/Insecure session renegotiation supported|^Compression\s+enabled/m, '... nothing insecure');
}
# What scanners look at besides.
for my $name (qw(old intermediate)) {
    my ($status, $out) = $t->run('sslscan', '--no-colour', '--no-ciphersuites', '--no-cipher-details', "127.0.0.1:$port{$name}",
        { timeout => 120 });
    like($out, qr/^Server supports TLS Fallback SCSV/m, "$name: no downgrade") if $name eq 'old';
    like($out, qr/^(?:Session renegotiation not supported|Secure session renegotiation supported)/m, "$name: renegotiation is secure");
    unlike($out, qr/^Compression enabled/m, '... no compression');
    is_deeply([$out =~ /^(TLSv\S+) vulnerable to heartbleed/mg], [], '... no heartbeat');
    my %groups = map { $_ => 1 } $out =~ /^TLSv\S+\s+\d+ bits\s+(\w+)/mg;
    is_deeply([sort keys %groups], [qw(secp256r1 secp384r1 x25519)], '... the groups of doc/tls.md') or diag $out;
    my ($exit, $text) = $t->openssl(qw(s_client -tls1_2 -connect), "127.0.0.1:$port{$name}", { stdin => '' });
    like($text, qr/^Secure Renegotiation IS supported/m, '... RFC 5746');
    ($exit, $text) = $t->openssl(qw(s_client -tls1_2 -cipher DHE -connect), "127.0.0.1:$port{$name}", { stdin => '' });
    unlike($text, qr/Cipher is DHE/, '... no finite-field Diffie-Hellman');
    ($exit, $text, my $err) = $t->openssl(qw(s_client -tls1_2 -connect), "127.0.0.1:$port{$name}", { stdin => "R\n" });
    like("$text$err", qr/no.?renegotiation/i, '... a client may not renegotiate');
}
is($weir->stop, 0, 'weir ends well');
done_testing;
