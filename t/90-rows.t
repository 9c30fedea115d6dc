#!/usr/bin/perl
# Every row of the tables of annotations: a manifest with it and one without, and what differs in the configuration.
#
# A row without a case fails.  What servers and clients see of each is in 90-behave.t, 90-enforce.t, 90-rules.t, 90-serve.t
# and 90-ingress.t; here the whole of the tables is walked.

use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::Manifest;

my $t = Weir::Test->new;
my %prefix = (A => 'service.beta.kubernetes.io/alibaba-cloud-loadbalancer-', E => 'kubernetes.io/elb.', S => 'service.beta.kubernetes.io/', K => 'kubernetes.io/');
$t->make_cert($t->path('certs'), $_, ["$_.example"], type => 'rsa') for qw(cert-1 cert-2);
my $site = $t->write('site.yaml', <<'SITE');
certificates: {dir: certs}
acls: {acl-1: [192.0.2.0/24], acl-2: [198.51.100.0/24]}
load_balancers: {default: {addresses: [127.0.0.1, "::1"]}, lb-9: {addresses: [127.0.0.9], intranet: [127.0.0.10]}}
tls_policies: {policy-1: modern}
pools: {pool-1: ["192.0.2.9:80"]}
SITE
my $g = Weir::Test::Manifest->new($t, '-s', $site);

my $objects = <<'YAML';
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
ports: [{name: http, port: 8080}, {name: https, port: 8443}]
endpoints:
  - {addresses: [10.0.1.1], nodeName: node-a, targetRef: {kind: Pod, name: a}}
  - {addresses: [10.0.1.2], nodeName: node-a, targetRef: {kind: Pod, name: b}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-6, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{name: http, port: 8080}, {name: https, port: 8443}]
endpoints: [{addresses: ["2001:db8::1"], targetRef: {kind: Pod, name: c}}]
YAML
$objects .= <<"YAML" for [ 'node-a', '10.0.2.1', 'zone: one', '{}' ], [ 'node-b', '10.0.2.2', 'zone: two', '{unschedulable: true}' ];
---
apiVersion: v1
kind: Node
metadata: {name: $_->[0], labels: {$_->[2]}}
spec: $_->[3]
status: {addresses: [{type: InternalIP, address: $_->[1]}], conditions: [{type: Ready, status: "True"}]}
YAML

sub annotations {
    my (@lines) = @_;
    return join '', map { my ($p, $rest) = /^(\w):(.*)/s; "    $prefix{$p}$rest\n" } @lines;
}

# udp: one UDP port; else 80 and 443
sub service {
    my ($name, $udp, @lines) = @_;
    my $ports = $udp ? '{name: http, port: 80, protocol: UDP, nodePort: 30080, targetPort: 8080}'
        : '{name: http, port: 80, nodePort: 30080, targetPort: 8080}, {name: https, port: 443, nodePort: 30443, targetPort: 8443}';
    return "apiVersion: v1\nkind: Service\nmetadata:\n  name: $name\n  annotations:\n" . annotations(@lines) . "spec: {type: LoadBalancer, ports: [$ports]}\n---\n";
}

my @l7 = ('A:protocol-port: "http:80,https:443"', 'A:cert-id: "cert-1"');
my @e = ('E:id: "default"');
my @e7 = (@e, 'E:protocol-port: "http:80,https:443"', 'E:cert-id: "cert-1"');
my @stick = ('A:sticky-session: "on"');
my @cors = ('E:cors-allow-origin: "https://a.example"');
my $c80 = '(?s:web:80\n    protocol: http\n.*?)';

# KEY, VALUE, what the configuration has with it and not without; with => what it needs; udp, ingress => where it stands
my @cases = (
    [ 'A:id', '"lb-9"', 'listen: \["127\.0\.0\.9:80"\]' ],
    [ 'A:force-override-listeners', '"true"', 'name: default/web:80\n', other => service('aaa', 0, 'A:id: "lb-9"'), with => ['A:id: "lb-9"'] ],
    [ 'A:address-type', '"intranet"', 'listen: \["127\.0\.0\.10:80"\]', with => ['A:id: "lb-9"'] ],
    [ 'A:vswitch-id', '"vsw-1"', 'vswitch-id: vsw-1', with => ['A:address-type: "intranet"'] ],
    [ 'A:ip', '"192.0.2.1"', 'ip: "?192\.0\.2\.1', with => [ 'A:address-type: "intranet"', 'A:vswitch-id: "v"' ] ],
    [ 'A:ip-version', '"ipv6"', 'listen: \["\[::1\]:80"\]' ],
    [ 'A:instance-charge-type', '"PayByCLCU"', 'instance-charge-type: PayByCLCU' ],
    [ 'A:spec', '"slb.s2.small"', 'spec: slb\.s2\.small' ],
    [ 'A:charge-type', '"paybytraffic"', 'charge-type: paybytraffic' ],
    [ 'A:bandwidth', '"10"', 'bandwidth: \S*10', with => [ 'A:id: "lb-9"', 'A:charge-type: "paybybandwidth"' ] ],
    [ 'A:master-zoneid', '"z-a"', 'master-zoneid: z-a', with => ['A:slave-zoneid: "z-b"'] ],
    [ 'A:slave-zoneid', '"z-b"', 'slave-zoneid: z-b', with => ['A:master-zoneid: "z-a"'] ],
    [ 'A:additional-resource-tags', '"k=v,l=w=x"', 'tag\.k: v\n      tag\.l: "w=x"' ],
    [ 'A:name', '"shop_1"', ' name: shop_1' ],
    [ 'A:resource-group-id', '"rg-1"', 'resource-group-id: rg-1' ],
    [ 'A:delete-protection', '"off"', 'delete-protection: "off"' ],
    [ 'A:modification-protection', '"NonProtection"', 'modification-protection: NonProtection' ],
    [ 'A:preserve-lb-on-delete', '"yes"', 'preserve-lb-on-delete: "yes"' ],
    [ 'A:hostname', '"shop.example"', 'external_host: shop\.example' ],
    [ 'A:protocol-port', '"http:80"', 'protocol: http\n' ],
    [ 'A:cert-id', '"cert-1"', 'certificate: cert-1', with => ['A:protocol-port: "https:443"'] ],
    [ 'A:domain-extensions', '"a.example:cert-2"', '\{name: a\.example, certificate: cert-2\}', with => \@l7 ],
    [ 'A:tls-cipher-policy', '"tls_cipher_policy_1_2_strict"', 'policy: tls_cipher_policy_1_2_strict\n', with => \@l7 ],
    [ 'A:http2-enabled', '"off"', 'alpn: \[http/1\.1\]', with => \@l7 ],
    [ 'A:forward-port', '"80:443"', 'redirect: \{scheme: https, port: 443, status: 301\}', with => \@l7 ],
    [ 'A:scheduler', '"sch"', 'balance: source_hash' ],
    [ 'A:acl-status', '"on"', 'access: \{acl: acl-1, mode: allow\}', with => [ 'A:acl-id: "acl-1"', 'A:acl-type: "white"' ] ],
    [ 'A:acl-id', '"acl-2"', 'acl-2: \{networks: \[198', with => [ 'A:acl-status: "on"', 'A:acl-type: "white"' ] ],
    [ 'A:acl-type', '"black"', 'mode: deny', with => [ 'A:acl-id: "acl-1"', 'A:acl-status: "on"' ] ],
    [ 'A:persistence-timeout', '"90"', 'sticky: \{by: source_ip, timeout: 90s\}' ],
    [ 'A:sticky-session', '"on"', 'sticky: \{by: cookie_insert, timeout: 60s\}', with => [ @l7, 'A:sticky-session-type: "insert"', 'A:cookie-timeout: "60"' ] ],
    [ 'A:sticky-session-type', '"server"', 'sticky: \{by: cookie_prefix, name: SID\}', with => [ @l7, @stick, 'A:cookie: "SID"' ] ],
    [ 'A:cookie-timeout', '"77"', 'timeout: 77s', with => [ @l7, @stick, 'A:sticky-session-type: "insert"' ] ],
    [ 'A:cookie', '"JSID"', 'name: JSID', with => [ @l7, @stick, 'A:sticky-session-type: "server"' ] ],
    [ 'A:xforwardedfor-proto', '"on"', 'forwarded: \{proto: on\}', with => \@l7 ],
    [ 'A:xforwardedfor-slbport', '"on"', 'forwarded: \{slb_port: on\}', with => \@l7 ],
    [ 'A:xforwardedfor-clientsrcport', '"on"', 'forwarded: \{client_src_port: on\}', with => \@l7 ],
    [ 'A:idle-timeout', '"33"', 'client_idle: 33s', with => \@l7 ],
    [ 'A:request-timeout', '"44"', 'response: 44s', with => \@l7 ],
    [ 'A:established-timeout', '"55"', 'timeouts: \{idle: 55s\}' ],
    [ 'A:proxy-protocol', '"on"', 'proxy_protocol: v2' ],
    [ 'A:connection-drain', '"on"', 'drain: \{timeout: 20s\}', with => ['A:connection-drain-timeout: "20"'] ],
    [ 'A:connection-drain-timeout', '"30"', 'drain: \{timeout: 30s\}', with => ['A:connection-drain: "on"'] ],
    [ 'A:health-check-switch', '"off"', '\A(?!.*health:)' ],
    [ 'A:health-check-flag', '"on"', 'health: \{type: http', with => \@l7 ],
    [ 'A:health-check-type', '"http"', 'health: \{type: http' ],
    [ 'A:health-check-connect-timeout', '"9"', 'timeout: 9s' ],
    [ 'A:health-check-timeout', '"9"', 'timeout: 9s, rise', with => [ @l7, 'A:health-check-flag: "on"' ] ],
    [ 'A:health-check-interval', '"7"', 'interval: 7s' ],
    [ 'A:healthy-threshold', '"8"', 'rise: 8' ],
    [ 'A:unhealthy-threshold', '"8"', 'fall: 8' ],
    [ 'A:health-check-uri', '"/up"', 'path: "?/up', with => [ @l7, 'A:health-check-flag: "on"' ] ],
    [ 'A:health-check-httpcode', '"http_3xx,http_4xx"', 'status: \[3xx, 4xx\]', with => [ @l7, 'A:health-check-flag: "on"' ] ],
    [ 'A:health-check-domain', '"up.example"', 'host: up\.example', with => [ @l7, 'A:health-check-flag: "on"' ] ],
    [ 'A:health-check-method', '"get"', 'method: GET', with => [ @l7, 'A:health-check-flag: "on"' ] ],
    [ 'A:backend-label', '"zone=one"', '\A(?!.*node-b)(?=.*node-a)' ],
    [ 'A:remove-unscheduled-backend', '"on"', '\A(?!.*node-b)(?=.*node-a)' ],
    [ 'S:backend-type', '"eni"', 'name: a, address: "10\.0\.1\.1:8080"' ],
    [ 'A:vgroup-port', '"rsp-1:80"', 'name: rsp-1\n', with => ['A:id: "lb-9"'] ],
    [ 'A:weight', '"60"', 'weight: 30\}', with => [ 'A:id: "lb-9"', 'A:vgroup-port: "rsp-1:80"', 'A:scheduler: "wrr"' ] ],
    [ 'A:ignore-weight-update', '"on"', 'run_time_weights: keep' ],
    [ 'A:network-type', '"vpc"', 'network-type: vpc' ],
    [ 'A:external-ip-type', '"eip"', 'external-ip-type: eip' ],
    [ 'A:health-check-connect-port', '"9090"', 'port: 9090' ],
    [ 'A:backend-ip-version', '"ipv6"', 'address: "\[2001:db8::1\]:8080"', with => [ 'A:ip-version: "ipv6"', 'S:backend-type: "eni"' ] ],
    [ 'A:default-weight', '"40"', 'weight: 40\}', with => ['A:scheduler: "wrr"'] ],
    (map { [ "A:$_", '"x-1"', "$_: x-1" ] } qw(zone-maps security-group-ids bandwidth-package-id ipv6-address-type cross-zone-enabled cacert-id cacert cps preserve-client-ip
        server-group-type ppv2-pvl-ep-id-enabled ppv2-pvl-eps-id-enabled ppv2-pvl-vpc-id-enabled alpn alpn-policy listener-port-range additional-cert-ids)),

    [ 'E:class', '"performance"', 'class: performance', with => \@e ],
    [ 'E:id', '"lb-9"', 'listen: \["127\.0\.0\.9:80"\]', with => ['E:class: "union"'] ],
    [ 'E:subnet-id', '"sub-1"', 'subnet-id: sub-1', with => \@e ],
    [ 'E:enterpriseID', '"ep-1"', 'enterpriseID: ep-1', with => \@e ],
    [ 'E:autocreate', q('{"type":"inner","name":"auto-1"}'), 'name: auto-1' ],
    [ 'E:lb-algorithm', '"LEAST_CONNECTIONS"', 'balance: weighted_least_connections', with => \@e ],
    [ 'E:session-affinity-mode', '"SOURCE_IP"', 'sticky: \{by: source_ip, timeout: 3600s\}', with => \@e ],
    [ 'E:session-affinity-option', q('{"persistence_timeout":"30"}'), 'timeout: 1800s\}', with => [ @e, 'E:session-affinity-mode: "SOURCE_IP"' ] ],
    [ 'E:health-check-flag', '"on"', 'health: \{type: tcp, interval: 5s, timeout: 10s, rise: 3, fall: 3\}', with => \@e ],
    [ 'E:health-check-option', q('{"delay":"9","max_retries":2,"protocol":"HTTP","path":"/up"}'), 'health: \{type: http, interval: 9s, timeout: 10s, rise: 2, fall: 2, method: GET, path: "?/up', with => \@e ],
    [ 'E:protocol-port', '"http:80"', 'protocol: http\n', with => \@e ],
    [ 'E:cert-id', '"cert-2"', 'certificate: cert-2', with => [ @e, 'E:protocol-port: "tls:443"' ] ],
    [ 'E:pass-through', '"true"', 'pass-through: "true"', with => \@e ],
    [ 'K:hws-hostNetwork', '"true"', 'name: node-a, address: "10\.0\.2\.1:8080"', with => \@e ],
    [ 'E:port', '"8080"', 'listen: \["127\.0\.0\.1:8080"', ingress => 1 ],
    [ 'E:pool-protocol', '"https"', 'protocol: https\n    balance', ingress => 1, with => ['E:tls-certificate-ids: "cert-1"'] ],
    [ 'E:pool-protocol', '"grpc"', 'protocol: h2c\n', ingress => 1, with => ['E:tls-certificate-ids: "cert-1"'] ],
    [ 'E:tls-ciphers-policy', '"tls-1-2-fs"', 'policy: tls-1-2-fs\n', with => \@e7 ],
    [ 'E:health-check-options', q('[{"target_service_port":"TCP:80","delay":11,"monitor_port":9000}]'), 'interval: 11s.*port: 9000', with => \@e ],
    [ 'E:adaptive-weight', '"true"', 'name: node-a, address: "10\.0\.2\.1:30080", weight: 2\}', with => \@e ],
    [ 'E:acl-id', '"acl-1,acl-2"', 'networks: \[192\.0\.2\.0/24, 198\.51\.100\.0/24\]', with => [ @e, 'E:acl-status: "on"', 'E:acl-type: "white"' ] ],
    [ 'E:acl-status', '"on"', 'access: \{acl: acl-1', with => [ @e, 'E:acl-id: "acl-1"', 'E:acl-type: "white"' ] ],
    [ 'E:acl-type', '"black"', 'mode: deny', with => [ @e, 'E:acl-id: "acl-1"', 'E:acl-status: "on"' ] ],
    [ 'E:keepalive_timeout', '"99"', 'timeouts: \{idle: 99s\}', with => \@e ],
    [ 'E:client_timeout', '"98"', 'client_head: 98s, client_body: 98s', with => \@e7 ],
    [ 'E:member_timeout', '"97"', 'response: 97s', with => \@e7 ],
    [ 'E:l4-keepalive-timeout', '"96"', 'timeouts: \{idle: 96s\}', with => \@e ],
    [ 'E:l7-keepalive-timeout', '"95"', 'client_idle: 95s', with => \@e7 ],
    [ 'E:http2-enable', '"true"', 'alpn: \[h2, http/1\.1\]', with => \@e7 ],
    [ 'E:tls-certificate-ids', '"cert-2"', '\{name: cert-2\.example, certificate: cert-2\}', with => \@e7 ],
    [ 'E:security_policy_id', '"policy-1"', 'policy: modern', with => \@e7 ],
    [ 'E:client-ca-cert-id', '"cert-2"', 'verify: required\n      client_ca: cert-2', with => \@e7 ],
    [ 'E:security-pool-protocol', '"on"', 'protocol: https\n    balance', with => \@e7 ],
    [ 'E:x-forwarded-port', '"true"', 'forwarded: \{port: on\}', with => \@e7 ],
    [ 'E:x-forwarded-for-port', '"true"', 'forwarded: \{client_port: on\}', with => \@e7 ],
    [ 'E:x-forwarded-host', '"true"', 'forwarded: \{host: on\}', with => \@e7 ],
    [ 'E:x-real-ip', '"true"', 'forwarded: \{real_ip: on\}', with => \@e7 ],
    [ 'E:gzip-enabled', '"true"', 'gzip: on\n      types: \[text/xml, ', with => \@e7 ],
    [ 'E:port-ranges', '"[]"', 'port ranges are not supported', with => \@e, refused => 1 ],
    [ 'E:transparent-client-ip', '"true"', 'transparent-client-ip: "true"', with => \@e ],
    [ 'E:tags', '"k=v"', 'tag\.k: v', with => \@e ],
    [ 'E:custom-eip-id', '"eip-1"', 'custom-eip-id: eip-1', with => \@e ],
    [ 'E:eip-id', '"eip-2"', ' eip-id: eip-2', with => \@e ],
    [ 'E:custom-eip-status', '"eip-3"', 'custom-eip-status: eip-3', with => \@e ],
    [ 'E:multicluster', '"m-1"', 'multicluster: m-1', with => \@e ],
    [ 'E:ip', '"127.0.0.9"', 'listen: \["127\.0\.0\.9:80"\]', with => ['E:class: "union"'] ],
    [ 'K:ingress.class', '"cce"', 'name: default/in:80', ingress => 'no class' ],
    [ 'E:listen-ports', q('[{"HTTP":81},{"HTTP":82}]'), '127\.0\.0\.1:82"', ingress => 1 ],
    [ 'E:ssl-redirect', '"true"', 'redirect: \{scheme: https, port: 443, status: 301\}', ingress => 1, with => [ q(E:listen-ports: '[{"HTTP":80},{"HTTPS":443}]'), 'E:tls-certificate-ids: "cert-1"' ] ],
    [ 'E:redirect-url', '"https://new.example/"', 'redirect: \{url: "https://new\.example/", status: 301\}', ingress => 1 ],
    [ 'E:redirect-url-code', '"307"', 'status: 307\}', ingress => 1, with => ['E:redirect-url: "https://new.example/"'] ],
    [ 'E:rewrite-target', '"/new/$1"', 'rewrite: "/new/\$1"', ingress => 1 ],
    [ 'E:cors-allow-origin', '"https://a.example"', 'Access-Control-Allow-Origin: "\$\{origin\}"', ingress => 1 ],
    [ 'E:cors-allow-headers', '"X-One"', 'Allow-Headers: "X-One"', ingress => 1, with => \@cors ],
    [ 'E:cors-expose-headers', '"X-Two"', 'Expose-Headers: "X-Two"', ingress => 1, with => \@cors ],
    [ 'E:cors-allow-methods', '"PUT"', 'Allow-Methods: "PUT"', ingress => 1, with => \@cors ],
    [ 'E:cors-allow-credentials', '"true"', 'Allow-Credentials: "true"', ingress => 1, with => \@cors ],
    [ 'E:cors-max-age', '"600"', 'Max-Age: "600"', ingress => 1, with => \@cors ],
    [ 'E:slowstart', '"60"', 'slow_start: 60s', ingress => 1 ],
    [ 'E:slow-start', '"60"', 'slow_start: 60s', ingress => 1 ],
    [ 'E:ingress-order', '"5"', 'in_order: on', ingress => 1 ],
    [ 'E:rule-priority-enabled', '"true"', 'in_order: on', ingress => 1 ],
    [ 'E:headers.web', q('{"key":"X-Stage","values":["beta"]}'), 'when: \[\{header: X-Stage, values: \[beta\]\}\]', ingress => 1 ],
    [ 'E:conditions.web', q('[{"type":"Method","methodConfig":{"values":["GET"]}}]'), 'when: \[\{method: \[GET\]\}\]', ingress => 1 ],
    [ 'E:actions.web', q('[{"type":"TrafficLimit","trafficLimitConfig":{"QPS":5}}]'), 'limit: \{requests: 5\}', ingress => 1 ],
    [ 'E:canary', '"true"', 'weight: 90\}, \{pool: \S+, weight: 10\}', ingress => 'canary', with => ['E:canary-weight: "10"'] ],
    [ 'E:canary-weight', '"20"', 'weight: 20\}\]', ingress => 'canary', with => ['E:canary: "true"'] ],
    [ 'E:canary-by-header', '"X-C"', '\{header: X-C, values: \[yes|\{header: X-C', ingress => 'canary', with => [ 'E:canary: "true"', q(E:canary-by-header-value: '{"values":["v"]}') ] ],
    [ 'E:canary-by-header-value', q('{"values":["w"]}'), 'values: \[w\]', ingress => 'canary', with => [ 'E:canary: "true"', 'E:canary-by-header: "X-C"' ] ],
    [ 'E:canary-by-cookie', '"ck"', '\{cookie: ck', ingress => 'canary', with => [ 'E:canary: "true"', q(E:canary-by-cookie-value: '{"values":["v"]}') ] ],
    [ 'E:canary-by-cookie-value', q('{"values":["w"]}'), 'values: \[w\]', ingress => 'canary', with => [ 'E:canary: "true"', 'E:canary-by-cookie: "ck"' ] ],
    [ 'E:listener-master-ingress', '"default/in"', 'name: default/in:80', ingress => 'master' ],
    [ 'ingress.beta.kubernetes.io/url-match-mode', 'EQUAL_TO', 'path: \{exact: "?/x', ingress => 'mode' ],
);

sub manifest {
    my ($case, @lines) = @_;
    my ($key, undef, undef, %o) = @$case;
    return service('web', $o{udp}, @lines) . ($o{other} // '') . $objects if !$o{ingress};
    my $web = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {type: ClusterIP, ports: [{name: http, port: 80, targetPort: 8080}]}\n---\n";
    my $two = $web =~ s/name: web/name: two/r;
    my $mode = $o{ingress} eq 'mode' ? (@lines ? mode('EQUAL_TO') : '') : $key =~ /rewrite/ ? mode('REGEX') : '';
    my $path = $key =~ /rewrite/ ? '/old/(.*)' : '/x';
    my @own = $o{ingress} eq 'mode' ? () : @lines;
    my @annotations = split /\n/, annotations('E:id: "default"', @own) =~ s/^    //mgr;
    @annotations = grep { !/elb\.id/ } @annotations if $o{ingress} eq 'no class';
    my $others = $o{ingress} eq 'canary' ? ingress('main', ["$prefix{E}id: default"], [ [ '', path('/x', 'two', 'ImplementationSpecific') ] ])
        : $o{ingress} eq 'master' ? ingress('aaa', ["$prefix{E}id: default"], [ [ '', path('/y', 'two') ] ])
        : '';
    return ingress('in', \@annotations, [ [ '', path($path, 'web', 'ImplementationSpecific', $mode) ] ], $o{ingress} eq 'no class' ? (class => 'none') : ())
        . $others . $web . $two . substr $objects, 4;
}

my (undef, $list) = $t->weirgen('--list-annotations');
my %row = map { my @f = split /\t/; $f[0] => { outcome => $f[1] } } grep { /^\S*kubernetes\.io/ } split /\n/, $list;
my %done;
for my $case (@cases) {
    my ($short, $value, $re, %o) = @$case;
    my $key = $short =~ s/^(\w):/$prefix{$1}/r;
    my ($name) = grep { $row{$_} } $key, $key =~ s/[^.]+\z//r;
    my $row = defined $name ? $row{$name} : undef;
    $done{$name} = 1 if $row;
    ok($row, "$short is a row") or next;
    my $full = $short =~ /^\w:/ ? $short : "E:$short";
    my ($exit, $out, $err) = $g->gen(manifest($case, @{ $o{with} // [] }, "$full: $value"));
    is($exit, $o{refused} ? 1 : 0, "$short: weirgen takes it") or diag $err;
    like($o{refused} ? $err : $out, qr/$re/s, "$short: what it does");
    my (undef, $without) = $g->gen(manifest($case, @{ $o{with} // [] }));
    unlike($without, qr/$re/s, 'which is not there without it');
    next if $o{refused} || $o{ingress} && $o{ingress} eq 'mode';
    my (undef, $account) = $g->gen(manifest($case, @{ $o{with} // [] }, "$full: $value"), '--explain');
    like($account, qr/:\d+:\d+: \Q$key\E: .*: $row->{outcome}: /, "--explain says so: $row->{outcome}");
}
is(join(' ', sort grep { !$done{$_} } keys %row), '', 'no row is left without a case');
done_testing;
