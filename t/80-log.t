#!/usr/bin/perl
# The access log in a form of one's own, and of many requests a few.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($http, $tcp) = $t->ports(2);
my $a = $t->origin('a');
my $echo = $t->tcp_echo('echo');

sub config {
    my ($log) = @_;
    my $config = $t->config(<<"CONFIG", workers => 1);
listeners:
  - {name: web, listen: ["127.0.0.1:$http"], protocol: http, pool: web}
  - {name: raw, listen: ["127.0.0.1:$tcp"], protocol: tcp, pool: raw}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $a->address ]}"}]
  - name: raw
    protocol: tcp
    servers: [{name: e, address: "@{[ $echo->address ]}"}]
CONFIG
    my $access = $t->path('access.log');
    return $config =~ s/^  log: .*$/  log: {access: "$access", $log}/mr;
}

sub lines { return split /\n/, $t->read('access.log') }

my $template = q(template: '$client_ip|$method $target|$host|$protocol|$status|$pool/$server|$bytes_in $bytes_out|$retries|)
    . q(${connect_ms} $first_byte_ms $total_ms|$end|${header:X-Test}|${header:absent}|$$$listener');
my $weir = $t->start_weir(config => config("format: custom, $template"));

subtest 'custom' => sub {
    $t->http_get($http, '/x?y=1', headers => [ 'X-Test' => 'va"l' . "\xe4" ]);
    my ($line) = $t->wait_until(sub { my @l = lines(); return @l == 1 && $l[0] }, 'a line');
    like($line, qr{^127\.0\.0\.1\|GET /x\?y=1\|127\.0\.0\.1(?::$http)?\|HTTP/1\.1\|200\|web/a\|\d+ \d+\|0\|\d+\.\d{3} \d+\.\d{3} \d+\.\d{3}\|ok\|va\\x22l\\xe4\|-\|\$web$},
        'has what the template says');
    my $client = $t->client($tcp);
    $client->send('x');
    is($client->read_bytes(1), 'x', 'a session of TCP');
    $client->close;
    ($line) = $t->wait_until(sub { my @l = lines(); return @l == 2 && $l[1] }, 'its line');
    like($line, qr{^127\.0\.0\.1\|- -\|-\|-\|-\|raw/e\|1 1\|0\|}, 'says - for what it has not');
    $t->http_get($http, '/' . 'z' x 8000, headers => [ 'X-Test' => "\xff" x 8000 ]) for 1 .. 3;
    $t->wait_until(sub { lines() == 5 }, 'long ones are there');
    is(scalar(grep { length > 20000 } lines()), 0, 'and cut');
};

subtest 'hostile bytes' => sub {
    # A route's name and the client's bytes, none of which may end a value or a line.
    my $routes = q(routes: [{name: 'quo"te\\back\x01ä', path: {prefix: /r}, pool: web}], pool: web});
    $weir->reload(config('format: json') =~ s/pool: web\}/$routes/r);
    $t->write('access.log', '');
    $weir->signal('USR1');
    $t->raw_exchange($http, "GET /r/\"\\<\xff\xc3\x28\x7f> HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    $t->raw_exchange($http, "GET /r/%22%0d%0a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    $t->raw_exchange($http, "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    my @lines = $t->wait_until(sub { my @l = lines(); return @l >= 2 && $l[-1] =~ m{"target":"/"} && \@l }, 'lines')->@*;
    my @entries = map { JSON::PP->new->utf8->decode($_) } @lines;
    is($entries[-2]{target}, '/r/%22%0d%0a', 'a target');
    is($entries[-2]{route}, 'quo"te\\back\x01' . "\xc3\xa4", 'the name of a route as it is written');
    ok(!exists $entries[-1]{route}, 'a request without a route has none');
    is(scalar(grep { /[^\x20-\x7e]/ } map { s/ä//gr } @lines), 0, 'no control characters, no bytes that are no text');

    $weir->reload(config(q(format: custom, template: '$route|$target')) =~ s/pool: web\}/$routes/r);
    $t->write('access.log', '');
    $weir->signal('USR1');
    $t->http_get($http, '/r');
    $t->http_get($http, '/');
    my ($first, $second) = $t->wait_until(sub { my @l = lines(); return @l == 2 && \@l }, 'two lines')->@*;
    like($first, qr{^quo\\x22te\\x5cback\\x5cx01\\xc3\\xa4\|/r$}, 'escaped in a form of one\'s own');
    is($second, '-|/', 'and - for none');
};

subtest 'a sample' => sub {
    $weir->reload(config('format: combined, sample: 10'));
    $t->write('access.log', '');
    $weir->signal('USR1');
    $t->http_get($http, '/') for 1 .. 40;
    $t->http_get($http, '/status/500') for 1 .. 3;
    $t->wait_until(sub { (grep { / 500 / } lines()) == 3 }, 'each failure is logged');
    is(scalar(grep { / 200 / } lines()), 4, 'of good ones one in ten');
};

subtest 'what makes no sense' => sub {
    my @cases = (
        [ 'format: custom', qr/log: format custom needs a template/ ],
        [ q(format: json, template: '$status'), qr/template.*with format custom/ ],
        [ q(format: custom, template: '$statsu'), qr/unknown variable "\$statsu"; did you mean "\$status"\?/ ],
        [ q(format: custom, template: '${status'), qr/"\$\{" without its "\}"/ ],
        [ q(format: custom, template: 'a $ b'), qr/"\$" without the name of a variable/ ],
        [ q(format: custom, template: '${header:}'), qr/unknown variable "\$header:"/ ],
        [ 'format: json, sample: 0', qr/sample: .*1 to 1000000/ ],
    );
    for my $case (@cases) {
        my $file = $t->write('bad.yaml', config($case->[0]));
        my ($exit, $out, $err) = $t->weir('-t', '-c', $file);
        is($exit, 1, "$case->[0]: refused");
        like($err, qr/bad\.yaml:\d+:\d+: error: /, 'with its place');
        like($err, $case->[1], 'and why');
    }
    my $file = $t->write('good.yaml', config("format: custom, $template"));
    my ($exit, $dump) = $t->weir('-T', '-c', $file);
    is($exit, 0, 'the dump');
    my ($again, $second) = $t->weir('-T', '-c', $t->write('dump.yaml', $dump));
    is($second, $dump, 'reads back to the same');
};

is($weir->stop, 0, 'weir ends');
done_testing;
