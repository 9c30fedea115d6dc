#!/usr/bin/perl
# What operators ask for: /stats.csv, weirctl errors, sticky, top, drain --wait.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($http, $tcp, $evil) = $t->ports(3);
my $a = $t->origin('a');
my $echo = $t->tcp_echo('echo');
my $bad = $t->tcp_server('bad', sub {
    my ($client) = @_;
    $client->fill until $client->{in} =~ /\r\n\r\n/;
    $client->send("HTTP/1.1 200 OK\r\nX\x1b[31m : y\r\nContent-Length: 0\r\n\r\n");
});
my $closed = $t->port;

my $config = $t->config(<<"CONFIG", workers => 2);
listeners:
  - {name: "web,\\"quoted\\"", listen: ["127.0.0.1:$http"], protocol: http, pool: web}
  - {name: raw, listen: ["127.0.0.1:$tcp"], protocol: tcp, pool: raw}
  - {name: evil, listen: ["127.0.0.1:$evil"], protocol: http, pool: evil}
pools:
  - name: web
    sticky: {by: cookie_insert, name: SRV, timeout: 10m}
    health: {type: tcp, interval: 100ms, timeout: 5s, rise: 1, fall: 1}
    servers:
      - {name: a, address: "@{[ $a->address ]}", weight: 7}
      - {name: gone, address: "127.0.0.1:$closed"}
  - name: raw
    protocol: tcp
    sticky: {by: source_ip, timeout: 5m}
    servers: [{name: echo, address: "@{[ $echo->address ]}"}, {name: second, address: "@{[ $echo->address ]}"}]
  - name: evil
    servers: [{name: bad, address: "@{[ $bad->address ]}"}]
CONFIG
my $weir = $t->start_weir(config => $config);
my @ctl = ('-S', $weir->control_socket);
$weir->wait_server('web', 'gone', 'down');
$weir->wait_server('web', 'a', 'up');

sub ctl {
    my ($exit, $out, $err) = $t->weirctl(@ctl, '-o', 'json', @_);
    die "weirctl @_: status $exit: $err" if $exit;
    return JSON::PP->new->utf8->decode($out);
}

# As programs do that were made for HAProxy: by the names in the first line.
sub read_csv {
    my ($text) = @_;
    my ($head, @lines) = split /\n/, $text;
    $head =~ s/^# // or die "no head: $head";
    my @names = split /,/, $head;
    my @rows;
    for my $line (@lines) {
        my @values;
        my $rest = $line;
        while ($rest =~ s/^(?:"((?:[^"]|"")*)"|([^,]*)),//) {
            my ($quoted, $plain) = ($1, $2);
            push @values, defined $quoted ? $quoted =~ s/""/"/gr : $plain;
        }
        die "rest of line '$line': '$rest'" if $rest ne '';
        push @rows, { map { $names[$_] => $values[$_] } 0 .. $#names };
        $rows[-1]{columns} = @values;
    }
    return (\@names, @rows);
}

subtest '/stats.csv' => sub {
    is($t->http_get($http, '/bytes/500')->{status}, 200, 'a request') for 1 .. 3;
    is($t->http_get($http, '/status/404')->{status}, 404, 'one not found');
    $t->wait_until(sub { $weir->stats_pool('web')->{status_4xx} == 1 }, 'it is counted');
    my $r = $weir->stats_get('/stats.csv');
    is($r->{status}, 200, 'is there');
    like($r->{headers}{'content-type'}, qr{^text/csv}, 'as CSV');
    my ($names, @rows) = read_csv($r->{body});
    is(scalar @$names, 96, 'columns');
    is("@$names[0 .. 7]", 'pxname svname qcur qmax scur smax slim stot', 'in their order');
    is("@$names[17, 18, 32, 36, 43, 48, 62, 73 .. 76]",
        'status weight type check_status hrsp_5xx req_tot agent_status addr cookie mode algo', 'the later ones too');
    is_deeply([ grep { $_->{columns} != 96 } @rows ], [], 'each line has them all');
    is_deeply([ map { "$_->{pxname} $_->{svname} $_->{type}" } @rows ],
        [ 'web,"quoted" FRONTEND 0', 'raw FRONTEND 0', 'evil FRONTEND 0', 'web a 2', 'web gone 2', 'web BACKEND 1',
            'raw echo 2', 'raw second 2', 'raw BACKEND 1', 'evil bad 2', 'evil BACKEND 1' ], 'listeners, then pools');
    my ($front, undef, undef, $up, $down, $back, $tcp_server) = @rows;
    is("$front->{status} $front->{req_tot} $front->{hrsp_2xx} $front->{hrsp_4xx} $front->{mode}", 'OPEN 4 3 1 http', 'FRONTEND');
    is("$up->{status} $up->{weight} $up->{hrsp_2xx} $up->{addr} $up->{check_status}",
        "UP 7 3 @{[ $a->address ]} L4OK", 'a server');
    is("$down->{status} $down->{check_status} $down->{chkdown}", 'DOWN L4CON 1', 'one that is down');
    ok($down->{chkfail} > 0, 'with failed checks');
    is("$back->{status} $back->{act} $back->{stot} $back->{algo} $back->{cookie}", 'UP 1 4 weighted_round_robin SRV', 'BACKEND');
    ok($back->{bout} > 1500, 'bytes');
    is("$tcp_server->{status} $tcp_server->{mode} $tcp_server->{hrsp_2xx}", 'no check tcp ', 'a server without checks');
    is($weir->stats_get('/;csv')->{body} =~ s/,\d+//gr, $weir->stats_get('/stats.csv')->{body} =~ s/,\d+//gr,
        'also where tools look for it');
};

subtest 'errors' => sub {
    my ($exit, $out) = $t->weirctl(@ctl, 'errors');
    is("$exit $out", "0 no malformed messages\n", 'none yet');
    $t->raw_exchange($http, "GET /x HTTP/1.1\r\nHost : h\r\n\r\n");
    my $list = $t->wait_until(sub { my $l = ctl('errors'); return @$l == 1 && $l }, 'it is kept');
    my $e = $list->[0];
    is("$e->{kind} $e->{listener}", 'request web,"quoted"', 'a request');
    like($e->{client}, qr/^127\.0\.0\.1:\d+$/, 'from where');
    is($e->{server}, undef, 'which no server saw');
    is($e->{position}, 21, 'where parsing stopped');
    is("$e->{before}|$e->{after}", 'GET /x HTTP/1.1\r\nHost| : h\r\n\r\n', 'what was there');
    ok(abs($e->{time_ms} / 1000 - time) < 60, 'when');
    ($exit, $out) = $t->weirctl(@ctl, 'errors');
    like($out, qr/^    Host : h\\r\\n\n        \^$/m, 'as a table, with a mark below') or diag $out;

    is($t->http_get($evil, '/')->{status}, 502, 'a malformed response');
    $list = $t->wait_until(sub { my $l = ctl('errors'); return @$l == 2 && $l }, 'it is kept');
    $e = $list->[0];
    is("$e->{kind} $e->{pool} $e->{server}", 'response evil bad', 'the latest comes first');
    is("$e->{before}$e->{after}", 'HTTP/1.1 200 OK\r\nX\x1b[31m : y\r\nContent-Length: 0\r\n\r\n', 'control characters are harmless');

    $t->raw_exchange($http, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    $t->wait_until(sub { my $l = ctl('errors'); return @$l == 3 && $l->[0]{reason} =~ /chunk/ }, 'a body is kept');
    $t->raw_exchange($http, "GET /" . 'y' x 40000 . " HTTP/1.1\r\nHost: h\r\n\r\n");
    $t->wait_until(sub { @{ ctl('errors') } == 4 }, 'a head too long is kept');
    $e = ctl('errors')->[0];
    ok(length($e->{before} . $e->{after}) <= 512, 'but not all of it');
    $t->raw_exchange($http, "GET /$_ HTTP/1.1\r\nHost : h\r\n\r\n") for 1 .. 60;
    $t->wait_until(sub { ctl('errors')->[0]{before} =~ m{/60 } }, 'the last of many is kept');
    ok(@{ ctl('errors') } <= 3 * 16, 'the number is bounded');
    $weir->reload($config);
    $t->wait_until(sub { @{ $weir->stats->{workers} } == 2 }, 'the old workers are gone');
    my @now = @{ ctl('errors') };
    ok(@now > 0 && $now[0]{before} =~ m{/60 }, 'a reload keeps them');
};

subtest 'sticky' => sub {
    my $client = $t->client($tcp);
    $client->send('x');
    is($client->read_bytes(1), 'x', 'a session');
    my $list = ctl('sticky');
    is_deeply([ map { "$_->{pool} $_->{by} $_->{server}" } @$list ],
        [ 'web cookie_insert a', 'web cookie_insert gone', 'raw source_ip echo', 'raw source_ip second' ], 'pools that have it');
    is($list->[0]{cookie}, 'SRV', 'the cookie');
    is($list->[0]{entries}, undef, 'which clients keep');
    my $value = $t->http_get($http, '/')->{headers}{'set-cookie'};
    like($value, qr/^SRV=\Q$list->[0]{value}\E;/, 'and its value');
    is($list->[2]{entries} + $list->[3]{entries}, 1, 'one address is remembered');
    is(scalar @{ ctl('sticky', 'raw') }, 2, 'of one pool');
    my ($exit, $out, $err) = $t->weirctl(@ctl, 'sticky', 'rwa');
    is($exit, 1, 'a pool that is not there');
    like($err, qr/did you mean "raw"/, 'and the nearest one');
    ($exit, $out) = $t->weirctl(@ctl, 'sticky');
    like($out, qr/^POOL +BY +COOKIE +TIMEOUT +SERVER .*\nweb +cookie_insert +SRV +10m +a /, 'as a table');
    $client->close;
};

subtest 'drain --wait' => sub {
    $t->wait_until(sub { $weir->stats_pool('raw')->{active} == 0 }, 'nothing is in progress');
    my $client = $t->client($tcp);
    $client->send('x');
    is($client->read_bytes(1), 'x', 'a session');
    my ($busy) = map { $_->{name} } grep { $_->{active} } @{ ctl('servers', 'raw') };
    my ($exit, $out, $err) = $t->weirctl(@ctl, '--wait=1', 'server', "raw/$busy", 'drain');
    is($exit, 1, 'a session goes on: status 1');
    like($err, qr{after 1 seconds 1 still in progress on raw/$busy}, 'and the reason');
    my $done = $t->path('drained');
    my $pid = $t->spawn(sub {
        exec $t->program('weirctl'), @ctl, 'server', "raw/$busy", 'drain', '--wait';
    });
    is($t->weirctl(@ctl, 'status'), 3, 'others are answered meanwhile');
    ok(kill(0, $pid), 'it waits');
    $client->close;
    is($t->reap($pid), 0, 'and ends with the session');
    is(ctl('server', "raw/$busy", 'ready')->{admin}, 'ready', 'put back');
    ($exit) = $t->weirctl(@ctl, 'server', "raw/$busy", 'maint', '--wait');
    is($exit, 0, 'nothing to wait for');
    for my $wrong ([qw(--wait status)], [qw(--wait server raw/echo ready)], [qw(--wait=0 server raw/echo drain)],
        [qw(--wait=x server raw/echo drain)], [qw(--interval 0 top)], [qw(--count -1 top)], [qw(-o json top)])
    {
        is(($t->weirctl(@ctl, @$wrong))[0], 2, "@$wrong: wrong usage");
    }
};

subtest 'top' => sub {
    my $load = $t->load(port => $http);
    $load->wait_ok(20);
    my ($exit, $out, $err) = $t->weirctl(@ctl, qw(--interval 0.3 --count 2 top));
    is("$exit$err", '0', 'ends after two looks');
    my @heads = $out =~ /^weir  \d\d:\d\d:\d\d  up /mg;
    is(scalar @heads, 2, 'which it shows');
    like($out, qr{^down: web/gone: connection refused$}m, 'what is wrong comes first');
    like($out, qr/^LISTENER +CONN\/S +ACTIVE +REQ\/S/m, 'listeners');
    my ($rate) = $out =~ m{^web +1/2 +\d+ +([\d.]+) }m;
    cmp_ok($rate // 0, '>', 0, 'the rate of a pool') or diag $out;
    is($load->stop->{failed}, 0, 'the load had no failures');
};

is($weir->stop, 0, 'weir ends');
done_testing;
