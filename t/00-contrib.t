#!/usr/bin/perl
# What contrib/ offers: completions that name what there is, a dashboard for Grafana whose metrics exist.
use strict;
use warnings;
use File::Spec;
use JSON::PP ();
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $src = $ENV{WEIR_SRCDIR} // '.';

sub slurp { my ($path) = @_; open my $in, '<', "$src/contrib/$path" or die "$path: $!"; local $/; return <$in> }
sub complete {
    my ($program, @words) = @_;
    my $words = join ' ', map { "'$_'" } $program, @words;
    my $last = @words;
    my ($exit, $out, $err) = $t->run('bash', '-c', ". '$src/contrib/completion/$program.bash'; COMP_WORDS=($words); "
        . "COMP_CWORD=$last; compopt() { :; }; _$program; printf '%s\\n' \"\${COMPREPLY[\@]}\"");
    is("$exit$err", '0', "$program @words: completed");
    return split /\n/, $out;
}

for my $program (qw(weir weirctl weirgen)) {
    my ($exit, $help) = $t->run($t->program($program), '--help');
    my @options = $help =~ /^ +(?:-\w, |    )(--[a-z-]+)/mg;
    ok(@options > 3, "$program --help names options");
    my %offered = map { s/=$//r => 1 } complete($program, '--');
    is_deeply([ grep { !$offered{$_} && $_ ne '--manual' } @options ], [], "$program: bash offers all of them");
    for my $file ("_$program", "$program.fish") {
        my $text = slurp("completion/$file");
        is_deeply([ grep { (my $bare = $_) =~ s/^--//; $text !~ /(?:--|-l )\Q$bare\E\b/ } @options ], [], "$file too");
    }
}
my ($exit, $help) = $t->weirctl('--help');
my %commands = map { $_ => 1 } $help =~ /^  ([a-z]+) /mg;
is_deeply([ sort(complete('weirctl', '')) ], [ sort keys %commands ], 'weirctl: bash offers all commands');
for my $file ('_weirctl', 'weirctl.fish') {
    my $text = slurp("completion/$file");
    is_deeply([ grep { $text !~ /\b$_\b/ } keys %commands ], [], "$file too");
}
my ($usage) = ($t->run($t->program('weir'), '-s', 'nothing'))[2] =~ /known are (.*)/;
is_deeply([ sort(complete('weir', '-s', '')) ], [ sort map { s/,//r } split ' ', $usage ], 'weir -s: all words');

# The real shells, where they are installed.
sub shell { my ($name) = @_; return grep { -x "$_/$name" } split /:/, $ENV{PATH} }
for my $program (qw(weir weirctl weirgen)) {
    my ($status, $help) = $t->run($t->program($program), '--help');
    my @options = $help =~ /^ +(?:-\w, |    )(--[a-z-]+)/mg;
    SKIP: {
        skip 'fish is not installed', 1 if !shell('fish');
        my ($exit, $out, $err) = $t->run('fish', '-N', '-c', "source '$src/contrib/completion/$program.fish'; complete -C '$program --'",
            { env => { HOME => $t->dir } });
        my %offered = map { (split /\t/)[0] =~ s/=$//r => 1 } split /\n/, $out;
        is_deeply([ grep { !$offered{$_} && $_ ne '--manual' } @options ], [], "$program: fish offers all options") or diag $err;
    }
    SKIP: {
        skip 'zsh is not installed', 1 if !shell('zsh');
        # What the file tells _arguments: options, as `-x` and `--long`.
        my ($exit, $out, $err) = $t->run('zsh', '-f', '-c', "compdef() { :; }; _arguments() { print -l -- \"\$@\"; return 1; }; . '$src/contrib/completion/_$program'",
            { env => { HOME => $t->dir } });
        is_deeply([ grep { $out !~ /^(?:\([^)]*\))?\*?\Q$_\E(?:[=\[-]|$)/m } @options ], [], "$program: zsh offers all options") or diag "$out$err";
    }
}

# Snippets for other tools, read by these.
for my $snippet ([ 'systemd-sysusers', 'sysusers', qr/^u weir /m ], [ 'systemd-tmpfiles', 'tmpfiles', qr/weir/ ]) {
    my ($tool, $name) = @$snippet;
    SKIP: {
        skip "$tool is not installed or not root", 2 if !shell($tool) || $> != 0;
        my $root = $t->path("root-$name");
        $t->write("$root/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        $t->write("$root/etc/group", "root:x:0:\n");
        my ($exit, $out, $err) = $t->run('systemd-sysusers', "--root=$root", File::Spec->rel2abs("$src/contrib/systemd/weir.sysusers.conf"));
        is($exit, 0, 'systemd-sysusers makes the user') or diag $err;
        like($t->read("$root/etc/passwd"), qr{^weir:x:\d+:\d+:weir load balancer:/nonexistent:/usr/sbin/nologin$}m, 'as it should be') if $name eq 'sysusers';
        next if $name eq 'sysusers';
        $t->write("$root/usr/lib/tmpfiles.d/weir.conf", $t->read(File::Spec->rel2abs("$src/contrib/systemd/weir.tmpfiles.conf")));
        ($exit, $out, $err) = $t->run('systemd-tmpfiles', "--root=$root", '--create', 'weir.conf');
        is("$exit$err", '0', 'systemd-tmpfiles makes the directories');
        my ($gid) = $t->read("$root/etc/group") =~ /^weir:x:(\d+):/m;
        my @made = map { my @s = stat "$root/$_"; @s ? sprintf '%o %d %d', $s[2] & 07777, @s[ 4, 5 ] : 'none' } qw(run/weir var/lib/weir var/log/weir);
        is_deeply(\@made, [ "755 0 $gid", "750 0 $gid", "750 0 $gid" ], 'with their owners');
    }
}

my $origin = $t->origin('a');
my ($port, $secure) = $t->ports(2);
$t->make_cert($t->path('certs'), 'web');
my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners:
  - {name: "default/web:80", listen: ["127.0.0.1:$port"], protocol: http, routes: [{path: {prefix: /}, pool: "default/web:80"}]}
  - {name: "default/web:443", listen: ["127.0.0.1:$secure"], protocol: https, tls: {certificate: web}, pool: "default/web:80"}
pools: [{name: "default/web:80", servers: [{name: a, address: "@{[ $origin->address ]}"}]}]
CONFIG
$t->http_get($port, '/');
my $socket = $weir->control_socket;
local $ENV{PATH} = $t->{build} . ":$ENV{PATH}";
is_deeply([ complete('weirctl', '-S', $socket, 'servers', '') ], ['default/web:80'], 'weirctl servers: names of pools');
is_deeply([ complete('weirctl', '-S', $socket, 'routes', '') ], [ 'default/web:80', 'default/web:443' ], 'weirctl routes: names of listeners');
is_deeply([ complete('weirctl', '-S', $socket, 'server', '') ], ['default/web:80/a'], 'weirctl server: names of servers');

my $board = JSON::PP->new->decode(slurp('grafana/weir.json'));
my %metrics = map { $_ => 1 } $weir->metrics =~ /^(weir_\w+)/mg;
my @expressions = map { $_->{expr} } map { @{ $_->{targets} } } @{ $board->{panels} };
push @expressions, map { $_->{expr} } @{ $board->{annotations}{list} };
push @expressions, map { $_->{definition} // () } @{ $board->{templating}{list} };
ok(@expressions > 20, 'the dashboard for Grafana has expressions');
is_deeply([ grep { !$metrics{$_} } map { /\b(weir_\w+)/g } @expressions ], [], 'of metrics that there are');
is($weir->stop, 0, 'weir ends');
done_testing;
