#!/usr/bin/perl
# Annotations that clients and servers feel, each on a listener of its own: one manifest, one daemon.

use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $ack = 'service.beta.kubernetes.io/alibaba-cloud-loadbalancer-';
my $elb = 'kubernetes.io/elb.';
my %pem = map { $_ => $t->make_cert($t->path('certs'), $_, [ "$_.example", "www.$_.example" ], type => 'rsa') } qw(cert-1 cert-2);
my ($global) = $t->config('', workers => 1) =~ /^global:\n(.*)/ms;
$global =~ s/^  certificates: .*\n//m;
my $site = $t->write('site.yaml', "certificates: {dir: certs}\nload_balancers: {default: {addresses: [127.0.0.1]}}\ntls_policies: {our-policy: modern}\nglobal:\n$global");

my $origin = $t->origin('pod', host => '127.0.1.11', handler => sub {
    my ($request) = @_;
    return { headers => [ 'Set-Cookie' => 'SESSION=abc; Path=/' ] } if $request->{path} eq '/login';
    return { body => $request->{headers}{cookie} } if $request->{path} eq '/cookie';
    return undef if $request->{path} !~ m{^/type/(\S+)};
    return { body => 'x' x 5000, headers => [ 'Content-Type' => $1 ] };
});
my $twin = $t->origin('twin', host => '127.0.1.13', port => $origin->{port}, handler => $origin->{handler});
my $new = $t->origin('new', host => '127.0.1.12');
my (%port, $manifest);

# A Service with one port, whose pod is at `address`; $port{NAME} is where it listens.
sub service {
    my ($name, $annotations, %o) = @_;
    my $port = $port{$name} = $t->port;
    my $udp = $o{udp} ? ', protocol: UDP' : '';
    my ($ip, $target) = split /:/, $o{address} // $origin->address;
    my $type = $o{type} // 'LoadBalancer';
    my $number = $o{port} // $port;
    $manifest .= "apiVersion: v1\nkind: Service\nmetadata:\n  name: $name\n";
    $manifest .= "  annotations:\n" . join '', map { "    $_\n" } map { s/PORT/$port/gr } @$annotations if @$annotations;
    $manifest .= <<"YAML";
spec: {type: $type, selector: {app: $name}, ports: [{name: p, port: $number, targetPort: $target$udp}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: $name-1, labels: {kubernetes.io/service-name: $name}}
ports: [{name: p, port: $target$udp}]
endpoints: [{addresses: [$ip], targetRef: {kind: Pod, name: $name-pod}}]
---
YAML
    return;
}

# An Ingress whose paths all lead to the Service "web".
sub ingress {
    my ($name, $annotations, @paths) = @_;
    my $port = $port{$name} = $name eq 'canary' ? $port{stable} : $t->port;
    my $web = $name eq 'tls' ? 'tls-web' : $name eq 'canary' ? 'new-web' : 'web';
    my $backend = "backend: {service: {name: $web, port: {number: 80}}}";
    $manifest .= "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: $name\n  annotations:\n    ${elb}id: default\n    ${elb}port: '$port'\n"
        . (join '', map { "    $_\n" } @$annotations) . "spec:\n  ingressClassName: cce\n  rules:\n    - http:\n        paths:\n"
        . (join '', map { "          - {path: '$_', pathType: ImplementationSpecific, property: {ingress.beta.kubernetes.io/url-match-mode: REGEX}, $backend}\n" } @paths) . "---\n";
    return;
}

sub udp_server {
    my ($name) = @_;
    my $socket = IO::Socket::IP->new(LocalHost => '127.0.1.11', LocalPort => 0, Proto => 'udp', Type => SOCK_DGRAM) or die "udp: $!";
    $t->spawn(sub {
        while (defined(my $from = recv $socket, my $data, 65536, 0)) {
            send $socket, $data eq '' ? '' : "$name:$data", 0, $from; # health checks are empty, and so is their answer
        }
    });
    return '127.0.1.11:' . $socket->sockport;
}

sub ask_udp {
    my ($port, $text) = @_;
    my $socket = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port, Proto => 'udp', Type => SOCK_DGRAM) or die "udp: $!";
    send $socket, $text, 0;
    my $answer = '';
    recv $socket, $answer, 65536, 0 if IO::Select->new($socket)->can_read(10);
    return $answer;
}

sub https {
    my ($name, $id, $host, @args) = @_;
    my $ca = $t->write("ca-$id.pem", $pem{$id}{crt});
    my ($exit, $out, $err) = $t->curl('--cacert', $ca, '--resolve', "$host:$port{$name}:127.0.0.1", @args, "https://$host:$port{$name}/");
    is($exit, 0, "https://$host with $id") or diag $err;
    return $out;
}

# What the server saw of a request.
sub seen {
    my ($name, $path, @headers) = @_;
    $origin->forget;
    $t->http_get($port{$name}, $path, host => 'shop.example', headers => \@headers);
    return $origin->last_request->{head};
}

service('web', [], type => 'ClusterIP', port => 80);
service('dns', [], udp => 1, address => udp_server('ack'));
service('cce-dns', [ "${elb}id: default", "${elb}keepalive_timeout: '20'", "${elb}health-check-flag: 'on'" ], udp => 1, address => udp_server('cce'));
service('slb', [ "${ack}protocol-port: http:PORT", "${ack}xforwardedfor-slbport: 'on'", "${ack}xforwardedfor-clientsrcport: 'on'", "${ack}xforwardedfor-proto: 'on'" ]);
service('slb-off', ["${ack}protocol-port: http:PORT"]);
service('slow', [ "${ack}protocol-port: http:PORT", "${ack}charge-type: paybybandwidth", "${ack}bandwidth: '1'" ]);
service('free', [ "${ack}protocol-port: http:PORT", "${ack}bandwidth: '1'" ]);
service('cce-slow', [ "${elb}class: union", "${elb}protocol-port: http:PORT", "${elb}autocreate: '{\"type\":\"public\",\"bandwidth_name\":\"b\",\"bandwidth_size\":1,\"bandwidth_sharetype\":\"PER\",\"eip_type\":\"5_bgp\"}'" ]);
service('cce-fwd', [ "${elb}id: default", "${elb}protocol-port: http:PORT", map { "${elb}$_: 'true'" } qw(x-forwarded-port x-forwarded-for-port x-forwarded-host x-real-ip) ]);
service('h2', [ "${ack}protocol-port: https:PORT", "${ack}cert-id: cert-1" ]);
service('h1', [ "${ack}protocol-port: https:PORT", "${ack}cert-id: cert-1", "${ack}http2-enabled: 'off'" ]);
service('cce-h2', [ "${elb}id: default", "${elb}protocol-port: https:PORT", "${elb}cert-id: cert-1", "${elb}http2-enable: 'true'", "${elb}tls-certificate-ids: cert-2" ]);
service('cce-h1', [ "${elb}id: default", "${elb}protocol-port: https:PORT", "${elb}cert-id: cert-1" ]);
my $v2 = "\r\n\r\n\0\r\nQUIT\n";
my $raw = $t->tcp_server('raw', sub {
    my ($client) = @_;
    $client->fill;
    my $data = $client->{in};
    $client->send(substr($data, 0, 12) eq $v2 ? 'v2 ' . join('.', unpack 'x16C4', $data) : 'plain');
}, host => '127.0.1.11');
service('proxy', ["${ack}proxy-protocol: 'on'", "${ack}health-check-switch: 'off'"], address => $raw->address);
service('no-proxy', ["${ack}health-check-switch: 'off'"], address => $raw->address);
my $echo = $t->tcp_echo('echo', host => '127.0.1.11');
service('drain', [ "${ack}connection-drain: 'on'", "${ack}connection-drain-timeout: '900'" ], address => $echo->address);
service('no-drain', [], address => $echo->address);
service('cce-idle', [ "${elb}id: default", "${elb}protocol-port: http:PORT", "${elb}keepalive_timeout: '0'" ]);
service('cce-idle-tls', [ "${elb}id: default", "${elb}protocol-port: https:PORT", "${elb}cert-id: cert-1", "${elb}http2-enable: 'true'", "${elb}l7-keepalive-timeout: '0'" ]);
service('policy', [ "${elb}id: default", "${elb}protocol-port: https:PORT", "${elb}cert-id: cert-1", "${elb}security_policy_id: our-policy", "${elb}tls-ciphers-policy: tls-1-0" ]);
service("weights-$_", [ "${ack}ignore-weight-update: '$_'", "${ack}scheduler: wrr" ]) for qw(on off);
service('cce-gzip', [ "${elb}id: default", "${elb}protocol-port: http:PORT", "${elb}gzip-enabled: 'true'" ]);
# the servers of these speak TLS: listener h1
service('cce-tls', [ "${elb}id: default", "${elb}protocol-port: http:PORT", "${elb}security-pool-protocol: 'on'" ], address => "127.0.0.1:$port{h1}");
service('tls-web', [], type => 'ClusterIP', port => 80, address => "127.0.0.1:$port{h1}");
ingress('tls', [ "${elb}pool-protocol: https", "${elb}tls-certificate-ids: cert-2" ], '/');
for my $case ([ 'app-ack', "${ack}protocol-port: http:PORT", "${ack}sticky-session: 'on'", "${ack}sticky-session-type: server", "${ack}cookie: SESSION" ],
    [ 'app-cce', "${elb}id: default", "${elb}protocol-port: http:PORT", "${elb}session-affinity-mode: APP_COOKIE",
        "${elb}session-affinity-option: '{\"app_cookie_name\":\"SESSION\"}'" ]) {
    my ($name, @annotations) = @$case;
    service($name, \@annotations);
    $manifest =~ s/(name: $name-1, .*\n.*\n)endpoints: .*\n/$1endpoints: [{addresses: [127.0.1.11], targetRef: {kind: Pod, name: one}}, {addresses: [127.0.1.13], targetRef: {kind: Pod, name: two}}]\n/;
}
ingress('cors', [ "${elb}cors-allow-origin: 'https://a.example,https://b.example,https://*.w.example:8443'", "${elb}cors-allow-methods: GET,PUT", "${elb}cors-allow-headers: X-One",
    "${elb}cors-expose-headers: X-Two", "${elb}cors-allow-credentials: 'true'", "${elb}cors-max-age: '600'" ], '/');
service('mutual', [ "${elb}id: default", "${elb}protocol-port: https:PORT", "${elb}cert-id: cert-1", "${elb}client-ca-cert-id: cert-2" ]);
ingress('stable', [], '/c');
ingress('canary', [ "${elb}canary: 'true'", "${elb}canary-weight: '50'", "${elb}canary-by-header: X-Canary", "${elb}canary-by-header-value: '{\"values\":[\"al*\"]}'",
    "${elb}canary-by-cookie: canary", "${elb}canary-by-cookie-value: '{\"values\":[\"yes\"]}'" ], '/c');
service('new-web', [], type => 'ClusterIP', port => 80, address => $new->address);
ingress('header', [ "${elb}headers.web: '{\"key\":\"X-Stage\",\"values\":[\"beta\"]}'" ], '/');
ingress('rewrite', ["${elb}rewrite-target: /new/\$2/\$1"], '/a/([^/]*)/(.*)');
ingress('redirect', [ "${elb}redirect-url: 'https://other.example/x?cost=1\$'", "${elb}redirect-url-code: '308'" ], '/old');

my $in = $t->write('in.yaml', $manifest);
my ($exit, undef, $err) = $t->weirgen('-s', $site, '--backends=pod', '-o', $t->path('weir.out'), $in);
is($exit, 0, 'weirgen accepts the manifest') or diag $err;
is($err, '', 'without a word');
my $weir = $t->start_weir(config => $t->read('weir.out'));

$weir->wait_server("default/dns:$port{dns}/udp", 'dns-pod', 'up');
is(ask_udp($port{dns}, 'hello'), 'ack:hello', 'UDP, with the health check that ACK has on by default');
$weir->wait_server("default/cce-dns:$port{'cce-dns'}/udp", 'cce-dns-pod', 'up');
is(ask_udp($port{'cce-dns'}, 'hello'), 'cce:hello', 'and for CCE');

my $head = seen('slb', '/', 'X-Forwarded-Proto' => 'gopher', 'XForwardedFor_SLBPORT' => '1');
like($head, qr/^XForwardedFor_SLBPORT: $port{slb}\r$/m, 'xforwardedfor-slbport');
unlike($head, qr/SLBPORT: 1\r$/m, 'replaces what the client says');
like($head, qr/^XForwardedFor_ClientSrcPort: \d+\r$/m, 'xforwardedfor-clientsrcport');
like($head, qr/^X-Forwarded-Proto: http\r$/m, 'xforwardedfor-proto');
unlike(seen('slb-off', '/'), qr/SLBPORT|SrcPort|Forwarded-Proto/i, 'all off by default');
$head = seen('cce-fwd', '/');
like($head, qr/^X-Forwarded-Port: $port{'cce-fwd'}\r$/m, 'x-forwarded-port');
like($head, qr/^X-Forwarded-For-Port: \d+\r$/m, 'x-forwarded-for-port');
like($head, qr/^X-Forwarded-Host: shop\.example\r$/m, 'x-forwarded-host');
is($t->raw_exchange($port{proxy}, 'hello'), 'v2 127.0.0.1', 'proxy-protocol: version 2 with the client');
is($t->raw_exchange($port{'no-proxy'}, 'hello'), 'plain', 'off by default');

like($head, qr/^X-Real-IP: 127\.0\.0\.1\r$/m, 'x-real-ip');

my $r;
my @version = ('-o', '/dev/null', '--http2', '-w', '%{http_version}');
is(https('h2', 'cert-1', 'cert-1.example', @version), 2, 'ACK offers HTTP/2');
is(https('h1', 'cert-1', 'cert-1.example', @version), '1.1', 'unless http2-enabled is off');
is(https('cce-h2', 'cert-1', 'cert-1.example', @version), 2, 'CCE offers it with http2-enable');
is(https('cce-h1', 'cert-1', 'cert-1.example', @version), '1.1', 'but not by default');
is(https('cce-h2', 'cert-2', 'www.cert-2.example'), "pod\n", 'tls-certificate-ids: by the names in the certificate');

my $request = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
my ($bytes, $how) = $t->raw_exchange($port{'cce-idle'}, $request);
like("$bytes$how", qr/^HTTP\/1\.1 200 .*^Connection: close\r\n.*\r\npod\nclosed\z/ms, 'keepalive_timeout 0: the connection ends with the response');
my $ca = $t->write('ca-cert-1.pem', $pem{'cert-1'}{crt});
my $url = "https://cert-1.example:$port{'cce-idle-tls'}/";
my (undef, $connects) = $t->curl('--http2', '--cacert', $ca, '--resolve', "cert-1.example:$port{'cce-idle-tls'}:127.0.0.1",
    ('-o', '/dev/null', '-w', '%{http_code}/%{http_version}/%{num_connects} ', $url, '--next', '--http2', '--cacert', $ca, '-o', '/dev/null', '-w', '%{http_code}/%{http_version}/%{num_connects}', $url));
is($connects, '200/2/1 200/2/1', 'l7-keepalive-timeout 0: HTTP/2, too');

for my $case ([ 'application/json', 'gzip' ], [ 'text/plain', 'gzip' ], [ 'text/html', '' ], [ 'image/png', '' ]) {
    my ($type, $coding) = @$case;
    $r = $t->http_get($port{'cce-gzip'}, "/type/$type", host => 'shop.example', headers => [ 'Accept-Encoding' => 'gzip' ]);
    is($r->{headers}{'content-encoding'} // '', $coding, "gzip-enabled: $type");
}

for my $case ([ slow => 'bandwidth with paybybandwidth' ], [ 'cce-slow' => 'bandwidth_size' ], [ free => '' ]) {
    my ($name, $what) = @$case;
    $t->http_get($port{$name}, '/type/a', host => 'shop.example') for 1 .. 4; # 20 kB; 12.5 are there at once
    my $held = $weir->stats_listener("default/$name:$port{$name}")->{held};
    $what ? cmp_ok($held, '>', 0, "$what: clients wait for their turn") : is($held, 0, 'bandwidth without it limits nothing');
}

is($t->http_get($port{'cce-tls'}, '/', host => 'shop.example')->{body}, "pod\n", 'security-pool-protocol: servers that speak TLS');
is(https('tls', 'cert-2', 'cert-2.example'), "pod\n", 'pool-protocol of an Ingress');

sub body { my ($name, $path, @headers) = @_; return $t->http_get($port{$name}, $path, host => 'shop.example', headers => \@headers)->{body} }
for my $name (qw(app-ack app-cce)) {
    $r = $t->http_get($port{$name}, '/login', host => 'shop.example');
    my ($cookie) = $r->{headers}{'set-cookie'} =~ /^(SESSION=[^;]+); Path=\/$/ or diag explain $r->{headers};
    isnt($cookie, 'SESSION=abc', "$name: the application's cookie says which server");
    is(join('', map { body($name, '/', Cookie => $cookie) } 1 .. 6), $r->{body} x 6, 'to which requests with it go');
    is(body($name, '/cookie', Cookie => $cookie), 'SESSION=abc', 'and which sees its own value');
}
sub cors {
    my ($method, @headers) = @_;
    $r = $t->http_get($port{cors}, '/', method => $method, host => 'shop.example', headers => \@headers);
    return "$r->{status} " . join ' ', map { s/^access-control-//r . "=$r->{headers}{$_}" } grep { /^access-control-|^vary/ } sort keys %{ $r->{headers} };
}
is(cors('OPTIONS', Origin => 'https://b.example', 'Access-Control-Request-Method' => 'PUT'),
    '204 allow-credentials=true allow-headers=X-One allow-methods=GET,PUT allow-origin=https://b.example max-age=600 vary=Origin', 'cors: a preflight is answered');
is(cors('GET', Origin => 'https://a.example'), '200 allow-credentials=true allow-origin=https://a.example expose-headers=X-Two vary=Origin', 'and the request gets its leave');
is(cors('GET', Origin => 'https://x.w.example:8443'), '200 allow-credentials=true allow-origin=https://x.w.example:8443 expose-headers=X-Two vary=Origin', 'a wildcard');
is(cors('GET', Origin => 'https://x.w.example'), '200 vary=Origin', 'with its port alone');
is(cors('GET', Origin => 'https://c.example'), '200 vary=Origin', 'another origin does not');
is(cors('OPTIONS'), '200 vary=Origin', 'OPTIONS that asks for nothing goes to the server');
https('policy', 'cert-1', 'cert-1.example', '--tlsv1.3');
my ($too_old) = $t->curl('-k', '--tls-max', '1.2', "https://127.0.0.1:$port{policy}/");
isnt($too_old, 0, 'security_policy_id: the policy of the site file counts');
my ($crt, $key) = map { $t->write("client.$_", $pem{'cert-2'}{$_}) } qw(crt key);
is(https('mutual', 'cert-1', 'cert-1.example', '--cert', $crt, '--key', $key), "pod\n", 'client-ca-cert-id: a client with a certificate of it');
my ($refused) = $t->curl('-k', "https://127.0.0.1:$port{mutual}/");
isnt($refused, 0, 'one without is refused');
my %share;
$share{ body('stable', '/c') }++ for 1 .. 60; # each by chance: never all one way
is(join('', sort keys %share), "new\npod\n", 'canary-weight');
is(join('', map { body('stable', '/c', 'X-Canary' => 'always') } 1 .. 4), "new\n" x 4, 'canary-by-header');
is(join('', map { body('stable', '/c', 'Cookie' => 'a=b; canary=yes') } 1 .. 4), "new\n" x 4, 'canary-by-cookie');
is(body('header', '/', 'X-Stage' => 'beta'), "pod\n", 'headers.SERVICE: with the field');
is($t->http_get($port{header}, '/', host => 'shop.example')->{status}, 404, 'and without');

like(seen('rewrite', '/a/b/c/d?q=1'), qr{^GET /new/c/d/b\?q=1 HTTP}, 'rewrite-target');
$r = $t->http_get($port{redirect}, '/older', host => 'shop.example');
is("$r->{status} $r->{headers}{location}", '308 https://other.example/x?cost=1$', 'redirect-url and its code');

# --- what a reload does ---

my @ctl = ('-S', $weir->control_socket, '-o', 'json');
sub weight { my ($name) = @_; return $weir->stats_server("default/$name:$port{$name}", "$name-pod")->{weight} }
for my $name (qw(weights-on weights-off)) {
    ($exit, undef, $err) = $t->weirctl(@ctl, 'server', "default/$name:$port{$name}/$name-pod", 'weight', 7);
    is($exit, 0, "$name: a weight set at run time") or diag $err;
}

my %client = map { $_ => $t->client($port{$_}) } qw(drain no-drain);
for my $name (sort keys %client) {
    $client{$name}->send('ping');
    $client{$name}->fill;
    is($client{$name}{in}, 'ping', "$name: a session");
}
$t->write('in.yaml', $manifest =~ s/endpoints: \[\{addresses: \[127\.0\.1\.11\], targetRef: \{kind: Pod, name: (?:no-)?drain-pod\}\}\]/endpoints: []/gr);
($exit, undef, $err) = $t->weirgen('-s', $site, '--backends=pod', '-o', $t->path('weir.out'), $in);
is($exit, 0, 'the servers go') or diag $err;
$weir->reload($t->read('weir.out'));
is(weight('weights-on') . ' ' . weight('weights-off'), '7 100', 'ignore-weight-update: weights set at run time stay, or not');
ok(!eval { $client{'no-drain'}->fill }, 'no connection-drain: sessions are cut when their server goes');
$client{drain}->send('pong');
$client{drain}->fill;
is($client{drain}{in}, 'pingpong', 'connection-drain: they go on');
$_->close for values %client;

is($weir->stop, 0, 'weir ends');
done_testing;
