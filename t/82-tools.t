#!/usr/bin/perl
# Tools of others read what weir tells: Prometheus, promtool, an exporter made for HAProxy; and what they are told is right.

use strict;
use warnings;
use JSON::PP qw(decode_json);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($http, $https, $tcp, $spare) = $t->ports(4);
my $a = $t->origin('a');
my $echo = $t->tcp_echo('echo');
$t->make_cert($t->path('certs'), 'c', ['localhost']);
my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
  - name: default/web:80
    listen: ["127.0.0.1:$http"]
    protocol: http
    routes: [{path: {exact: /none}, pool: "none-\\"quoted\\""}]
    pool: default/web:80
  - {name: tls, listen: ["127.0.0.1:$https"], protocol: https, tls: {certificate: c, policy: tls-1-2}, pool: default/web:80}
  - {name: raw, listen: ["127.0.0.1:$tcp"], protocol: tcp, pool: raw}
pools:
  - name: default/web:80
    servers: [{name: a, address: "@{[ $a->address ]}"}]
  - name: "none-\\"quoted\\""
    servers: [{name: n, address: "127.0.0.1:$spare"}]
  - name: raw
    protocol: tcp
    servers: [{name: e, address: "@{[ $echo->address ]}"}]
CONFIG

$t->http_get($http, '/') for 1 .. 20;
$t->http_get($http, '/none') for 1 .. 3;
$t->raw_exchange($http, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
my $client = $t->client($tcp);
$client->send('x');
$client->read_bytes(1);
$client->close;

subtest 'why requests ended' => sub {
    $t->wait_until(sub { ($weir->stats_listener('raw')->{ends}{ok} // 0) == 1 }, 'the session has ended');
    my $ends = $weir->stats_listener('default/web:80')->{ends};
    is($ends->{ok}, 20, 'those that went well');
    is($ends->{'connect-failed'}, 3, 'those whose server could not be reached') or diag explain $ends;
    is($ends->{'request-malformed'}, 1, 'and one that was malformed') or diag explain $ends;
    like($weir->metrics, qr/^weir_listener_ends_total\{listener="default\/web:80",end="connect-failed"\} 3$/m, 'in /metrics too');
    kill 'KILL', ($weir->workers)[0];
    $t->wait_until(sub { $weir->stats->{worker_deaths} == 1 }, 'a worker died');
    $t->wait_until(sub { ($weir->stats_listener('default/web:80')->{ends}{ok} // 0) == 20 }, 'its counts stay');
};

subtest 'TLS sessions that are resumed' => sub {
    my $session = $t->path('session');
    for my $option ('-sess_out', '-sess_in') {
        my ($exit, $out) = $t->openssl('s_client', '-connect', "127.0.0.1:$https", '-tls1_2', $option, $session,
            { stdin => "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" });
    }
    $t->wait_until(sub { $weir->stats_listener('tls')->{tls_handshakes} == 2 }, 'two handshakes');
    is($weir->stats_listener('tls')->{tls_resumed}, 1, 'one resumed a session');
};

subtest 'processes and workers' => sub {
    my $metrics = $weir->metrics;
    my @workers = $metrics =~ /^weir_worker_requests_total\{worker="(\d+)"\} \d+$/mg;
    is(scalar @workers, 2, 'each worker has its requests');
    like($metrics, qr/^weir_worker_active\{worker="$_"\} \d+$/m, 'and connections') for @workers;
    like($metrics, qr/^weir_process_cpu_seconds_total\{process="worker",worker="$_"\} \d+\.\d{3}$/m, 'processor time') for @workers;
    like($metrics, qr/^weir_process_resident_memory_bytes\{process="control"\} \d{6,}$/m, 'memory of control');
};

subtest 'series that make no sense are not there' => sub {
    my $metrics = $weir->metrics;
    unlike($metrics, qr/^weir_server_status_2xx_total\{pool="raw"/m, 'no statuses of TCP servers');
    unlike($metrics, qr/^weir_server_datagrams_in_total\{/m, 'no datagrams without UDP');
};

sub tool { my ($name) = @_; return (grep { -x } map { "$_/$name" } split /:/, $ENV{PATH})[0] }

subtest 'promtool' => sub {
    my $promtool = tool('promtool') or plan skip_all => 'promtool is not installed';
    $t->write('metrics.txt', $weir->metrics);
    my ($exit, $out, $err) = $t->run('sh', '-c', "'$promtool' check metrics <'@{[ $t->path('metrics.txt') ]}'");
    is("$exit$out$err", '0', 'finds nothing');
};

subtest 'Prometheus' => sub {
    my $prometheus = tool('prometheus') or plan skip_all => 'prometheus is not installed';
    my $port = $t->port;
    my $file = $t->write('prometheus.yml', <<"YAML");
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: weir
    static_configs: [{targets: ["127.0.0.1:@{[ $weir->stats_port ]}"]}]
YAML
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        Weir::Test::die_with_parent();
        open STDOUT, '>', $t->path('prometheus.out') or die $!;
        open STDERR, '>&', \*STDOUT or die $!;
        exec $prometheus, "--config.file=$file", '--storage.tsdb.path=' . $t->path('tsdb'), "--web.listen-address=127.0.0.1:$port"
            or die "$prometheus: $!";
    }
    my $query = sub {
        my ($expression) = @_;
        my $r = eval { $t->http_get($port, '/api/v1/query?query=' . $expression =~ s/([^\w])/sprintf '%%%02x', ord $1/ger) };
        return () if !$r || $r->{status} != 200;
        return map { [ $_->{metric}, $_->{value}[1] ] } @{ decode_json($r->{body})->{data}{result} };
    };
    my @up = $t->wait_until(sub { my @r = $query->('up{job="weir"} == 1'); @r && \@r }, 'Prometheus has scraped', 30);
    ok(scalar @up, 'a real Prometheus scrapes it');
    my ($requests) = $query->('weir_listener_requests_total{listener="default/web:80"}');
    is($requests->[1], 23, 'and has the right number');
    my ($quoted) = $query->('weir_server_connect_errors_total{server="n"}');
    is($quoted->[0]{pool}, 'none-"quoted"', 'and the right labels');
    my ($quantile) = $query->('histogram_quantile(0.5, weir_listener_total_seconds_bucket{listener="default/web:80"})');
    my $p50 = $weir->stats_listener('default/web:80')->{latency}{total}{p50_us} / 1e6;
    cmp_ok($quantile->[1], '>', 0, 'quantiles are made of the histograms');
    kill 'TERM', $pid;
    waitpid $pid, 0;
};

subtest 'an exporter made for HAProxy' => sub {
    my $exporter = tool('prometheus-haproxy-exporter') or plan skip_all => 'prometheus-haproxy-exporter is not installed';
    my $port = $t->port;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        Weir::Test::die_with_parent();
        open STDOUT, '>', $t->path('exporter.out') or die $!;
        open STDERR, '>&', \*STDOUT or die $!;
        exec $exporter, '--haproxy.scrape-uri=http://127.0.0.1:' . $weir->stats_port . '/;csv', "--web.listen-address=127.0.0.1:$port"
            or die "$exporter: $!";
    }
    my $text = $t->wait_until(sub {
        my $r = eval { $t->http_get($port, '/metrics') };
        $r && $r->{status} == 200 && $r->{body};
    }, 'it answers', 30);
    like($text, qr/^haproxy_up 1$/m, 'it can read /;csv');
    like($text, qr/^haproxy_exporter_csv_parse_failures_total 0$/m, 'every line of it');
    like($text, qr/^haproxy_frontend_http_requests_total\{frontend="default\/web:80"\} 23$/m, 'requests of a listener');
    like($text, qr/^haproxy_server_up\{backend="default\/web:80",server="a"\} 1$/m, 'and servers');
    kill 'TERM', $pid;
    waitpid $pid, 0;
};

is($weir->stop, 0, 'weir ends');
done_testing;
