#!/usr/bin/perl
# What contrib/ offers: completions that name what there is, a dashboard for Grafana whose metrics exist.
use strict;
use warnings;
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

my $origin = $t->origin('a');
my $port = $t->port;
my $weir = $t->start_weir(config => $t->config(<<"CONFIG"));
listeners: [{name: "default/web:80", listen: ["127.0.0.1:$port"], protocol: http, pool: "default/web:80"}]
pools: [{name: "default/web:80", servers: [{name: a, address: "@{[ $origin->address ]}"}]}]
CONFIG
$t->http_get($port, '/');
my $socket = $weir->control_socket;
local $ENV{PATH} = $t->{build} . ":$ENV{PATH}";
is_deeply([ complete('weirctl', '-S', $socket, 'servers', '') ], ['default/web:80'], 'weirctl servers: names of pools');
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
