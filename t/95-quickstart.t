#!/usr/bin/perl
# The first thing that people run: contrib/quickstart, with the programs of this build.

use strict;
use warnings;
use Test::More;

use Weir::Test;

my $t = Weir::Test->new;
my $src = $ENV{WEIR_SRCDIR} // '.';

my ($exit, $out, $err) = $t->run("$src/contrib/quickstart", '--once', '--build', $t->{build}, { timeout => 120 });
is($exit, 0, 'quickstart --once ends with status 0') or diag "$out\n$err";
my %answer;
for my $part (split /^\$ /m, $out) {
    my ($command, $text) = split /\n/, $part, 2;
    $answer{$command} = $text;
}
my $answer_of = sub { my ($re) = @_; return join "\n", map { $answer{$_} } grep { $_ =~ $re } sort keys %answer };

like($answer_of->(qr{^curl --cacert \S+ https://localhost:\d+/$}), qr/^Hello from (?:apple|berry): GET \/ for 127.0.0.1 over https$/m,
    'HTTPS is answered by a back end');
like($answer_of->(qr{^curl -i http://}), qr{^HTTP/1.1 301 .*^Location: https://localhost:\d+/cart\r?$}msi, 'HTTP is sent to HTTPS');
like($answer_of->(qr{^curl -L}), qr/^Hello from \w+: GET \/cart/m, 'following it arrives');
my ($first) = $answer_of->(qr{^curl -c}) =~ /^Hello from (\w+): GET \/first/m;
my ($second) = $answer_of->(qr{^curl -b}) =~ /^Hello from (\w+): GET \/second/m;
ok($first, 'a session begins');
is($second, $first, 'and stays with its server');
like($answer_of->(qr{weirctl}), qr/apple.*berry/s, 'weirctl shows both servers');
like($answer_of->(qr{/stats.json$}), qr/"listeners"/, 'the stats are there');

done_testing;
