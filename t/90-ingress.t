#!/usr/bin/perl
# CCE Ingress: classes, rules, back ends, certificates, what several share; and the traffic that follows from it.

use strict;
use warnings;
use MIME::Base64 qw(encode_base64);
use Test::More;
use Weir::Test;
use Weir::Test::Manifest;

my $t = Weir::Test->new;
my $elb = 'kubernetes.io/elb.';
my $certs = $t->path('certs');
my %pem = map { $_ => $t->make_cert($t->path('made'), $_, ["$_.example"], type => 'rsa') } qw(one two);
$pem{ec} = $t->make_cert($t->path('made'), 'ec', ['ec.example']);
$t->make_cert($certs, 'site-1', ['first.example'], type => 'rsa');
$t->make_cert($certs, 'site-2', [ 'Second.example', '*.second.example' ], type => 'rsa');
my ($port_a, $port_b) = $t->ports(2);

# The site: 127.0.0.1 for all, but lb-2; http, https and the ports of redirects at a free distance.
my $offset = free_offset($t);
my ($http, $https) = (80 + $offset, 443 + $offset);
my ($global) = $t->config('', workers => 2) =~ /^global:\n(.*)/ms;
$global =~ s/^  certificates: .*\n//m;
my $site = $t->write('site.yaml', "certificates: {dir: certs}\nacls: {a: [10.0.0.0/8]}\n"
    . "load_balancers: {default: {addresses: [127.0.0.1]}, lb-1: {addresses: [127.0.0.1]}, lb-2: {addresses: [127.0.0.2]}}\n"
    . "global:\n$global");

sub secret {
    my ($name, $crt, $key, %o) = @_;
    my $type = $o{type} // 'kubernetes.io/tls';
    my %data = (defined $crt ? ('tls.crt' => $crt) : (), defined $key ? ('tls.key' => $key) : ());
    my $data = join ', ', map { "$_: '$data{$_}'" } sort keys %data;
    return "apiVersion: v1\nkind: Secret\nmetadata: {name: $name}\ntype: $type\ndata: {$data}\n---\n";
}

sub tls_secret {
    my ($name, $id) = @_;
    return secret($name, encode_base64($pem{$id}{crt}, ''), encode_base64($pem{$id}{key}, ''));
}

my $two = backend('a', '127.0.1.11', $port_a) . backend('b', '127.0.1.12', $port_b);
my $id = qq{${elb}id: "lb-1"};

my $g = Weir::Test::Manifest->new($t, '-s', $site);
sub gen { return $g->gen(@_) }
sub accepts { local $Test::Builder::Level = $Test::Builder::Level + 1; return $g->accepts(@_) }
sub refuses { local $Test::Builder::Level = $Test::Builder::Level + 1; return $g->refuses(@_) }

# --- whose it is ---

my $simple = [ [ '', path('/', 'a') ] ];
is(accepts('class cce', ingress('i', [$id], $simple) . $two, qr/name: default\/i:80\n    listen: \["127\.0\.0\.1:80"\]/), '',
    'class cce: without a word');
accepts('class by annotation', ingress('i', [ $id, 'kubernetes.io/ingress.class: cce' ], $simple, class => 'none') . $two,
    qr/name: default\/i:80/);
accepts('no class, but annotations', ingress('i', [$id], $simple, class => 'none') . $two, qr/name: default\/i:80/);
my $alb = 'alb.ingress.kubernetes.io/';
like(accepts('class alb', ingress('i', [ "${alb}healthcheck-enabled: 'true'", "${alb}actions.a: '[]'" ], $simple, class => 'alb') . $two,
    [ qr/name: default\/i:80\n    listen: \["0\.0\.0\.0:80", "\[::\]:80"\]|listen: \["127\.0\.0\.1:80"\]/, qr/prefix: \/\}, pool: "default\/a:80"/, qr/meta:\n      healthcheck-enabled: "true"\n      actions\.a: "\[\]"/ ]),
    qr/\A[^\n]*\Q$alb\Ehealthcheck-enabled: belongs to NLB\/ALB, no effect on CLB\n[^\n]*actions\.a: belongs to NLB\/ALB, no effect on CLB\n\z/,
    'class alb: rules are served, its annotations are told and kept');
for my $class (qw(nginx mse)) {
    like(accepts("class $class", ingress('i', [$id], $simple, class => $class) . $two, qr/listeners: \[\]/),
        qr/in:4:9: warning: Ingress default\/i is of class "$class": skipped; allowed: cce, alb/, "class $class: skipped, and told");
}
like(accepts('no class, no annotation', ingress('i', [], $simple, class => 'none') . $two, qr/listeners: \[\]/),
    qr/is of class none: skipped/, 'is not ours');

# --- rules ---

accepts('paths and hosts', ingress('i', [$id], [ [ 'Shop.example.com', path('/x/', 'a'), path('/x', 'b', 'Exact'),
    path('/st', 'a', 'ImplementationSpecific'), path('/eq', 'b', 'ImplementationSpecific', mode('EQUAL_TO')),
    path('/r/[0-9]+$', 'a:web', 'ImplementationSpecific', mode('REGEX')) ], [ '*.example.com', path('/', 'b') ] ]) . $two,
    [ qr/\{host: shop\.example\.com, path: \{prefix: \/x\}, pool: "default\/a:80"\}/, qr/\{exact: \/x\}, pool: "default\/b:80"/,
        qr/\{starts_with: \/st\}/, qr/\{exact: \/eq\}/, qr/\{regex: "\/r\/\[0-9\]\+\$"\}, pool: "default\/a:80"/,
        qr/\{host: "\*\.example\.com", path: \{prefix: \/\}/ ]);
accepts('a default back end', ingress('i', [$id], [], spec => ['defaultBackend: {service: {name: a, port: {number: 80}}}']) . $two,
    qr/protocol: http\n    timeouts: .*\n    pool: default\/a:80\n/);
accepts('the older API', ingress('i', [$id], [ [ '', "{path: /, backend: {serviceName: a, servicePort: web}}" ] ],
    spec => ['backend: {serviceName: b, servicePort: 80}']) =~ s/networking\.k8s\.io\/v1/extensions\/v1beta1/r . $two,
    [ qr/\{path: \{starts_with: \/\}, pool: "default\/a:80"\}/, qr/pool: default\/b:80\n/ ]);
like(accepts('a match mode with another pathType', ingress('i', [$id], [ [ '', path('/', 'a', 'Prefix', mode('REGEX')) ] ]) . $two,
    qr/prefix: \//), qr/url-match-mode: no effect; it belongs to pathType ImplementationSpecific/, 'has no effect');
like(accepts('a match mode among the annotations', ingress('i', [ $id, 'ingress.beta.kubernetes.io/url-match-mode: REGEX' ], $simple) . $two,
    qr/prefix: \//), qr/url-match-mode: no effect as an annotation, it is a property of a path/, 'has no effect');
like(accepts('one path twice', ingress('i', [$id], [ [ '', path('/x', 'a'), path('/x/', 'b') ] ]) . $two,
    qr/\A(?!.*default\/b:80)/s), qr/in:\d+:\d+: warning: host any and path "\/x" are in Ingress default\/i \(in:\d+\), too: the first counts/,
    'the first counts');
for my $bad ([ 'a host', [ [ 'shop_1!', path('/', 'a') ] ], qr/spec\.rules\[0\]\.host: "shop_1!" is not a host name/ ],
    [ 'a path', [ [ '', path('x y', 'a') ] ], qr/spec\.rules\[0\]\.http\.paths\[0\]\.path: "x y" is not a path/ ],
    [ 'a pathType', [ [ '', path('/', 'a', 'Suffix') ] ], qr/pathType: "Suffix" is not known; allowed: Exact, Prefix/ ],
    [ 'a mode', [ [ '', path('/', 'a', 'ImplementationSpecific', mode('regex')) ] ], qr/url-match-mode: "regex" is not .* \(case matters\)/ ],
    [ 'an expression', [ [ '', path('/(', 'a', 'ImplementationSpecific', mode('REGEX')) ] ], qr/path "\/\(": not a valid regular expression \(/ ],
    [ 'a Service', [ [ '', path('/', 'a'), path('/x', 'nobody') ] ], qr/in:\d+:\d+: error: spec\.rules\[0\]\.http\.paths\[1\]\.backend\.service\.name: Service default\/nobody is not in the input/ ],
    [ 'a port', [ [ '', path('/', 'a:81') ] ], qr/backend\.service\.port\.number: Service default\/a has no TCP port "81"; allowed: 80 \(web\)/ ],
    [ 'a port by name', [ [ '', path('/', 'a:wob') ] ], qr/backend\.service\.port\.name: Service default\/a has no TCP port "wob"/ ],
    [ 'a resource', [ [ '', '{path: /, pathType: Prefix, backend: {resource: {kind: X, name: y}}}' ] ], qr/paths\[0\]\.backend: no Service and port/ ],
    [ 'no rule', [], qr/Ingress default\/i has no path and no default back end/ ]) {
    refuses("wrong: $bad->[0]", ingress('i', [$id], $bad->[1]) . $two, $bad->[2]);
}
refuses('ExternalName', ingress('i', [$id], $simple) . "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: ExternalName, externalName: x.example}\n",
    qr/Service default\/a is of type ExternalName and has no endpoints/);

# --- slow start ---

for my $key (qw(slowstart slow-start)) {
    accepts($key, ingress('i', [ $id, qq{${elb}$key: "120"} ], $simple) . $two, qr/balance: weighted_round_robin\n    slow_start: 120s\n/);
}
like(accepts('both spellings', ingress('i', [ $id, qq{${elb}slowstart: "60"}, qq{${elb}slow-start: "90"} ], $simple) . $two,
    qr/slow_start: 60s\n/), qr/slow-start: no effect: slowstart counts/, 'one counts');
for my $bad ([ 'another lb-algorithm', qq{${elb}lb-algorithm: LEAST_CONNECTIONS} ], [ 'session affinity', qq{${elb}session-affinity-mode: HTTP_COOKIE} ]) {
    refuses("slowstart with $bad->[0]", ingress('i', [ $id, qq{${elb}slowstart: "30"}, $bad->[1] ], $simple) . $two,
        qr/elb\.slowstart: .*Service default\/a has $bad->[0], which does not go with slow start; allowed: lb-algorithm ROUND_ROBIN/);
}
refuses('slowstart too short', ingress('i', [ $id, qq{${elb}slowstart: "29"} ], $simple) . $two, qr/30 to 1200/);

# --- listeners ---

accepts('elb.port', ingress('i', [ $id, qq{${elb}port: "8080"} ], $simple) . $two, qr/name: default\/i:8080\n    listen: \["127\.0\.0\.1:8080"\]/);
refuses('elb.port out of range', ingress('i', [ $id, qq{${elb}port: "70000"} ], $simple) . $two, qr/elb\.port: "70000" is out of range; allowed: 1 to 65535/);
my $tls = tls_secret('one', 'one');
my $with_tls = [ 'tls: [{secretName: one}]' ];
my $both = qq{${elb}listen-ports: '[{"HTTP":80},{"HTTPS":443}]'};
accepts('listen-ports', ingress('i', [ $id, $both ], $simple, spec => $with_tls) . $two . $tls,
    qr/default\/i:80\n.*protocol: http\n.*routes:.*default\/i:443\n.*protocol: https\n.*certificate: secret_default_one\n.*routes:/s);
accepts('ssl-redirect', ingress('i', [ $id, $both, qq{${elb}ssl-redirect: "true"} ], $simple, spec => $with_tls) . $two . $tls,
    qr/default\/i:80\n[^-]*redirect: \{scheme: https, port: 443, status: 301\}\n  - name/);
refuses('ssl-redirect with one port', ingress('i', [ $id, qq{${elb}ssl-redirect: "true"} ], $simple) . $two,
    qr/ssl-redirect: "true" needs an HTTP and an HTTPS port/);
refuses('HTTPS without certificate', ingress('i', [ $id, $both ], $simple) . $two, qr/listen-ports: HTTPS needs a certificate/);
refuses('another protocol', ingress('i', [ $id, qq{${elb}listen-ports: '[{"TCP":80}]'} ], $simple) . $two,
    qr/listen-ports: "TCP" is not a known protocol; allowed: HTTP, HTTPS/);
refuses('a port twice', ingress('i', [ $id, qq{${elb}listen-ports: '[{"HTTP":80},{"HTTP":80}]'} ], $simple) . $two, qr/port 80 stands twice/);
accepts('timeouts and access', ingress('i', [ $id, qq{${elb}member_timeout: "7"}, qq{${elb}acl-id: "a"}, qq{${elb}acl-status: "on"},
    qq{${elb}acl-type: "white"} ], $simple) . $two, [ qr/response: 7s/, qr/access: \{acl: a, mode: allow\}/ ]);
like(accepts('what belongs on a Service', ingress('i', [ $id, qq{${elb}protocol-port: "https:80"} ], $simple) . $two, qr/protocol: http\n/),
    qr/protocol-port: no effect on an Ingress, it belongs on a Service/, 'has no effect');

like(accepts('a redirect', ingress('i', [ $id, qq{${elb}redirect-url: "https://x.example/\$1"} ], [ [ '', path('/', 'nobody') ] ]) . $two,
    qr/\{path: \{prefix: \/\}, redirect: \{url: "https:\/\/x\.example\/\$\$1", status: 301\}\}/), qr/\A\z/, 'needs no Service');
refuses('a redirect from HTTPS to HTTP', ingress('i', [ $id, qq{${elb}redirect-url: "http://x.example"} ], $simple, spec => $with_tls) . $two . $tls,
    qr/redirect-url: "http:\/\/x\.example" from an HTTPS Ingress; allowed: an https:\/\/ URL/);
refuses('a redirect and a rewrite', ingress('i', [ $id, qq{${elb}redirect-url: "http://x.example"}, qq{${elb}rewrite-target: "/"} ], $simple) . $two,
    qr/rewrite-target: cannot be set with/);
refuses('a rewrite with a group that is not there', ingress('i', [ $id, qq{${elb}rewrite-target: "/\$2"} ],
    [ [ '', path('/(a)', 'a', 'ImplementationSpecific', mode('REGEX')) ] ]) . $two, qr/"\/\$2" names group 2, and path "\/\(a\)" \(in:\d+\) has 1/);
refuses('a rewrite to no path', ingress('i', [ $id, qq{${elb}rewrite-target: "x"} ], $simple) . $two, qr/rewrite-target: "x" is not a path/);
like(accepts('a rewrite of a plain path', ingress('i', [ $id, qq{${elb}rewrite-target: "/n"} ], $simple) . $two, qr/\A(?!.*rewrite)/s),
    qr/no effect on path "\/" \(in:\d+\): it belongs to url-match-mode REGEX/, 'has no effect');
accepts('servers that speak TLS', ingress('i', [ $id, qq{${elb}pool-protocol: "https"} ], $simple, spec => $with_tls) . $two . $tls,
    qr/protocol: https\n    balance: \w+\n    tls: \{verify: off\}\n/);
accepts('servers of gRPC', ingress('i', [ $id, qq{${elb}pool-protocol: "grpc"} ], $simple, spec => $with_tls) . $two . $tls,
    [ qr/protocol: h2c\n/, qr/alpn: \[h2, http\/1\.1\]/ ]);
refuses('gRPC without TLS to clients', ingress('i', [ $id, qq{${elb}pool-protocol: "grpc"} ], $simple) . $two,
    qr/pool-protocol: "grpc" needs an HTTPS Ingress/);
my $strict = $t->write('strict.yaml', $t->read('site.yaml') . "defaults: {verify_servers: true, server_ca: site-1}\n");
accepts('and must prove it', ingress('i', [ $id, qq{${elb}pool-protocol: "https"} ], $simple, spec => $with_tls) . $two . $tls,
    qr/tls: \{verify: on, ca: site-1\}\n/, '-s', $strict);

accepts('a header', ingress('i', [ $id, qq(${elb}headers.a: '{"key":"X-Stage","values":["beta","b*"]}') ],
    [ [ '', path('/', 'a'), path('/', 'b') ] ]) . $two,
    [ qr/\{path: \{prefix: \/\}, when: \[\{header: X-Stage, values: \[beta, "b\*"\]\}\], pool: "default\/a:80"\}/, qr/\{path: \{prefix: \/\}, pool: "default\/b:80"\}/ ]);
for my $bad ([ 'no JSON', 'x', qr/headers\.a: / ], [ 'no key', '{"values":["a"]}', qr/headers\.a: key is not the name of a field/ ],
    [ 'no values', '{"key":"a"}', qr/headers\.a: values must be a list; allowed: 1 to 9 texts/ ], [ 'a space', '{"key":"a","values":["a b"]}', qr/"a b" is not a value/ ]) {
    refuses("a header: $bad->[0]", ingress('i', [ $id, "${elb}headers.a: '$bad->[1]'" ], $simple) . $two, $bad->[2]);
}
like(accepts('a header of a Service that is not there', ingress('i', [ $id, qq(${elb}headers.z: '{"key":"a","values":["a"]}') ], $simple) . $two, qr/default\/a:80/),
    qr/headers\.z: no effect: no rule has a Service of that name/, 'has no effect');

accepts('CORS for all', ingress('i', [ $id, qq{${elb}cors-allow-origin: "*"}, qq{${elb}cors-allow-methods: "GET, PUT"}, qq{${elb}cors-max-age: "60"} ], $simple) . $two,
    [ qr/when: \[\{method: \[OPTIONS\]\}, .*respond: \{status: 204\}, response_headers: \{set: \{Access-Control-Allow-Origin: "\*", Access-Control-Allow-Methods: "GET, PUT", Access-Control-Max-Age: "60"\}\}\}\n/,
        qr/pool: "default\/a:80", response_headers: \{set: \{Access-Control-Allow-Origin: "\*"\}\}\}\n/ ]);
refuses('CORS: no origin', ingress('i', [ $id, qq{${elb}cors-allow-origin: "https://a.*.example"} ], $simple) . $two, qr/cors-allow-origin: "https:\/\/a\.\*\.example" is not a list of origins; allowed: /);
refuses('CORS and a redirect', ingress('i', [ $id, qq{${elb}cors-allow-origin: "*"}, qq{${elb}redirect-url: "http://x.example"} ], $simple) . $two, qr/cors-allow-origin: cannot be set with .*redirect-url/);
like(accepts('CORS without origins', ingress('i', [ $id, qq{${elb}cors-max-age: "60"} ], $simple) . $two, qr/default\/a:80/), qr/cors-max-age: no effect without .*cors-allow-origin/, 'has no effect');

my $canary = qq{${elb}canary: "true"};
my $main = ingress('main', [$id], [ [ 'x.example', path('/', 'a'), path('/other', 'a') ] ]);
my $share = sub { ingress('aaa', [ $id, $canary, @_ ], [ [ 'x.example', path('/', 'b') ] ]) };
accepts('a canary by weight', $share->(qq{${elb}canary-weight: "10"}) . $main . $two,
    [ qr/name: default\/main:80\n/, qr/\{host: x\.example, path: \{prefix: \/\}, split: \[\{pool: "default\/a:80", weight: 90\}, \{pool: "default\/b:80", weight: 10\}\]\}/,
        qr/path: \{prefix: \/other\}, pool: "default\/a:80"/ ]);
my @by_header = (qq{${elb}canary-by-header: "X-Canary"}, qq(${elb}canary-by-header-value: '{"values":["always"]}'));
my @by_cookie = (qq{${elb}canary-by-cookie: "canary"}, qq(${elb}canary-by-cookie-value: '{"values":["yes","y*"]}'));
accepts('by header, cookie and weight', $share->(@by_cookie, qq{${elb}canary-weight: "5"}, @by_header) . $main . $two,
    qr/when: \[\{header: X-Canary, values: \[always\]\}\], pool: "default\/b:80"\}\n.*when: \[\{cookie: canary, values: \["yes", "y\*"\]\}\], pool: "default\/b:80"\}\n.*split: /);
refuses('a canary without counterpart', ingress('aaa', [ $id, $canary, qq{${elb}canary-weight: "1"} ], [ [ 'y.example', path('/', 'b') ] ]) . $main . $two,
    qr/canary of Ingress default\/aaa: no other Ingress on listener default\/main:80 has host "y\.example" and path "\/"/);
refuses('a canary without a share', $share->() . $main . $two, qr/canary: "true" needs .*canary-weight, .*canary-by-header or/);
refuses('half a pair', $share->($by_header[0]) . $main . $two, qr/canary-by-header: needs .*canary-by-header-value/);
refuses('two canaries by weight', $share->(qq{${elb}canary-weight: "10"}) . ($share->(qq{${elb}canary-weight: "10"}) =~ s/name: aaa/name: bbb/r) . $main . $two,
    qr/path "\/" of Ingress default\/main \(in:\d+\) has one already; allowed: one canary by weight/);

# --- certificates ---

accepts('spec.tls with hosts', ingress('i', [$id], $simple, spec => ['tls: [{secretName: one, hosts: [one.example]}, {secretName: two, hosts: [Two.example]}]'])
    . $two . $tls . tls_secret('two', 'two'),
    [ qr/certificate: secret_default_one\n      server_names:\n        - \{name: one\.example, certificate: secret_default_one\}\n        - \{name: two\.example, certificate: secret_default_two\}\n      policy: tls-1-2\n/, qr/listen: \["127\.0\.0\.1:443"\]/ ]);
accepts('one without hosts is the default', ingress('i', [$id], $simple, spec => ['tls: [{secretName: two, hosts: [two.example]}, {secretName: one}]'])
    . $two . $tls . tls_secret('two', 'two'), qr/certificate: secret_default_one\n/);
accepts('EC keys', ingress('i', [$id], $simple, spec => ['tls: [{secretName: ec}]']) . $two . tls_secret('ec', 'ec'), qr/secret_default_ec/);
like(accepts('certificates by ID', ingress('i', [ $id, qq{${elb}tls-certificate-ids: "site-1,site-2"} ], $simple, spec => $with_tls) . $two,
    [ qr/certificate: site-1\n/, qr/name: second\.example, certificate: site-2/, qr/name: "\*\.second\.example", certificate: site-2/ ]),
    qr/spec\.tls of Ingress default\/i has no effect: .*tls-certificate-ids counts/, 'come before spec.tls');
refuses('an ID that is not there', ingress('i', [ $id, qq{${elb}tls-certificate-ids: "site-9"} ], $simple) . $two, qr/certificate "site-9" is not in the site's store/);
my $good = encode_base64($pem{one}{crt}, '');
my $key = encode_base64($pem{one}{key}, '');
for my $bad ([ 'a placeholder', 'REPLACE_ME', $key, qr/Secret default\/one: tls\.crt is not base64/ ],
    [ 'cut short', substr($good, 0, 101), $key, qr/tls\.crt is not base64/ ], [ 'no certificate', encode_base64('hello', ''), $key, qr/tls\.crt holds no certificate/ ],
    [ 'no key', $good, encode_base64("-----BEGIN PRIVATE KEY-----\n", ''), qr/tls\.key holds no key/ ],
    [ 'nothing for the key', $good, undef, qr/tls\.key is missing; allowed: a Secret with tls\.crt and tls\.key/ ],
    [ 'the key of another', $good, encode_base64($pem{two}{key}, ''), qr/tls\.key is not the key of tls\.crt/ ]) {
    my $err = refuses("Secret: $bad->[0]", ingress('i', [$id], $simple, spec => $with_tls) . $two . secret('one', $bad->[1], $bad->[2]), $bad->[3]);
    unlike($err, qr/REPLACE_ME|\Q@{[ substr $key, 40, 20 ]}\E/, 'and no word of what it holds');
}
like(accepts('a Secret of another type', ingress('i', [$id], $simple, spec => $with_tls) . $two . secret('one', $good, $key, type => 'Opaque'), qr/secret_default_one/),
    qr/is of type "Opaque"; allowed: kubernetes\.io\/tls, IngressTLS/, 'is told');
is(accepts('IngressTLS', ingress('i', [$id], $simple, spec => $with_tls) . $two . secret('one', $good, $key, type => 'IngressTLS'), qr/secret_default_one/), '', 'is one, too');
refuses('no Secret', ingress('i', [$id], $simple, spec => $with_tls) . $two, qr/in:9:\d+: error: spec\.tls\[0\]\.secretName: Secret default\/one is not in the input/);
refuses('no name of a Secret', ingress('i', [$id], $simple, spec => ['tls: [{hosts: [a.example]}]']) . $two, qr/spec\.tls\[0\]\.secretName is missing/);

my $pem_file = "$certs/secret_default_one.pem";
unlink $pem_file;
gen(ingress('i', [$id], $simple, spec => $with_tls) . $two . $tls, '--check');
ok(!-e $pem_file, '--check writes no key');
gen(ingress('i', [$id], [ [ '', path('/', 'nobody') ] ], spec => $with_tls) . $two . $tls);
ok(!-e $pem_file, 'nor does an error');
my (undef, $out) = gen(ingress('i', [$id], $simple, spec => $with_tls) . $two . $tls);
is((stat $pem_file)[2] & 0777, 0600, 'the key is for the owner alone');
is($t->read('certs/secret_default_one.pem'), $pem{one}{crt} . $pem{one}{key}, 'chain and key in one file');
unlike($out, qr/PRIVATE KEY/, 'and nowhere else');
chmod 0644, $pem_file;
gen(ingress('i', [$id], $simple, spec => $with_tls) . $two . $tls);
is((stat $pem_file)[2] & 0777, 0600, 'one that was open to others is closed');

# --- pools ---

my $hash = qq{${elb}lb-algorithm: "LEAST_CONNECTIONS"};
accepts('the Ingress says how', ingress('i', [ $id, $hash, qq{${elb}session-affinity-mode: "HTTP_COOKIE"}, qq{${elb}health-check-option: '{"protocol":"HTTP","delay":3}'} ], $simple) . $two,
    qr/default\/a:80\n    protocol: http\n    balance: weighted_least_connections\n    sticky: \{by: cookie_insert, timeout: 86400s, name: ELBSESSION\}\n    health: \{type: http, interval: 3s/);
accepts('the Service comes first, by families', ingress('i', [ $id, $hash, qq{${elb}health-check-flag: "on"} ], $simple)
    . backend('a', '127.0.1.11', $port_a, annotations => [qq{${elb}lb-algorithm: "SOURCE_IP"}]),
    qr/balance: source_hash\n    health: \{type: tcp/);
like(accepts('the rest of it', ingress('i', [$id], $simple) . backend('a', '127.0.1.11', $port_a, annotations => [qq{${elb}id: "lb-2"}]), qr/default\/a:80/),
    qr/elb\.id: no effect: Service default\/a is the back end of an Ingress/, 'has no effect');
accepts('sessionAffinity of the Service', ingress('i', [$id], $simple) . backend('a', '127.0.1.11', $port_a, spec => ', sessionAffinity: ClientIP'),
    qr/sticky: \{by: source_ip, timeout: 10800s\}/);
accepts('two Ingresses with the same wish share a pool', ingress('i', [$id], $simple) . ingress('k', [qq{${elb}id: "lb-2"}], $simple) . $two,
    qr/\A(?!.*default\/a:80\@)/s);
accepts('with other wishes they do not', ingress('i', [$id], $simple) . ingress('k', [ qq{${elb}id: "lb-2"}, $hash ], $simple) . $two,
    [ qr/name: default\/a:80\n/, qr/name: "default\/a:80\@k"\n    protocol: http\n    balance: weighted_least_connections/ ]);
accepts('a Service with a listener of its own', ingress('a', [$id], $simple) . backend('a', '127.0.1.11', $port_a, type => 'LoadBalancer', annotations => [qq{${elb}id: "lb-2"}]),
    [ qr/name: default\/a:80\n    listen: \["127\.0\.0\.2:80"\]\n    protocol: tcp\n/, qr/name: default\/a:80\/ingress\n    listen: \["127\.0\.0\.1:80"\]\n    protocol: http\n/,
        qr/name: default\/a:80\n    protocol: tcp\n/, qr/name: "default\/a:80\@a"\n    protocol: http\n/ ]);

# --- several on one listener ---

my $one_tls = [ 'tls: [{secretName: one}]' ];
my $old = { created => '2024-01-01T00:00:00Z' };
my $new = { created => '2024-02-01T00:00:00Z' };
accepts('they are one', ingress('z', [$id], [ [ 'z.example', path('/', 'a') ] ], %$old) . ingress('b', [$id], [ [ 'b.example', path('/', 'b') ] ], %$new) . $two,
    qr/listeners:\n  - name: default\/z:80\n[^-]*routes:\n.*z\.example.*\n.*b\.example.*\npools:/);
like(accepts('the same path in both', ingress('z', [$id], $simple, %$old) . ingress('b', [$id], [ [ '', path('/', 'b') ] ], %$new) . $two, qr/\A(?!.*default\/b:80)/s),
    qr/host any and path "\/" are in Ingress default\/z \(in:\d+\), too/, 'is told with both sides');
like(accepts('different settings', ingress('z', [ $id, qq{${elb}member_timeout: "7"} ], $simple, %$old) . ingress('b', [$id], [ [ 'b.example', path('/', 'b') ] ], %$new) . $two,
    qr/response: 7s/), qr/listener 80\/TCP of lb-1 is shared by Ingress default\/z and Ingress default\/b \(.*:\d+ and .*:\d+\), which differ: timeouts come from the former/,
    'are told with both sides');
accepts('the one that the cloud calls master is the first', ingress('z', [ $id, qq{${elb}member_timeout: "7"} ], $simple, %$old)
    . ingress('b', [ $id, qq{${elb}listener-master-ingress: "default/b"}, qq{${elb}member_timeout: "9"} ], [ [ 'b.example', path('/', 'b') ] ], %$new) . $two, qr/default\/b:80\n.*response: 9s/s);
refuses('http and https', ingress('z', [ $id, qq{${elb}port: "443"} ], $simple, %$old) . ingress('b', [$id], $simple, %$new, spec => $one_tls) . $two . $tls,
    qr/listener 443\/TCP of lb-1 is http for Ingress default\/z and https for Ingress default\/b \(.*:\d+ and .*:\d+\)/);
refuses('a Service on the same port', ingress('i', [$id], $simple) . backend('a', '127.0.1.11', $port_a, type => 'LoadBalancer', annotations => [$id]),
    qr/listener 80\/TCP of lb-1 is wanted by Service default\/a and Ingress default\/i \(.*:\d+ and .*:\d+\)/);
like(accepts('two default back ends', ingress('z', [$id], [], %$old, spec => ['defaultBackend: {service: {name: a, port: {number: 80}}}'])
    . ingress('b', [$id], [], %$new, spec => ['defaultBackend: {service: {name: b, port: {number: 80}}}']) . $two, qr/pool: default\/a:80\n/),
    qr/has two default back ends, of Ingress default\/z and Ingress default\/b/, 'the first counts');

my (undef, $account) = gen(ingress('i', [$id], [ [ 'x.example', path('/c', 'a') ] ]) . $two, '--explain');
like($account, qr/^Ingress default\/i \(.*:4\): provider cce\n  listener default\/i:80: http on 127\.0\.0\.1:80\n    .*: host "x\.example", paths below "\/c": pool default\/a:80 with 1 server\n/,
    '--explain has the rules');

# --- traffic ---

my %origin = map { $_->[0] => $t->origin($_->[0], host => $_->[1], port => $_->[2]) } [ 'pod-a', '127.0.1.11', $port_a ], [ 'pod-b', '127.0.1.12', $port_b ];

sub config {
    my ($text) = @_;
    my $in = $t->write('in.yaml', $text);
    my ($exit, undef, $err) = $t->weirgen('-s', $site, "--port-offset=$offset", '-o', $t->path('weir.out'), $in);
    is($exit, 0, 'weirgen accepts the manifest') or diag $err;
    return $t->read('weir.out');
}

my $weir = $t->start_weir(config => config(ingress('i', [ $id, $both ], [
    [ 'one.example', path('/', 'a'), path('/b', 'b'), path('/same', 'b', 'Exact'), path('/n/[0-9]+$', 'b', 'ImplementationSpecific', mode('REGEX')),
        path('/st', 'b', 'ImplementationSpecific') ], [ '*.wild.example', path('/', 'b') ], [ 'strict.example', path('/only', 'a') ] ],
    spec => [ 'tls: [{secretName: one}, {secretName: two, hosts: [two.example]}]', 'defaultBackend: {service: {name: b, port: {number: 80}}}' ])
    . $two . $tls . tls_secret('two', 'two')));
for my $case ([ 'one.example', '/', 'pod-a' ], [ 'one.example', '/b', 'pod-b' ], [ 'one.example', '/b/c?d', 'pod-b' ], [ 'one.example', '/bc', 'pod-a' ],
    [ 'one.example', '/same', 'pod-b' ], [ 'one.example', '/same/', 'pod-a' ], [ 'one.example', '/stuff', 'pod-b' ], [ 'one.example', '/n/12', 'pod-a' ],
    [ 'x.wild.example', '/', 'pod-b' ], [ 'strict.example', '/only/this', 'pod-a' ], [ 'strict.example', '/other', 'pod-b' ],
    [ 'other.example', '/', 'pod-b' ]) {
    my ($host, $path, $want) = @$case;
    is($t->http_get($http, $path, host => $host)->{body}, "$want\n", "$host$path goes to $want");
}
for my $case ([ 'one', 'one.example' ], [ 'two', 'two.example' ], [ 'one', 'one.example' ]) {
    my ($which, $host) = @$case;
    my $ca = $t->write("ca-$which.pem", $pem{$which}{crt});
    my ($exit, $body, $err) = $t->curl('--cacert', $ca, '--resolve', "$host:$https:127.0.0.1", "https://$host:$https/b");
    is($exit, 0, "https://$host has the certificate of Secret $which") or diag $err;
    is($body, "pod-b\n", 'and the same rules');
}

$weir->reload(config(ingress('i', [ $id, $both, qq{${elb}ssl-redirect: "true"} ], [ [ '', path('/a', 'a') ] ], spec => $with_tls) . $two . $tls));
$t->wait_until(sub { $t->http_get($http, '/a', host => 'one.example')->{status} == 301 }, 'the redirect');
is($t->http_get($http, '/a', host => 'one.example')->{headers}{location}, "https://one.example:$https/a", 'ssl-redirect: to HTTPS');
my ($exit, $status) = $t->curl('-k', '-o', '/dev/null', '-w', '%{http_code}', "https://127.0.0.1:$https/b");
is($status, 404, 'no rule, no default back end: 404');
is($weir->quit, 0, 'weir ends');
done_testing;
