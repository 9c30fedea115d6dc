#!/usr/bin/perl
# Stickiness by a cookie of the application: weir writes the server before its value, the application never sees that.
use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $port = $t->port;
my $tls = $t->port;
$t->make_cert($t->path('certs'), 'id1', ['localhost']);

# /login sets the session; everything answers its name.
my $handler = sub {
    my ($name) = @_;
    return sub {
        my ($r) = @_;
        my @set = $r->{path} eq '/login' ? ('Set-Cookie' => 'a=1; Path=/', 'Set-Cookie' => "SESSION=$name-42; Path=/app; Secure; Expires=Wed, 01 Jan 2031 00:00:00 GMT",
            'set-cookie' => 'SESSION="quoted"; Path=/q', 'Set-Cookie' => 'SESSIONX=9', 'X-Other' => 'SESSION=no')
            : $r->{path} eq '/logout' ? ('Set-Cookie' => 'SESSION=; Max-Age=0') : ();
        return { status => 200, headers => \@set, body => "$name\n" };
    };
};
my %origin = map { $_ => $t->origin($_, handler => $handler->($_)) } qw(a b c);
my $config = sub {
    my ($names, $extra) = @_;
    my $servers = join "\n", map { "      - {name: $_, address: \"@{[ $origin{$_}->address ]}\"}" } split //, $names;
    return $t->config(<<"CONFIG", workers => 2);
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
  - {name: tls, listen: ["127.0.0.1:$tls"], protocol: https, tls: {certificate: id1, alpn: [h2, http/1.1]}, pool: web}
pools:
  - name: web
    sticky: {by: cookie_prefix, name: SESSION}
    servers:
$servers
CONFIG
};
my $weir = $t->start_weir(config => $config->('abc'));

sub login {
    my $r = $t->http_get($port, '/login');
    my @cookies = map { $_->[1] } grep { lc $_->[0] eq 'set-cookie' } @{ $r->{fields} };
    return ($r, @cookies);
}

my ($r, @cookies) = login();
my $name = $r->{body} =~ s/\n//r;
is(scalar @cookies, 4, 'all cookies are passed');
is($cookies[0], 'a=1; Path=/', 'others as they are');
like($cookies[1], qr/^SESSION=[0-9a-f]{32}~$name-42; Path=\/app; Secure; Expires=Wed, 01 Jan 2031 00:00:00 GMT$/,
    'the session has the server before its value, and its attributes');
like($cookies[2], qr/^SESSION="[0-9a-f]{32}~quoted"; Path=\/q$/, 'so has a quoted one');
is($cookies[3], 'SESSIONX=9', 'a longer name is another cookie');
is($r->{headers}{'x-other'}, 'SESSION=no', 'other fields stay');
my ($value) = $cookies[1] =~ /^SESSION=(\S+);/;

my %seen;
for (1 .. 12) {
    my $again = $t->http_get($port, '/x', headers => [Cookie => "z=1; SESSION=$value; y=2"]);
    $seen{ $again->{body} }++;
    ok(!exists $again->{headers}{'set-cookie'}, 'nothing is added') if $_ == 1;
}
is_deeply(\%seen, { "$name\n" => 12 }, 'the client stays with its server');
is($origin{$name}->last_request->{headers}{cookie}, "z=1; SESSION=$name-42; y=2", 'which sees its own value');
$t->http_get($port, '/x', headers => [Cookie => "SESSION=$value; b=1", Cookie => "SESSION=\"$value\""]);
is($origin{$name}->last_request->{headers}{cookie}, "SESSION=$name-42; b=1, SESSION=\"$name-42\"",
    'several of them, in several fields, all lose the prefix');

%seen = ();
for my $foreign ('plain', 'x~y', ('0' x 32) . 'x', ('Z' x 32) . '~x', '~') {
    $t->http_get($port, '/foreign', headers => [Cookie => "SESSION=$foreign"]);
    my ($there) = grep { ($_->last_request // { path => '' })->{path} eq '/foreign' && $_->last_request->{headers}{cookie} eq "SESSION=$foreign" } values %origin;
    ok($there, "a value that is not weir's is passed as it is: $foreign");
}
my $unknown = ('0' x 32) . '~mine';
$t->http_get($port, '/unknown', headers => [Cookie => "SESSION=$unknown"]);
my ($there) = grep { $_->last_request && $_->last_request->{path} eq '/unknown' } values %origin;
is($there->last_request->{headers}{cookie}, 'SESSION=mine', 'a prefix of no server is taken off, too');

my (undef, $h2) = $t->curl('-k', '--http2', '-i', "https://127.0.0.1:$tls/login");
like($h2, qr/^HTTP\/2 200/, 'HTTP/2');
like($h2, qr/^set-cookie: SESSION=[0-9a-f]{32}~[abc]-42; Path=\/app/mi, 'has the prefix too');
my ($body) = ($t->curl('-k', '--http2', '-H', "Cookie: SESSION=$value", "https://127.0.0.1:$tls/h2"))[1];
is($body, "$name\n", 'and follows it');
is($origin{$name}->last_request->{headers}{cookie}, "SESSION=$name-42", 'without showing it');

$weir->reload($config->('cba'));
is($t->http_get($port, '/x', headers => [Cookie => "SESSION=$value"])->{body}, "$name\n", 'it names the server after a reload, in another order');
$origin{$name}->stop;
my $moved = $t->http_get($port, '/x', headers => [Cookie => "SESSION=$value"]);
isnt($moved->{body}, "$name\n", 'a server that refuses loses the client');
is($moved->{status}, 200, 'which another one serves');
is($weir->stop, 0, 'weir ends');

my ($exit, undef, $err) = $t->weir('-t', '-c', $t->write('bad.yaml', $t->config(<<"CONFIG")));
pools:
  - {name: tcp, protocol: tcp, sticky: {by: cookie_prefix, name: x}}
  - {name: time, sticky: {by: cookie_prefix, name: x, timeout: 5s}}
CONFIG
is($exit, 1, 'refused');
like($err, qr/pool "tcp" has protocol tcp and is sticky by cookie/, 'TCP has no cookies');
like($err, qr/timeout has no meaning here; it is allowed with by cookie_insert or source_ip/, 'the cookie has its own life');

done_testing;
