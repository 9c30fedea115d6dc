#!/usr/bin/perl
# Where lines go: logs of listeners, syslog, rotation under load, full disks, slow readers; traces.

use strict;
use warnings;
use IO::Socket::IP;
use IO::Socket::UNIX;
use JSON::PP qw(decode_json);
use Socket qw(SOCK_DGRAM);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($http, $json, $silent, $tcp, $tls, $h2) = $t->ports(6);
my $a = $t->origin('a');
my $echo = $t->tcp_echo('echo');
$t->make_cert($t->path('certs'), 'c', ['localhost']);

sub config {
    my ($log, $listener, $global) = @_;
    my $config = $t->config(<<"CONFIG", global => $global);
listeners:
  - {name: web, listen: ["127.0.0.1:$http"], protocol: http, pool: web}
  - {name: own, listen: ["127.0.0.1:$json"], protocol: http, pool: web$listener}
  - {name: silent, listen: ["127.0.0.1:$silent"], protocol: http, pool: web, log: {access: off}}
  - {name: tls, listen: ["127.0.0.1:$tls"], protocol: https, tls: {certificate: c}, pool: web}
  - {name: raw, listen: ["127.0.0.1:$tcp"], protocol: tcp, pool: raw}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $a->address ]}"}]
  - name: raw
    protocol: tcp
    servers: [{name: e, address: "@{[ $echo->address ]}"}]
CONFIG
    return $config =~ s/^  log: .*$/  log: {$log}/mr;
}

sub lines { return split /\n/, $t->read($_[0]) }

my ($main, $other) = map { $t->path($_) } qw(main.log other.log);
my $custom = qq(, log: {access: "$other", format: custom, template: '\$target \$tls_version \$tls_cipher \$status'});
my $weir = $t->start_weir(config => config(qq(access: "$main", format: json), $custom));

subtest 'each listener has its own' => sub {
    $t->http_get($_, "/to-$_") for $http, $json, $silent;
    $t->curl('-sk', '--http1.1', "https://127.0.0.1:$tls/tls");
    $t->wait_until(sub { lines($main) == 2 && lines($other) == 1 }, 'the lines');
    is_deeply([ lines($other) ], ["/to-$json - - 200"], 'file and form of one listener');
    my %of = map { my $l = decode_json($_); ($l->{listener} => $l) } lines($main);
    is_deeply([ sort keys %of ], [qw(tls web)], 'the others are in the common one, but for one that is off');
    is($of{tls}{tls_version}, 'TLSv1.3', 'the version of TLS');
    like($of{tls}{tls_cipher}, qr/^TLS_\w+$/, 'and the suite');
    ok(!exists $of{web}{tls_version}, 'of TLS alone');
};

subtest 'no line is lost or torn when logs are rotated' => sub {
    my $before = lines($main);
    my $load = $t->load(port => $http, clients => 4, path => '/rotate');
    my @old;
    for my $n (1 .. 15) {
        $load->wait_ok(100);
        rename $main, "$main.$n" or die "rename: $!";
        push @old, "main.log.$n";
        $weir->signal('USR1');
        $t->wait_until(sub { -e $main }, 'the new file');
    }
    my $result = $load->stop;
    is($result->{failed}, 0, 'all requests succeed');
    my $count = sub { my $n = -$before; $n += lines($_) for @old, 'main.log'; return $n };
    $t->wait_until(sub { $count->() >= $result->{ok} }, 'all lines');
    is($count->(), $result->{ok}, 'there is a line for each request');
    my @bad = grep { !eval { decode_json($_) } } map { lines($_) } @old, 'main.log';
    is_deeply(\@bad, [], 'and each is whole');
};

subtest 'syslog' => sub {
    my $path = $t->path('syslog');
    my $server = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) or die "$path: $!";
    chmod 0666, $path;
    my $read = sub {
        my ($re) = @_;
        my $got;
        while (1) {
            $t->wait_until(sub { my $r = ''; vec($r, fileno $server, 1) = 1; select $r, undef, undef, 0.05 }, "$re");
            $server->recv($got, 65536);
            return $got if $got =~ $re;
        }
    };
    my $common = qr/1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ weir \d+/;
    $weir->reload(config(qq(access: syslog, error: syslog, syslog: {server: "$path", facility: local3}), ''));
    like($read->(qr/ error /), qr/^<15[0-9]>$common error - (?:master|control|worker)\S*: /, 'the error log, as RFC 5424 says');
    $t->http_get($http, '/sys"log');
    my $line = $read->(qr/ access /);
    like($line, qr/^<158>$common access - \{/, 'the access log');
    is(decode_json($line =~ s/^.*? - //r)->{target}, '/sys"log', 'is the line as elsewhere');
    unlink $path;
    undef $server;
    is($t->http_get($http, '/')->{status}, 200, 'without a server traffic goes on');
    $server = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) or die "$path: $!";
    chmod 0666, $path;
    $t->wait_until(sub { $t->http_get($http, '/back'); my $r = ''; vec($r, fileno $server, 1) = 1; select $r, undef, undef, 0.1 },
        'lines come again when it is back');
    undef $server;

    $server = IO::Socket::IP->new(Type => SOCK_DGRAM, Proto => 'udp', LocalAddr => '127.0.0.1', LocalPort => 0) or die $!;
    $weir->reload(config('access: syslog, format: combined, syslog: {server: "127.0.0.1:' . $server->sockport . '"}', ''));
    $t->http_get($http, '/by-udp');
    like($read->(qr/by-udp/), qr/^<30>$common access - 127\.0\.0\.1 - - \[.*"GET \/by-udp HTTP\/1\.1" 200 /, 'by UDP');
};

subtest 'a disk that is full' => sub {
    $weir->reload(config('access: /dev/full', ''));
    my $lost = $weir->stats->{log_lines_lost};
    is($t->http_get($http, '/')->{status}, 200, 'loses lines, not traffic') for 1 .. 20;
    $t->wait_until(sub { $weir->stats->{log_lines_lost} == $lost + 20 }, 'it counts them');
    like($weir->metrics, qr/^weir_log_lines_lost_total @{[ $lost + 20 ]}$/m, 'they are counted');
    like($weir->log, qr/log \/dev\/full: lines lost: \d+/, 'and told');
};

subtest 'traces' => sub {
    my $spans = $t->path('spans.log');
    $weir->reload(config(qq(access: "$main.trace"), '', qq(trace: {propagate: on, spans: "$spans", sample: 4})));
    my ($trace, $parent) = ('4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7');
    my $sent = sub {
        my ($value, @more) = @_;
        $t->http_get($http, '/traced?x=1', headers => [ (defined $value ? (traceparent => $value) : ()), tracestate => 'k=v', @more ]);
        my $h = $a->last_request->{head};
        return ($h =~ /^traceparent: (.*?)\r$/mi, $h =~ /^tracestate: (.*?)\r$/mi);
    };
    my ($got, $state) = $sent->("00-$trace-$parent-01");
    like($got, qr/^00-$trace-(?!$parent)[0-9a-f]{16}-01$/, 'a trace goes on, with a span of our own');
    is($state, 'k=v', 'and its state');
    my ($span) = $got =~ /-([0-9a-f]{16})-/;
    $t->wait_until(sub { lines($spans) == 1 }, 'a span');
    my $s = decode_json((lines($spans))[0])->{resourceSpans}[0]{scopeSpans}[0]{spans}[0];
    is_deeply([ @{$s}{qw(traceId spanId parentSpanId name kind)} ], [ $trace, $span, $parent, 'GET', 2 ], 'it says where it belongs');
    my %attribute = map { ($_->{key} => values %{ $_->{value} }) } @{ $s->{attributes} };
    is($attribute{'http.response.status_code'}, 200, 'and what came of it');
    is($attribute{'url.path'}, '/traced', 'of what');
    is($attribute{'url.query'}, 'x=1', 'with the query');
    ok($s->{endTimeUnixNano} >= $s->{startTimeUnixNano}, 'and when');
    my ($line) = $t->wait_until(sub { my @l = lines("$main.trace"); @l && $l[0] }, 'the line');
    my $entry = decode_json($line);
    is_deeply([ @{$entry}{qw(trace_id id)} ], [ $trace, $span ], 'the access log names trace and span');
    ($got) = $sent->("00-$trace-$parent-00");
    like($got, qr/^00-$trace-[0-9a-f]{16}-00$/, 'what is not sampled stays so');
    for my $bad ("00-$trace-$parent", "ff-$trace-$parent-01", '00-' . '0' x 32 . "-$parent-01", "00-$trace-" . '0' x 16 . '-01',
        "00-\U$trace\E-$parent-01", "00-$trace-$parent-01-x", 'nonsense') {
        ($got, $state) = $sent->($bad);
        like($got, qr/^00-(?!$trace)[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/, "$bad: a new trace");
        is($state, undef, 'without the state of another');
    }
    ($got) = $sent->("cc-$trace-$parent-01-later");
    like($got, qr/^00-$trace-/, 'a later version is read as far as it is known');
    ($got) = $sent->("00-$trace-$parent-01", traceparent => "00-$trace-$parent-01");
    unlike($got, qr/$trace/, 'two are none');
    my $had = lines($spans);
    $t->http_get($http, '/new') for 1 .. 40;
    $t->http_get($http, '/last', headers => [ traceparent => "00-$trace-$parent-01" ]);
    # Two workers count for themselves.
    $t->wait_until(sub { $t->read('spans.log') =~ m{"/last"} && lines($spans) >= $had + 9 }, 'the last span');
    my $new = lines($spans) - $had - 1;
    ok($new >= 8 && $new <= 12, 'of new traces one in four is sampled') or diag $new;
    my @bad = grep { !eval { decode_json($_) } } lines($spans);
    is_deeply(\@bad, [], 'each line is JSON');
};

is($weir->stop, 0, 'weir ends');

subtest 'a pipe that nobody reads' => sub {
    my $config = $t->write('pipe.yaml', config('access: stdout', ''));
    pipe my $read, my $write or die $!;
    my $pid = fork // die $!;
    if ($pid == 0) {
        Weir::Test::die_with_parent();
        open STDOUT, '>&', $write or die $!;
        open STDERR, '>', $t->path('pipe.err') or die $!;
        exec $t->program('weir'), '-c', $config or die $!;
    }
    close $write;
    $t->wait_until(sub { eval { $t->http_get($http, '/')->{status} == 200 } }, 'it serves');
    is($t->http_get($http, '/')->{status}, 200, 'it serves');
    my $load = $t->load(port => $http, clients => 4, path => '/' . 'x' x 900);
    $load->wait_ok(400);
    is($load->stop->{failed}, 0, 'does not stop traffic');
    my $text = '';
    $read->blocking(0);
    kill 'QUIT', $pid;
    $t->wait_until(sub {
        while (sysread $read, my $more, 65536) { $text .= $more }
        return waitpid($pid, 1) == $pid;
    }, 'it ends');
    while (sysread $read, my $more, 65536) { $text .= $more }
    my @bad = grep { !eval { decode_json($_) } } split /\n/, $text;
    is_deeply(\@bad, [], 'and tears no line');
};

done_testing;
