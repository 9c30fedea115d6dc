#!/usr/bin/perl
# CCE Ingress: what rules look at beside host and path, what they do, and in which order they are tried; with traffic.

use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::Manifest;

my $t = Weir::Test->new;
my $elb = 'kubernetes.io/elb.';
my ($port_a, $port_b, $port_c, $offset) = ($t->ports(3), free_offset($t));
my $http = 80 + $offset;
my ($global) = $t->config('', workers => 2) =~ /^global:\n(.*)/ms;
my $site = $t->write('site.yaml', "load_balancers: {default: {addresses: [127.0.0.1]}, lb-1: {addresses: [127.0.0.1]}}\n"
    . "pools: {pool-9: [\"127.0.1.13:$port_c\"]}\nglobal:\n$global");
my $g = Weir::Test::Manifest->new($t, '-s', $site, "--port-offset=$offset");
my $id = qq{${elb}id: "lb-1"};
my $two = backend('a', '127.0.1.11', $port_a) . backend('b', '127.0.1.12', $port_b);
my $simple = [ [ '', path('/', 'a') ] ];

sub conditions { my ($service, @list) = @_; return "${elb}conditions.$service: '[" . join(',', @list) . "]'" }
sub actions { my ($service, @list) = @_; return "${elb}actions.$service: '[" . join(',', @list) . "]'" }

# --- conditions: what is refused ---

sub refuses_conditions {
    my ($what, $json, $like) = @_;
    return $g->refuses("conditions: $what", ingress('i', [ $id, "${elb}conditions.a: '$json'" ], $simple) . $two, qr/in:\d+:\d+: error: \Q$elb\Econditions\.a: $like/);
}
refuses_conditions('no list', '{"type":"Method"}', qr/a mapping; allowed: a JSON list of conditions/);
refuses_conditions('no JSON', '[{', qr/.*ends too early|.*double quotes/);
refuses_conditions('unknown type', '[{"type":"Weather"}]', qr/type is "Weather"; allowed: Method, Header, Cookie, QueryString, SourceIp/);
refuses_conditions('no type', '[{"methodConfig":{"values":["GET"]}}]', qr/type is missing/);
refuses_conditions('no configuration', '[{"type":"Method"}]', qr/type "Method" needs methodConfig/);
refuses_conditions('a method', '[{"type":"Method","methodConfig":{"values":["get"]}}]', qr/"get" is not a value; allowed: GET, POST/);
refuses_conditions('no values', '[{"type":"Header","headerConfig":{"key":"a","values":[]}}]', qr/values must be a list; allowed: 1 to 10 texts/);
refuses_conditions('no key', '[{"type":"QueryString","queryStringConfig":{"values":["a"]}}]', qr/key is not the name of a parameter/);
refuses_conditions('a cookie', '[{"type":"Cookie","cookieConfig":{"values":[{"key":"a b","value":"c"}]}}]', qr/key is not the name of a cookie/);
refuses_conditions('a cookie without value', '[{"type":"Cookie","cookieConfig":{"values":[{"key":"a"}]}}]', qr/nothing is not a value/);
refuses_conditions('a network', '[{"type":"SourceIp","sourceIpConfig":{"values":["10.0.0.1/8"]}}]', qr/"10\.0\.0\.1\/8" is not a value; allowed: networks/);
refuses_conditions('too many values',
    '[{"type":"Header","headerConfig":{"key":"a","values":["1","2","3","4","5","6"]}},{"type":"Header","headerConfig":{"key":"b","values":["1","2","3","4","5"]}}]',
    qr/11 values; allowed: up to 10 in all/);
$g->accepts('conditions: none', ingress('i', [ $id, conditions('a') ], $simple) . $two, qr/path: \{prefix: \/\}, pool: "default\/a:80"\}/);
like($g->accepts('conditions of a Service that is not there', ingress('i', [ $id, conditions('z') ], $simple) . $two, qr/./),
    qr/conditions\.z: no effect: no rule has a Service of that name/, 'have no effect');

# --- actions: what is refused ---

sub refuses_actions {
    my ($what, $json, $like) = @_;
    return $g->refuses("actions: $what", ingress('i', [ $id, "${elb}actions.a: '$json'" ], $simple) . $two, qr/in:\d+:\d+: error: \Q$elb\Eactions\.a: $like/);
}
my $service_b = '{"type":"service","serviceName":"b","servicePort":80,"weight":1}';
refuses_actions('no list', '"x"', qr/a scalar; allowed|.*allowed: a JSON list of actions/);
refuses_actions('unknown type', '[{"type":"Dance"}]', qr/type "Dance" is not allowed; allowed: FixedResponse, TrafficLimit, ForwardPool/);
refuses_actions('no configuration', '[{"type":"FixedResponse"}]', qr/fixedResponseConfig is missing/);
refuses_actions('a status', '[{"type":"FixedResponse","fixedResponseConfig":{"statusCode":"302"}}]', qr/statusCode "302" is not allowed; allowed: a status of 200 to 299 or 400 to 599/);
refuses_actions('a media type', '[{"type":"FixedResponse","fixedResponseConfig":{"statusCode":"200","contentType":"image/png"}}]', qr/contentType "image\/png"/);
refuses_actions('a long body', '[{"type":"FixedResponse","fixedResponseConfig":{"statusCode":"200","messageBody":"' . 'x' x 1025 . '"}}]', qr/messageBody .* allowed: 0 to 1024 characters/);
refuses_actions('a body with 204', '[{"type":"FixedResponse","fixedResponseConfig":{"statusCode":"204","messageBody":"x"}}]', qr/messageBody .* none with this statusCode/);
refuses_actions('a rate', '[{"type":"TrafficLimit","trafficLimitConfig":{"QPS":100001}}]', qr/QPS "100001" is not allowed; allowed: 0 to 100000/);
refuses_actions('a source that may more than all', '[{"type":"TrafficLimit","trafficLimitConfig":{"QPS":"5","perSourceIpQps":"5"}}]', qr/perSourceIpQps "5" .* less than QPS/);
refuses_actions('two limits', '[{"type":"TrafficLimit","trafficLimitConfig":{"QPS":5}},{"type":"TrafficLimit","trafficLimitConfig":{"QPS":6}}]', qr/.*allowed: one TrafficLimit/);
refuses_actions('no pools', '[{"type":"ForwardPool","forwardConfig":[]}]', qr/forwardConfig/);
refuses_actions('an unknown pool', '[{"type":"ForwardPool","forwardConfig":[{"type":"pool","poolID":"x","weight":1}]}]', qr/poolID "x" is not allowed; allowed: an ID of the site file's pools/);
refuses_actions('an unknown Service', '[{"type":"ForwardPool","forwardConfig":[{"type":"service","serviceName":"x","servicePort":80,"weight":1}]}]', qr/serviceName: Service default\/x is not in the input/);
refuses_actions('all weights 0', '[{"type":"ForwardPool","forwardConfig":[' . $service_b =~ s/"weight":1/"weight":0/r . ']}]', qr/weight .*at least one above 0/);
refuses_actions('a pool twice', "[{\"type\":\"ForwardPool\",\"forwardConfig\":[$service_b,$service_b]}]", qr/forwardConfig a mapping is not allowed; allowed: each pool once/);
$g->refuses('actions and a redirect', ingress('i', [ $id, qq{${elb}redirect-url: "http://x.example"}, actions('a', '{"type":"FixedResponse","fixedResponseConfig":{"statusCode":"200"}}') ], $simple) . $two,
    qr/actions\.a: cannot be set with .*redirect-url/);

# --- order ---

$g->refuses('one order for two Ingresses', ingress('i', [ $id, qq{${elb}ingress-order: "5"} ], $simple) . ingress('k', [ $id, qq{${elb}ingress-order: "5"} ], [ [ 'k.example', path('/', 'b') ] ]) . $two,
    qr/in:\d+:\d+: error: \Q$elb\Eingress-order: "5" is the order of Ingress default\/i and Ingress default\/k, which share listener 80\/TCP of lb-1 \(\S+:7 and \S+:\d+\); allowed: a number of its own for each/);
$g->accepts('on two load balancers', ingress('i', [ $id, qq{${elb}ingress-order: "5"} ], $simple) . ingress('k', [ qq{${elb}id: "lb-2"}, qq{${elb}port: "443"}, qq{${elb}ingress-order: "5"} ], $simple) . $two,
    qr/in_order: on.*in_order: on/s);
my $canary = ingress('aaa', [ $id, qq{${elb}canary: "true"}, qq{${elb}canary-by-header: "X-C"}, qq(${elb}canary-by-header-value: '{"values":["y"]}') ], [ [ '', path('/', 'b') ] ]);
$g->accepts('a canary comes before its rule', ingress('i', [ $id, qq{${elb}rule-priority-enabled: "true"} ], [ [ '', path('/x', 'a'), path('/', 'a') ] ]) . $canary . $two,
    qr/prefix: \/x\}, in_order: on, pool.*\n.*prefix: \/\}, in_order: on, when: .*default\/b:80"\}\n.*prefix: \/\}, in_order: on, pool: "default\/a:80"\}\n/);
my ($exit, $out, $err) = $g->gen(ingress('i', [ $id, conditions('a', '{"type":"Method","methodConfig":{"values":["GET"]}}'),
    actions('a', '{"type":"TrafficLimit","trafficLimitConfig":{"QPS":5}}') ], $simple) . $two, '--explain');
like($out, qr/paths below "\/", with 1 conditions, at most 5 requests a second \(0 of each source; 0: any number\): pool default\/a:80/, '--explain has it all');
like($out, qr/conditions\.a: .*: enforced/, 'and the annotation');

# --- traffic ---

my %origin = map { $_->[0] => $t->origin($_->[0], host => $_->[1], port => $_->[2]) }
    [ 'pod-a', '127.0.1.11', $port_a ], [ 'pod-b', '127.0.1.12', $port_b ], [ 'outside', '127.0.1.13', $port_c ];
my $all = conditions('a', '{"type":"Method","methodConfig":{"values":["GET","POST"]}}', '{"type":"Header","headerConfig":{"key":"X-Stage","values":["beta","al?ha*"]}}',
    '{"type":"Cookie","cookieConfig":{"values":[{"key":"c1","value":"v1"},{"key":"c2","value":"v*"},{"key":"c1","value":"w"}]}}',
    '{"type":"QueryString","queryStringConfig":{"key":"q","values":["1"]}}', '{"type":"SourceIp","sourceIpConfig":{"values":["127.0.0.0/8"]}}');
my $forward = actions('forward', '{"type":"ForwardPool","forwardConfig":[{"serviceName":"b","servicePort":80,"weight":50,"type":"service"},{"poolID":"pool-9","weight":50,"type":"pool"}]}');
my $manifest = ingress('conditions', [ $id, $all ], [ [ 'all.example', path('/', 'a') ] ])
    . ingress('source', [ $id, conditions('a', '{"type":"SourceIp","sourceIpConfig":{"values":["192.0.2.0/24"]}}') ], [ [ 'source.example', path('/', 'a') ] ])
    . ingress('fixed', [ $id, actions('a', '{"type":"FixedResponse","fixedResponseConfig":{"contentType":"application/json","statusCode":"503","messageBody":"{\"closed\": \"for $1\"}"}}') ], [ [ 'fixed.example', path('/', 'a') ] ])
    . ingress('limit', [ $id, actions('a', '{"type":"TrafficLimit","trafficLimitConfig":{"QPS":"4","perSourceIpQps":"2","burst":"2"}}') ], [ [ 'limit.example', path('/', 'a') ] ])
    . ingress('forward', [ $id, $forward ], [ [ 'forward.example', path('/', 'forward:use-annotation') ] ])
    . ingress('stable', [$id], [ [ 'canary.example', path('/', 'a') ] ])
    . ingress('canary', [ $id, qq{${elb}canary: "true"}, qq{${elb}canary-weight: "50"}, qq{${elb}session-affinity-mode: "HTTP_COOKIE"} ], [ [ 'canary.example', path('/', 'b') ] ])
    . ingress('plain', [$id], [ [ 'order.example', path('/one/two', 'a') ] ])
    . ingress('second', [ $id, qq{${elb}ingress-order: "20"} ], [ [ 'order.example', path('/one', 'a'), path('/three', 'a'), path('/three/four', 'b') ] ])
    . ingress('first', [ $id, qq{${elb}ingress-order: "10"} ], [ [ 'order.example', path('/one', 'b') ] ])
    . ingress('priority', [ $id, qq{${elb}rule-priority-enabled: "true"} ], [ [ 'priority.example', path('/', 'a'), path('/deep', 'b') ] ]) . $two;
($exit, $out, $err) = $g->gen($manifest);
is($exit, 0, 'weirgen accepts the manifest') or diag $err;
like($err, qr/\A(?:in:.*warning: host "order\.example" and path "\/one" are in Ingress default\/first .*\n)?\z/, 'and tells of the rule that is never met');
my $weir = $t->start_weir(config => $out);

sub get {
    my ($host, $path, @headers) = @_;
    my $r = $t->http_get($http, $path, host => $host, headers => \@headers);
    return $r->{status} == 200 ? $r->{body} =~ s/\n\z//r : $r->{status};
}
my @good = ('X-Stage' => 'beta', Cookie => 'x=y; c1=v1');
is(get('all.example', '/?q=1', @good), 'pod-a', 'conditions: all hold');
is(get('all.example', '/?q=1', 'X-Stage' => 'alphabet', Cookie => 'c2=violin'), 'pod-a', 'other values, another cookie');
is(get('all.example', '/?q=1', 'X-Stage' => 'beta', Cookie => 'c1=w'), 'pod-a', 'another value of the cookie');
is(get('all.example', '/?q=2', @good), 404, 'another query');
is(get('all.example', '/?q=1', 'X-Stage' => 'gamma', Cookie => 'c1=v1'), 404, 'another field');
is(get('all.example', '/?q=1', 'X-Stage' => 'beta', Cookie => 'c3=v1'), 404, 'another cookie');
is($t->http_get($http, '/?q=1', host => 'all.example', method => 'PUT', headers => \@good)->{status}, 404, 'another method');
is(get('source.example', '/'), 404, 'another source');

my $r = $t->http_get($http, '/any', host => 'fixed.example');
is("$r->{status} $r->{headers}{'content-type'} $r->{body}", '503 application/json {"closed": "for $1"}', 'FixedResponse');
is(scalar(grep { $_->{path} eq '/any' } $origin{'pod-a'}->requests), 0, 'which no server is asked for');

my %seen;
$seen{ get('limit.example', '/') }++ for 1 .. 40;
is(join(' ', sort keys %seen), '503 pod-a', 'TrafficLimit: some pass, the others get 503');

%seen = ();
$seen{ get('forward.example', '/') }++ for 1 .. 40;
is(join(' ', sort keys %seen), 'outside pod-b', 'ForwardPool: a Service and a pool of the site file share the requests');

%seen = ();
for (1 .. 20) {
    $r = $t->http_get($http, '/', host => 'canary.example');
    my ($cookie) = ($r->{headers}{'set-cookie'} // '') =~ /^(ELBSESSION=[^;]+); Path=\/; Max-Age=86400/;
    chomp(my $first = $r->{body});
    $seen{$first}++;
    my @next = map { get('canary.example', '/', Cookie => $cookie) } 1 .. 4;
    $seen{"left $first"}++ if grep { $_ ne $first } @next;
}
is(join(' ', sort keys %seen), 'pod-a pod-b', 'canary-weight with HTTP_COOKIE: each client stays on its side');

is(get('order.example', '/one/two'), 'pod-b', 'ingress-order: the smaller number first, before longer paths');
is(get('order.example', '/three/four'), 'pod-a', 'rules of one Ingress in their order');
is(get('priority.example', '/deep'), 'pod-a', 'rule-priority-enabled: the first that fits');

is($weir->stop, 0, 'weir ends');
done_testing;
