#!/usr/bin/perl
# From annotated manifests to served traffic: what weirgen makes of t/manifests, weir serves, and clients see it.

use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::Manifest;

my $t = Weir::Test->new;
my $manifests = ($ENV{WEIR_SRCDIR} // '.') . '/t/manifests';
my $certs = $t->path('certs');
my %pem = map { $_ => $t->make_cert($certs, $_, ['shop.example'], type => 'rsa') }
    qw(17e3b4f4bc40471c86741dc3aa211379 1234567890123456_17e3b4f4bc4_1166777777_-1234567890);

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!";
    local $/;
    return <$in>;
}

# The manifest with its pods on loopback, listening on `port` instead of 80.
sub manifest {
    my ($name, $port) = @_;
    my $text = slurp("$manifests/$name.yaml");
    $text =~ s/10\.0\.([12])\./127.0.$1./g;
    $text =~ s/targetPort: 80$/targetPort: $port/mg;
    return $text;
}

my ($global) = $t->config('', workers => 2) =~ /^global:\n(.*)/ms;
$global =~ s/^  certificates: .*\n//m;
my $site = $t->write('site.yaml', "certificates: {dir: certs}\nload_balancers: {default: {addresses: [127.0.0.1]}}\nglobal:\n$global");
my $offset = free_offset($t); # 80 and 443 are not for everyone
my ($http, $https) = (80 + $offset, 443 + $offset);
my $backend_port = $t->port;
my %origin = map { $_ => $t->origin("pod-$_", host => "127.0.1.$_", port => $backend_port) } 11 .. 13;

sub generate {
    my ($text) = @_;
    my $in = $t->write('in.yaml', $text);
    my ($exit, undef, $err) = $t->weirgen('-s', $site, '--backends=pod', "--port-offset=$offset", '-o', $t->path('weir.out'), $in);
    is($exit, 0, 'weirgen accepts the manifest') or diag $err;
    return $t->read('weir.out');
}

# Workers of the old configuration may still take a connection or two: wait until they are gone.
sub replace_workers {
    my ($weir, $change) = @_;
    my @old = $weir->workers;
    $change->();
    $t->wait_until(sub { !grep { kill 0, $_ } @old }, 'the old workers to leave');
}

sub reload {
    my ($weir, $text) = @_;
    replace_workers($weir, sub { $weir->reload($text) });
}

sub https {
    my ($id, @args) = @_;
    my $ca = $t->write("ca-$id.pem", $pem{$id}{crt});
    return $t->curl('--cacert', $ca, '--resolve', "shop.example:$https:127.0.0.1", @args);
}

# --- CCE: HTTPS and HTTP, both to the same pods ---

my $cce = '17e3b4f4bc40471c86741dc3aa211379';
my $weir = $t->start_weir(config => generate(manifest('cce-service-http', $backend_port)));
my ($exit, $out, $err) = https($cce, "https://shop.example:$https/hello");
is($exit, 0, 'CCE: HTTPS with the certificate of cert-id') or diag $err;
like($out, qr/^pod-1[123]\n/, 'a pod answers');
my %seen = map { $t->http_get($http, '/')->{body} => 1 } 1 .. 12;
is(join('', sort keys %seen), "pod-11\npod-12\npod-13\n", 'HTTP goes to all pods');
like($origin{11}->last_request->{head}, qr/^X-Forwarded-For: 127\.0\.0\.1\r$/mi, 'who see where it came from');
is($weir->stats_pool('default/test:443')->{name}, 'default/test:443', 'the pools are called after the Service');

# --- ACK: redirect to HTTPS; the same daemon takes the new configuration ---

my $ack = '1234567890123456_17e3b4f4bc4_1166777777_-1234567890';
reload($weir, generate(manifest('ack-clb-https-redirect', $backend_port)));
my $r = $t->http_get($http, '/cart?x=1', host => "shop.example:$http");
is($r->{status}, 301, 'ACK: forward-port answers 301');
is($r->{headers}{location} // '', "https://shop.example:$https/cart?x=1", 'to HTTPS') or diag explain $r;
($exit, $out, $err) = https($ack, "https://shop.example:$https/cart");
is($exit, 0, 'where the certificate of cert-id is served') or diag $err;
like($out, qr/^pod-1/, 'and a pod answers');

# --- ACK: a cookie keeps the client on its server, until that is gone ---

reload($weir, generate(manifest('ack-clb-sticky-insert', $backend_port)));
$r = $t->http_get($http, '/', host => 'shop.example');
my ($cookie) = ($r->{headers}{'set-cookie'} // '') =~ /^(SERVERID=[^;]+)/;
ok($cookie, 'ACK: sticky-session sets SERVERID') or diag explain $r;
like($r->{headers}{'set-cookie'} // '', qr/Max-Age=1800/, 'for cookie-timeout');
my $first = $r->{body};
my %stuck = map { $t->http_get($http, '/', host => 'shop.example', headers => [ Cookie => $cookie ])->{body} => 1 } 1 .. 12;
is(join('', keys %stuck), $first, 'requests with it stay');
my ($nr) = $first =~ /(\d+)/;
$origin{$nr}->stop;
$r = $t->http_get($http, '/', host => 'shop.example', headers => [ Cookie => $cookie ]);
is($r->{status}, 200, 'the server is gone: another answers');
isnt($r->{body}, $first, 'not the one that is gone');
$origin{$nr}->start;

# --- ACK: TCP, with the health check that is on by default ---

reload($weir, generate(manifest('ack-clb-internet', $backend_port)));
$weir->wait_server('default/nginx:80', 'nginx-7c5ddbdf54-aaaaa', 'up');
like($t->http_get($http, '/tcp')->{body}, qr/^pod-1/, 'ACK: a Service without annotations is plain TCP');
$origin{11}->stop;
$weir->wait_server('default/nginx:80', 'nginx-7c5ddbdf54-aaaaa', 'down');
%seen = map { $t->http_get($http, '/')->{body} => 1 } 1 .. 8;
is(join('', sort keys %seen), "pod-12\npod-13\n", 'a dead pod gets nothing');
$origin{11}->start;
$weir->wait_server('default/nginx:80', 'nginx-7c5ddbdf54-aaaaa', 'up');
%seen = map { $t->http_get($http, '/')->{body} => 1 } 1 .. 12;
is(join('', sort keys %seen), "pod-11\npod-12\npod-13\n", 'once it is back, it does');

# --- weirgen tells the daemon by itself ---

my $in = $t->write('in.yaml', manifest('ack-clb-http', $backend_port));
my @args = ('-s', $site, '--backends=pod', "--port-offset=$offset", '-o', $weir->config_file, '--reload', $in);
replace_workers($weir, sub { ($exit, $out, $err) = $t->weirgen(@args) });
is($exit, 0, '--reload: the running daemon takes it') or diag $err;
$_->forget for values %origin;
$t->http_get($http, '/') for 1 .. 3;
like($origin{12}->last_request->{head}, qr/X-Forwarded-For/i, 'and the port speaks HTTP now');

is($weir->quit, 0, 'weir ends');
done_testing;
