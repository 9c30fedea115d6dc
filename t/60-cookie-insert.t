#!/usr/bin/perl
# Stickiness by a cookie of weir's: its life and its attributes, over HTTP/1 and HTTP/2, in the clear and over TLS.
use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $origin = $t->origin('a');
$t->make_cert($t->path('certs'), 'id1', ['localhost']);

# What is configured; the attributes in the clear, and what is added over TLS.
my @cases = (
    [ 'default', '', 'Path=/; Max-Age=1800; HttpOnly', '; Secure' ],
    [ 'life', 'timeout: 90500ms', 'Path=/; Max-Age=90; HttpOnly', '; Secure' ],
    [ 'place', 'path: /shop/%20x, domain: Example.com', 'Path=/shop/%20x; Max-Age=1800; Domain=example.com; HttpOnly', '; Secure' ],
    [ 'open', 'http_only: off, secure: off', 'Path=/; Max-Age=1800', '' ],
    [ 'closed', 'secure: on, same_site: strict', 'Path=/; Max-Age=1800; HttpOnly; Secure; SameSite=Strict', '' ],
    [ 'lax', 'same_site: lax, secure: off', 'Path=/; Max-Age=1800; HttpOnly; SameSite=Lax', '' ],
    [ 'none', 'same_site: none, secure: on', 'Path=/; Max-Age=1800; HttpOnly; Secure; SameSite=None', '' ],
    [ 'longest', 'name: ' . 'n' x 128 . ', path: /' . 'p' x 100 . ', domain: ' . 'd' x 20 . '.test, timeout: 24h, secure: on, same_site: strict',
        'Path=/' . 'p' x 100 . '; Max-Age=86400; Domain=' . 'd' x 20 . '.test; HttpOnly; Secure; SameSite=Strict', '' ],
);
my ($clear, $tls) = $t->ports(2);
my $routes = join '', map { "      - {path: {prefix: /$_->[0]}, pool: $_->[0]}\n" } @cases;
my $pools = join '', map { "  - {name: $_->[0], sticky: {by: cookie_insert, $_->[1]}, servers: [{name: a, address: \"@{[ $origin->address ]}\"}]}\n" } @cases;
my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
  - name: clear
    listen: ["127.0.0.1:$clear"]
    protocol: http
    routes:
${routes}  - name: tls
    listen: ["127.0.0.1:$tls"]
    protocol: https
    tls: {certificate: id1, alpn: [h2, http/1.1]}
    routes:
${routes}pools:
$pools
CONFIG

for my $case (@cases) {
    my ($name, undef, $attributes, $over_tls) = @$case;
    my $r = $t->http_get($clear, "/$name");
    like($r->{headers}{'set-cookie'}, qr/^\w+=[0-9a-f]{32}; \Q$attributes\E$/, "$name, in the clear");
    for my $version ('--http1.1', '--http2') {
        my (undef, $out) = $t->curl('-k', '-i', $version, "https://127.0.0.1:$tls/$name");
        my ($cookie) = $out =~ /^set-cookie: ([^\r]*)/mi;
        like($cookie, qr/^\w+=[0-9a-f]{32}; \Q$attributes$over_tls\E$/, "$name, over TLS, $version");
    }
}
is($weir->stop, 0, 'weir ends');
done_testing;
