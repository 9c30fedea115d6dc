#!/usr/bin/perl
# The commands in the pages of doc/ do what the pages say: all lines after "$ " in console blocks are run, in order, and
# what they print is what stands below them ("..." stands for anything).  Each page begins in an empty directory.
use strict;
use warnings;
use File::Basename qw(dirname);
use File::Spec;
use Test::More;

# The pages use the ports that people use: a network of their own keeps them free.
if (!$ENV{WEIR_TEST_NAMESPACE}) {
    $ENV{PATH} .= ':/usr/sbin:/sbin';
    plan skip_all => 'may not make a network namespace here'
        if system('unshare -n ip link set lo up >/dev/null 2>&1') != 0;
    $ENV{WEIR_TEST_NAMESPACE} = 1;
    exec 'unshare', '-n', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh', $^X, (map { "-I$_" } @INC), $0 or die "unshare: $!";
}

require Weir::Test;
my $t = Weir::Test->new;
my $source = File::Spec->rel2abs(dirname(__FILE__) . '/..');

# A page as a list of [command, expected output].
sub commands {
    my ($page) = @_;
    my @commands;
    for my $block ($t->read($page) =~ /^```console\n(.*?)^```/msg) {
        my ($command, $output) = (undef, '');
        for my $line (split /^/, $block) {
            if ($line =~ /^\$ (.*)/s) {
                push @commands, [ $command, $output ] if defined $command;
                ($command, $output) = ($1, '');
            } elsif (defined $command && $output eq '' && $line =~ /^> ?(.*)/s) {
                $command .= $1;
            } else {
                $output .= $line;
            }
        }
        push @commands, [ $command, $output ] if defined $command;
    }
    return @commands;
}

# As a glob: "..." in a line stands for anything in it, a line of its own for any lines; columns may be wider.
sub pattern {
    my ($output) = @_;
    my $pattern = join '', map {
        $_ eq "...\n" ? '(?:.*\n)*?' : join('.*', map { join ' +', map { quotemeta } split / +/, $_, -1 } split /\.\.\./, $_ =~ s/\n\z//r, -1) . '\n'
    } split /^/, $output;
    return qr/\A$pattern\z/;
}

for my $page (qw(quick-start from-cce from-ack)) {
    my @commands = commands("$source/doc/$page.md");
    cmp_ok(scalar @commands, '>', 3, "$page: has commands");
    my $dir = $t->path($page);
    mkdir $dir;
    symlink "$source/contrib", "$dir/contrib";
    # One shell runs the page; the end of each command's output is marked.
    my $script = "exec 2>&1\ncd '$dir'\nshopt -s expand_aliases\nPATH='" . dirname($t->program('weir')) . "':\$PATH\n";
    $script .= "$_->[0]echo; echo '--- end of a command'\n" for @commands;
    $script .= "kill \$(jobs -p) 2>/dev/null; wait\n";
    my (undef, $out) = $t->run('bash', { stdin => $script, timeout => 60 });
    my @outputs = split /\n?--- end of a command\n/, $out;
    for my $i (0 .. $#commands) {
        my ($command, $expected) = @{ $commands[$i] };
        my $got = $outputs[$i] // '';
        $got =~ s/\n\z//;
        $got .= "\n" if $got ne '' && $got !~ /\n\z/;
        my ($first) = $command =~ /(.*)/;
        like($got, pattern($expected), "$page: $first") or diag "expected:\n$expected";
    }
}
done_testing;
