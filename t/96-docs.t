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

# Every page that has commands; those of the README, which need contrib/quickstart running, are run by t/95-quickstart.t.
my @pages = ((map { s{^\Q$source\E/}{}r } sort glob "$source/doc/*.md"), 'README.md');
my %has;
for my $page (map { m{^doc/(.*)\.md$} } @pages) {
    my @commands = commands("$source/doc/$page.md") or next;
    $has{$page} = @commands;
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
cmp_ok($has{$_} // 0, '>', 3, "$_: has commands") for qw(quick-start from-cce from-ack);

# What is said in passing: `weirctl servers`, `make bench`, contrib/...: the commands, options and files are there.
my %help = map { my $p = $_; $p => ($t->run($t->program($p), '--help'))[1] } qw(weir weirctl weirgen);
my %commands = map { $_ => 1 } $help{weirctl} =~ /^  ([a-z]+) /mg;
my %signals = map { $_ => 1 } (($t->weir('-s', 'nothing'))[2] =~ /known are (.*)/)[0] =~ /(\w+)/g;
my %targets = map { $_ => 1 } $t->read("$source/Makefile.in") =~ /^([a-z-]+):/mg;
sub wrong_in {
    my ($text) = @_;
    my @wrong;
    my @said = ($text =~ /`([^`\n]+)`/g, $text =~ /^(?:\$ |    )(.*)/mg);
    for my $command (map { split / \| | && / } @said) {
        my ($name, @words) = split ' ', $command;
        next if !defined $name;
        if ($help{$name}) {
            for my $option (grep { /^-/ } @words) {
                my ($bare) = $option =~ /^(--[a-z-]+|-\w)/ or next;
                push @wrong, $command if $help{$name} !~ /(?:^|[ ,])\Q$bare\E\b/m && $option ne '--help';
            }
            my ($first) = grep { !/^-/ } @words;
            push @wrong, $command if $name eq 'weirctl' && $first && $words[0] eq $first && !$commands{$first};
            push @wrong, $command if $name eq 'weir' && ($words[0] // '') eq '-s' && !$signals{ $words[1] // '' };
        } elsif ($name eq 'make' && $words[0] && $words[0] =~ /^[a-z-]+$/) {
            push @wrong, $command if !$targets{ $words[0] };
        }
    }
    push @wrong, grep { my @there = glob "$source/$_"; !grep { -e } @there } $text =~ m{(?<![\w/.-])((?:contrib|doc|etc|src|include|t)/[\w./*-]*[\w*])}g;
    return @wrong;
}
is_deeply([ wrong_in($t->read("$source/$_")) ], [], "$_: all that it names is there") for @pages;

# Pieces of configuration have no mistake but what they leave out.
my $left_out = qr/user \w+ does not exist|there is no (?:directory|pool)|cannot read .*\/certs\/|has no target|key "(?:listen|protocol)" is missing/;
for my $page (@pages) {
    my $text = $t->read("$source/$page");
    my @pieces = $text =~ /^```yaml\n(.*?)^```/msg;
    push @pieces, map { s/^    //mgr } $text =~ /(?<=\n\n)((?:^    .*\n|^\n)+)/mg;
    for my $piece (grep { /\A(?:version|global|acls|bandwidths|listeners|pools):/ } @pieces) {
        my $file = $t->write('piece.yaml', ($piece =~ /^version:/m ? '' : "version: 1\n") . $piece);
        my (undef, undef, $err) = $t->weir('-t', '-c', $file);
        my ($first) = $piece =~ /^(.*)/;
        is(join("\n", grep { !/$left_out|configuration is (?:not )?valid/ } split /\n/, $err), '', "$page: $first is right");
    }
}
done_testing;
