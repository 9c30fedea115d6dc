#!/usr/bin/perl
# weir-annotations(7) says what the tables say, and the example site file is one.

use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $src = $ENV{WEIR_SRCDIR} // '.';
my $page = "$src/doc/weir-annotations.7";

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!";
    local $/;
    return <$in>;
}

my ($exit, $table, $err) = $t->weirgen('--list-annotations=mdoc');
is($exit, 0, 'the tables are printed');
my $text = slurp($page);
my ($begin, $end) = (qq{.\\" BEGIN generated\n}, qq{.\\" END generated\n});
if ($ENV{UPDATE}) {
    $text =~ s/\Q$begin\E.*\Q$end\E/$begin$table$end/s;
    open my $out, '>', $page or die "$page: $!";
    print $out $text;
    close $out or die "$page: $!";
}
my ($have) = $text =~ /\Q$begin\E(.*)\Q$end\E/s;
is($have, $table, 'weir-annotations(7) holds them (UPDATE=1 writes them anew)');

($exit, my $out, $err) = $t->weirgen('--check', '-s', "$src/etc/site.yaml", "$src/t/manifests/ack-clb-internet.yaml");
is($exit, 0, 'etc/site.yaml is a site file');
is($err, '', 'without a warning');

my ($example) = slurp("$src/doc/weir-site.yaml.5") =~ /^\.Bd -literal\n(.*?)^\.Ed$/ms;
my $site = $t->write('site.yaml', $example);
($exit, $out, $err) = $t->weirgen('--check', '-s', $site, "$src/t/manifests/ack-clb-internet.yaml");
is($exit, 0, 'so is the example of weir-site.yaml(5)');
is($err, '', 'without a warning');

done_testing;
