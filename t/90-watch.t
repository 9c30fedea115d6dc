#!/usr/bin/perl
# weirgen --watch follows the files; weirgen --diff says what would change.

use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $ack = 'service.beta.kubernetes.io/alibaba-cloud-loadbalancer-';
my %origin = map { $_ => $t->origin("pod-$_", host => "127.0.1.$_") } 11, 12;
my $port = $t->port;
my ($global) = $t->config('', workers => 1) =~ /^global:\n(.*)/ms;
mkdir $t->path('m');
$t->write('site.yaml', "load_balancers: {default: {addresses: [127.0.0.1]}}\nglobal:\n$global");
my ($site, $out) = ($t->path('site.yaml'), $t->path('weir.out'));

sub manifest {
    my ($nr, @annotations) = @_;
    my ($ip, $target) = split /:/, $origin{$nr}->address;
    my $annotations = join ', ', "${ack}protocol-port: 'http:$port'", @annotations;
    return <<"YAML";
apiVersion: v1
kind: Service
metadata: {name: web, annotations: {$annotations}}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{name: p, port: $port, targetPort: $target}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
ports: [{name: p, port: $target}]
endpoints: [{addresses: [$ip], targetRef: {kind: Pod, name: pod-$nr}}]
YAML
}

# Another file of the same name, as editors and kubectl plugins do it.
sub replace {
    my ($name, $text) = @_;
    $t->write("$name.new", $text);
    rename $t->path("$name.new"), $t->path($name) or die "$name: $!";
    return;
}

# --- usage ---

for my $args ([ '--watch', 'x' ], [ '--watch', '-o', 'y', '-' ], [ '--watch', '-o', 'y', '--diff', 'x' ]) {
    my ($exit, undef, $err) = $t->weirgen(@$args);
    is($exit, 2, "wrong usage: @$args");
}

# --- --diff ---

my $in = $t->write('m/web.yaml', manifest(11));
my @args = ('-s', $site, '-o', $out);
my ($exit, $text, $err) = $t->weirgen(@args, '--diff', $in);
is($exit, 1, '--diff with nothing');
like($err, qr/weir\.out: error: there is nothing to compare with/, 'is told');
($exit) = $t->weirgen(@args, $in);
is($exit, 0, 'a configuration is written');
my $before = $t->read('weir.out');
($exit, $text, $err) = $t->weirgen(@args, '--diff', $in);
is("$exit,$text,$err", '0,,', '--diff of the same: nothing');
$t->write('m/web.yaml', manifest(12, "${ack}idle-timeout: '7'"));
($exit, $text) = $t->weirgen(@args, '--diff', $in);
is($exit, 0, '--diff');
my ($a, $b) = map { $origin{$_}->address } 11, 12;
like($text, qr/\A\@\@ listeners default\/web:$port \@\@\n-    timeouts: \{.*client_idle: 15s.*\n\+    timeouts: \{.*client_idle: 7s.*\n\@\@ pools default\/web:$port \@\@\n-      - \{name: pod-11, address: "$a", weight: 1[^}]*\}\n\+      - \{name: pod-12, address: "$b", weight: 1[^}]*\}\n\z/,
    'has what would change, block by block');
is($t->read('weir.out'), $before, 'and changes nothing');
my $other = $t->write('other.yaml', $before =~ s/default\/web:$port/default\/old:$port/gr);
($exit, $text) = $t->weirgen('-s', $site, "--diff=$other", $in);
like($text, qr/^\@\@ listeners default\/web:$port \@\@\n\+  - name: default\/web:$port\n.*^\@\@ pools default\/old:$port \@\@\n-  - name/ms, 'what is new, and what is gone');
$t->write('m/web.yaml', manifest(11));

# --- --watch ---

my $weir = $t->start_weir(config => $before);
my @watch = ('-s', $site, '-o', $weir->config_file, '--reload', '--watch', $t->path('m'));

sub start {
    my $log = $t->path('watch.log');
    unlink $log;
    return $t->spawn(sub { exec $t->program('weirgen'), @watch or die "weirgen: $!" }, 'watch.log');
}

sub said {
    my ($like, $what) = @_;
    $t->wait_until(sub { -e $t->path('watch.log') && $t->read('watch.log') =~ $like }, $what);
    return pass($what);
}

sub served_by {
    my ($nr, $what) = @_;
    $t->wait_until(sub { ($t->http_get($port, '/')->{body} // '') eq "pod-$nr\n" }, $what);
    return pass($what);
}

my $pid = start();
served_by(11, 'the daemon serves what it had');
said(qr/weirgen: \S+ is new, and weir took it\n/, 'its first line names another source');
$t->wait_until(sub { !$weir->workers('draining') && $weir->generation == 2 }, 'which is no reason not to reload');
my @workers = $weir->workers;
replace('m/web.yaml', manifest(12));
served_by(12, 'a file that is replaced is followed');
said(qr/(?:weirgen: \S+ is new, and weir took it\n){2}/, 'and it is told');
is_deeply([ $weir->workers ], \@workers, 'with the same workers, as only servers have changed');
$weir->wait_log(qr/servers changed without new workers: 1 added, 1 removed, 0 changed, in 1 pools, by user \d+ \(process $pid\)/);
$t->write('m/web.yaml', manifest(11));
served_by(11, 'one that is written in place, too');
$before = $t->read('weir-0.yaml');
$t->write('m/notes.txt', 'not a manifest');
replace('m/web.yaml', manifest(12) =~ s/http:/hppt:/r);
said(qr/error: \S+protocol-port: "hppt" in .*\n(?:.*\n)*weirgen: \S+ stays as it was\n/, 'a wrong manifest: the last good configuration stays');
is($t->read('weir-0.yaml'), $before, 'on disk');
served_by(11, 'and in the daemon');
replace('m/web.yaml', manifest(12));
served_by(12, 'until the manifest is right again');
rename $t->path('m'), $t->path('gone');
said(qr/\/m: error: cannot be read: No such file/, 'the directory is gone: told');
served_by(12, 'and nothing changes');
mkdir $t->path('next');
$t->write('next/web.yaml', manifest(11));
rename $t->path('next'), $t->path('m');
served_by(11, 'until there is another');
replace('site.yaml', $t->read('site.yaml') . "defaults: {backends: pod}\n");
$t->write('m/web.yaml', manifest(12));
served_by(12, 'the site file can be replaced, too');
is($t->end_process($pid, 'TERM'), 0, 'SIGTERM ends it');
unlike($t->read('watch.log'), qr/notes/, 'other files are passed over');

# files by name, by way of a link, as in a volume of Kubernetes
mkdir $t->path($_) for qw(v v/one v/two);
$t->write('v/one/web.yaml', manifest(11));
$t->write('v/two/web.yaml', manifest(12));
symlink 'one', $t->path('v/..data');
symlink '..data/web.yaml', $t->path('v/web.yaml');
$watch[-1] = $t->path('v/web.yaml');
$pid = start();
served_by(11, 'a file in a volume');
symlink 'two', $t->path('v/..next');
rename $t->path('v/..next'), $t->path('v/..data');
served_by(12, 'is followed when the volume changes');
@workers = $weir->workers;

# Somebody else has changed what is in force: then the whole file is read.
$weir->configure($t->read('weir-0.yaml') =~ s/^(  - name: .*\n)(?=    protocol: http\n    balance)/$1    meta: {by: hand}\n/mr);
is(($t->weirctl('-S', $weir->control_socket, 'reload'))[0], 0, 'a configuration by hand');
my $meta = sub { return $weir->stats_pool("default/web:$port")->{meta}{by} // '' };
$t->wait_until(sub { $meta->() eq 'hand' }, 'is in force');
symlink 'one', $t->path('v/..next');
rename $t->path('v/..next'), $t->path('v/..data');
served_by(11, 'the next change of servers');
$t->wait_until(sub { $meta->() eq '' }, 'and what was done by hand is gone');
isnt("@{[ $weir->workers ]}", "@workers", 'with new workers');
is($t->end_process($pid, 'INT'), 0, 'SIGINT ends it');

is($weir->quit, 0, 'weir ends');
done_testing;
