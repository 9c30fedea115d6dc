#!/usr/bin/perl
# What each annotation does to traffic, beyond 90-enforce.t: access, balancing, stickiness, timeouts, checks, TLS, and where the
# servers come from.  One manifest with a Service for each, one daemon.

use strict;
use warnings;
use IO::Socket::IP;
use Test::More;
use Weir::Test;
use Weir::Test::Manifest ();

my $t = Weir::Test->new;
my $ack = 'service.beta.kubernetes.io/alibaba-cloud-loadbalancer-';
my $elb = 'kubernetes.io/elb.';
my $has_ipv6 = defined IO::Socket::IP->new(LocalHost => '::1', LocalPort => 0, Listen => 1);
my %pem = map { $_ => $t->make_cert($t->path('certs'), $_, [ "$_.example", "www.$_.example" ], type => 'rsa') } qw(cert-1 cert-2);
my ($global) = $t->config('', workers => 2) =~ /^global:\n(.*)/ms;
$global =~ s/^  certificates: .*\n//m;
my $site = $t->write('site.yaml', <<"SITE");
certificates: {dir: certs}
acls: {two: [127.0.0.2/32], three: [127.0.0.3/32], none: []}
load_balancers: {default: {addresses: [127.0.0.1@{[ $has_ipv6 ? ', "::1"' : '' ]}]}, lb-5: {addresses: [127.0.0.5], intranet: [127.0.0.6]}}
tls_policies: {}
global:
$global
SITE

# Three pods on two nodes: the pods at one port, the nodes at another.
my ($pod_port, $node_port) = $t->ports(2);
my $answer = sub {
    my ($request) = @_;
    select undef, undef, undef, 2.5 if $request->{path} eq '/slow';
    return { status => 500, body => 'sick' } if $request->{path} eq '/sick-11' && $request->{headers}{host} =~ /^127\.0\.1\.11/;
    return { status => 404, body => 'none' } if $request->{path} eq '/missing';
    return undef;
};
my %origin = map { $_->[0] => $t->origin($_->[0], host => $_->[1], port => $_->[2], handler => $answer) }
    (map { [ "pod-$_", "127.0.1.$_", $pod_port ] } 11 .. 13), (map { [ "node-$_", "127.0.2.$_", $node_port ] } 1, 2), (map { [ "host-$_", "127.0.2.$_", $pod_port ] } 1, 2);

my (%port, $manifest);

sub service {
    my ($name, $annotations, %o) = @_;
    my $port = $port{$name} = $o{listen} // $t->port;
    my $spec = $o{spec} // '';
    my $app = $o{app} // 'all';
    $manifest .= "apiVersion: v1\nkind: Service\nmetadata:\n  name: $name\n  annotations:\n" . join('', map { "    $_\n" =~ s/PORT/$port/gr } @$annotations)
        . "spec: {type: LoadBalancer, selector: {app: $app}, ports: [{name: p, port: $port, targetPort: $pod_port, nodePort: $node_port}]$spec}\n---\n";
    return;
}

sub node {
    my ($name, $ip, $label, $spec) = @_;
    $manifest .= "apiVersion: v1\nkind: Node\nmetadata: {name: $name, labels: {zone: $label}}\nspec: $spec\n"
        . "status: {addresses: [{type: InternalIP, address: $ip}], conditions: [{type: Ready, status: \"True\"}]}\n---\n";
    return;
}

sub pod {
    my ($nr, $node, $app) = @_;
    $manifest .= "apiVersion: v1\nkind: Pod\nmetadata: {name: pod-$nr, labels: {app: all, $app: 'yes'}}\nspec: {nodeName: $node, containers: [{name: c, image: x}]}\n"
        . "status: {phase: Running, podIP: 127.0.1.$nr, conditions: [{type: Ready, status: \"True\"}]}\n---\n";
    return;
}

my $eni = 'service.beta.kubernetes.io/backend-type: eni';
my $ecs = 'service.beta.kubernetes.io/backend-type: ecs';
my $quiet = "${ack}health-check-switch: 'off'";
my @http = ($eni, "${ack}protocol-port: http:PORT");
my @https = ($eni, "${ack}protocol-port: https:PORT", "${ack}cert-id: cert-1");
my @cce = ("${elb}id: default");
my @cce_http = (@cce, "${elb}protocol-port: http:PORT");

node('node-1', '127.0.2.1', 'one', '{}');
node('node-2', '127.0.2.2', 'two', '{unschedulable: true}');
pod(11, 'node-1', 'first');
pod(12, 'node-1', 'second');
pod(13, 'node-2', 'second');
service('white', [ @http, "${ack}acl-status: 'on'", "${ack}acl-id: two", "${ack}acl-type: white" ]);
service('black', [ @http, "${ack}acl-status: 'on'", "${ack}acl-id: two", "${ack}acl-type: black" ]);
service('white-empty', [ @http, "${ack}acl-status: 'on'", "${ack}acl-id: none", "${ack}acl-type: white" ]);
service('acl-off', [ @http, "${ack}acl-status: 'off'", "${ack}acl-id: two", "${ack}acl-type: white" ]);
service('cce-white', [ @cce_http, "${elb}acl-status: 'on'", "${elb}acl-id: 'two,three'", "${elb}acl-type: white" ]);
service('ranges', [@http], spec => ', loadBalancerSourceRanges: [127.0.0.2/32]');
service('sch', [ @http, "${ack}scheduler: sch" ]);
service('tch', [ $eni, $quiet, "${ack}scheduler: tch" ]);
service('cce-hash', [ @cce_http, "${elb}lb-algorithm: SOURCE_IP" ]);
service('cce-least', [ @cce_http, "${elb}lb-algorithm: LEAST_CONNECTIONS" ]);
service('persist', [ $eni, $quiet, "${ack}persistence-timeout: '600'" ]);
service('cce-source', [ @cce, "${elb}session-affinity-mode: SOURCE_IP" ]);
service('cce-cookie', [ @cce_http, "${elb}session-affinity-mode: HTTP_COOKIE", "${elb}session-affinity-option: '{\"persistence_timeout\":\"15\"}'" ]);
service('client-ip', [ $eni, $quiet ], spec => ', sessionAffinity: ClientIP');
service('late', [ @http, "${ack}request-timeout: '1'", "${ack}idle-timeout: '1'" ]);
service('cce-late', [ @cce_http, "${elb}member_timeout: '1'", "${elb}client_timeout: '1'", "${elb}keepalive_timeout: '1'" ]);
service('domains', [ @https, "${ack}domain-extensions: 'www.cert-2.example:cert-2'" ]);
service('strict', [ @https, "${ack}tls-cipher-policy: tls_cipher_policy_1_2_strict" ]);
service('with-1-3', [ @https, "${ack}tls-cipher-policy: tls_cipher_policy_1_2_strict_with_1_3" ]);
service('cce-fs', [ @cce, "${elb}protocol-port: https:PORT", "${elb}cert-id: cert-1", "${elb}tls-ciphers-policy: tls-1-2-fs-with-1-3" ]);
service('cce-tls', [ @cce, "${elb}protocol-port: tls:PORT", "${elb}cert-id: cert-1" ]);
service('v6', [ @http, "${ack}ip-version: ipv6" ]) if $has_ipv6;
service('intranet', [ @http, "${ack}id: lb-5", "${ack}address-type: intranet" ]);
service('lost', [ @http, "${ack}id: lb-5" ], listen => ($port{both} = $t->port), app => 'none');
service('forced', [ @http, "${ack}id: lb-5", "${ack}force-override-listeners: 'true'" ], listen => $port{both});
service('group-a', [ @http, "${ack}id: lb-5", "${ack}vgroup-port: rsp-1:PORT", "${ack}weight: '75'", "${ack}scheduler: wrr" ]);
service('group-b', [ @http, "${ack}id: lb-5", "${ack}vgroup-port: rsp-1:PORT", "${ack}weight: '25'", "${ack}scheduler: wrr" ]);
service('labels', [ $ecs, $quiet, "${ack}backend-label: zone=two" ]);
service('cordoned', [ $ecs, $quiet, "${ack}remove-unscheduled-backend: 'on'" ]);
service('local', [ $ecs, $quiet, "${ack}scheduler: wrr", "${ack}protocol-port: http:PORT" ], spec => ', externalTrafficPolicy: Local');
service('adaptive', [ @cce_http, "${elb}adaptive-weight: 'true'" ]);
service('host', [ @cce_http, "kubernetes.io/hws-hostNetwork: 'true'" ]);
service('check', [ @http, "${ack}health-check-flag: 'on'", "${ack}health-check-uri: /sick-11", "${ack}health-check-interval: '1'", "${ack}unhealthy-threshold: '2'", "${ack}health-check-method: get" ]);
service('check-404', [ @http, "${ack}health-check-flag: 'on'", "${ack}health-check-uri: /missing", "${ack}health-check-httpcode: http_4xx", "${ack}health-check-interval: '1'" ]);
service('cce-check', [ @cce_http, "${elb}health-check-option: '{\"protocol\":\"HTTP\",\"path\":\"/sick-1\",\"delay\":1,\"max_retries\":1}'" ]);
service('cce-monitor', [ @cce_http, "${elb}health-check-options: '[{\"target_service_port\":\"TCP:PORT\",\"monitor_port\":1,\"delay\":1,\"max_retries\":1}]'" ]);
service('meta', [ @http, "${ack}name: shop_1", "${ack}additional-resource-tags: team=core", "${ack}resource-group-id: rg-1" ]);

my $in = $t->write('in.yaml', $manifest);
my ($exit, $out, $err) = $t->weirgen('-s', $site, '-o', $t->path('weir.out'), $in);
is($exit, 0, 'weirgen accepts the manifest') or diag $err;
my $weir = $t->start_weir(config => $t->read('weir.out'));

# The body that a client at `from` gets, or '' when it is refused.
sub ask {
    my ($name, %o) = @_;
    my $got = eval {
        my $client = $t->client($port{$name}, local => $o{from} // '127.0.0.1', host => $o{to} // '127.0.0.1');
        my $r = $client->request('GET', $o{path} // '/', host => 'shop.example', headers => [ @{ $o{headers} // [] }, Connection => 'close' ]);
        $client->close;
        $r->{status} == 200 ? $r->{body} : $r->{status};
    } // '';
    chomp $got;
    return $got;
}

sub spread {
    my ($name, $count, %o) = @_;
    my %seen;
    $seen{ ask($name, %o) }++ for 1 .. $count;
    return \%seen;
}
sub who { my ($seen) = @_; return join ' ', sort keys %$seen }
my $pods = 'pod-11 pod-12 pod-13';

# --- access ---

for my $case ([ 'white', 0, 1 ], [ 'black', 1, 0 ], [ 'white-empty', 1, 1 ], [ 'acl-off', 1, 1 ], [ 'cce-white', 0, 1 ], [ 'ranges', 0, 1 ]) {
    my ($name, $one, $two) = @$case;
    is(ask($name) ne '' ? 1 : 0, $one, "$name: 127.0.0.1 " . ($one ? 'may' : 'may not') . ' connect');
    is(ask($name, from => '127.0.0.2') ne '' ? 1 : 0, $two, "$name: 127.0.0.2 " . ($two ? 'may' : 'may not'));
}
isnt(ask('cce-white', from => '127.0.0.3'), '', 'several lists count as one');

# --- balancing and stickiness ---

my %by_source = map { $_ => spread('sch', 3, from => "127.0.0.$_") } 10 .. 29;
is(scalar(grep { keys %$_ == 1 } values %by_source), 20, 'sch: one source, one server');
cmp_ok(scalar(keys %{ { map { %$_ } values %by_source } }), '>', 1, 'and not the same for all');
is(scalar(grep { keys %{ spread('cce-hash', 3, from => "127.0.0.$_") } == 1 } 10 .. 19), 10, 'lb-algorithm SOURCE_IP: likewise');
cmp_ok(scalar(keys %{ spread('tch', 30) }), '>', 1, 'tch: another port, perhaps another server');
my $slow = $t->client($port{'cce-least'});
$slow->send("GET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
my $busy;
$t->wait_until(sub { ($busy) = grep { grep { $_->{path} eq '/slow' } $origin{$_}->requests } keys %origin }, 'a server is busy');
ok(!spread('cce-least', 8)->{$busy}, 'lb-algorithm LEAST_CONNECTIONS: the busy one gets none') or diag $busy;
is(scalar(keys %{ spread($_, 9) }), 1, "$_: one source stays with its server") for qw(persist cce-source client-ip);
my $r = $t->http_get($port{'cce-cookie'}, '/', host => 'shop.example');
my ($cookie) = ($r->{headers}{'set-cookie'} // '') =~ /^(ELBSESSION=[^;]+); Path=\/; Max-Age=900; HttpOnly/;
is(who(spread('cce-cookie', 9, headers => [ Cookie => $cookie ])), $r->{body} =~ s/\n//r, 'HTTP_COOKIE: requests with the cookie stay, for 15 minutes');

# --- timeouts: each is one second, all at once ---

my %waits = map { $_ => $t->client($port{ s/:.*//r }) } qw(late:idle cce-late:idle cce-late:head late:slow cce-late:slow);
$waits{$_}->send("GET / HTTP/1.1\r\nHost: t\r\n\r\n") for grep { /idle/ } keys %waits;
$waits{$_}->send("GET /slow HTTP/1.1\r\nHost: t\r\n\r\n") for grep { /slow/ } keys %waits;
$waits{'cce-late:head'}->send("GET / HTTP/1.1\r\nHost:");
like($waits{$_}->read_until_close, qr{\AHTTP/1\.1 200 (?:(?!HTTP/1).)*\z}s, "$_: a kept connection is closed") for grep { /idle/ } sort keys %waits;
for my $name (grep { /slow/ } sort keys %waits) {
    like($waits{$name}->read_match(qr/\r\n\r\n/), qr{\AHTTP/1\.1 504 }, "$name: a server that takes too long: 504");
}
like($waits{'cce-late:head'}->read_until_close, qr{\AHTTP/1\.1 408 }, 'client_timeout: half a head: 408');

# --- TLS ---

sub https {
    my ($name, $id, $host, @args) = @_;
    return ($t->curl('--cacert', $t->write("ca-$id.pem", $pem{$id}{crt}), '--resolve', "$host:$port{$name}:127.0.0.1", @args, "https://$host:$port{$name}/"))[0];
}
is(https('domains', 'cert-1', 'cert-1.example'), 0, 'domain-extensions: cert-id for other names');
is(https('domains', 'cert-2', 'www.cert-2.example'), 0, 'and its own certificate for its domain');
is(https('strict', 'cert-1', 'cert-1.example', '--tls-max', '1.2'), 0, 'tls-cipher-policy: TLS 1.2');
isnt(https('strict', 'cert-1', 'cert-1.example', '--tlsv1.3'), 0, 'no 1.3 where the policy has none');
is(https($_, 'cert-1', 'cert-1.example', '--tlsv1.3'), 0, "$_: with 1.3") for qw(with-1-3 cce-fs);
isnt(https('cce-fs', 'cert-1', 'cert-1.example', '--tls-max', '1.2', '--ciphers', 'AES128-GCM-SHA256'), 0, 'nothing without forward secrecy');
is(https('cce-tls', 'cert-1', 'cert-1.example'), 0, 'protocol tls: the servers get plain TCP');

# --- instances ---

SKIP: {
    skip 'no IPv6 here', 2 if !$has_ipv6;
    isnt(ask('v6', to => '::1', from => '::1'), '', 'ip-version ipv6');
    is(ask('v6'), '', 'alone');
}
isnt(ask('intranet', to => '127.0.0.6'), '', 'address-type: the intranet address of the instance');
is(ask('intranet', to => '127.0.0.5'), '', 'alone');
like(ask('forced', to => '127.0.0.5'), qr/^pod-/, 'force-override-listeners: it has the listener');
my $seen = spread('group-b', 48, to => '127.0.0.5');
is(who($seen), $pods, 'vgroup-port: one pool for both listeners');
is($weir->stats_pool('rsp-1')->{name}, 'rsp-1', 'named after the group');

# --- where servers come from ---

is(who(spread('labels', 6)), 'node-2', 'backend-label: only nodes with the label, at the node port');
is(who(spread('cordoned', 6)), 'node-1', 'remove-unscheduled-backend: no cordoned node');
for my $name (qw(local adaptive)) {
    my $by = spread($name, 30);
    cmp_ok(abs(($by->{'node-1'} // 0) - 20), '<=', 1, "$name: nodes weigh as much as they have pods") or diag explain $by;
}
is(who(spread('host', 12)), 'host-1 host-2', 'hws-hostNetwork: nodes at the target port');

# --- health ---

$weir->wait_server("default/check:$port{check}", 'pod-11', 'down');
is(who(spread('check', 12)), 'pod-12 pod-13', 'health-check-uri: a server that answers 500 gets nothing');
$weir->wait_server("default/check-404:$port{'check-404'}", 'pod-11', 'up');
pass('health-check-httpcode: 404 is good where it is said so');
$weir->wait_server("default/cce-monitor:$port{'cce-monitor'}", 'node-1', 'down');
is(ask('cce-monitor'), 503, 'monitor_port: nobody listens there');
$weir->wait_server("default/cce-check:$port{'cce-check'}", 'node-1', 'up');
isnt(ask('cce-check'), 503, 'health-check-option: servers that answer 200');

# --- what is only carried ---

is_deeply($weir->stats_pool("default/meta:$port{meta}")->{meta}, { name => 'shop_1', 'tag.team' => 'core', 'resource-group-id' => 'rg-1' }, 'identity and billing are in /stats.json');
like($weir->metrics, qr/^weir_pool_meta\{pool="default\/meta:$port{meta}",key="tag\.team",value="core"\} 1$/m, 'and in /metrics');

is($weir->stop, 0, 'weir ends');
done_testing;
