#!/usr/bin/perl
# The house stands as doc/ and the headers say: who may include whom, headers that compile alone, no loose ends.

use strict;
use warnings;
use File::Find;
use Test::More;

use Weir::Test;

my $src = $ENV{WEIR_SRCDIR} // '.';
my $build = Weir::Test::find_build();

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!";
    local $/;
    return <$in>;
}

# Columns of a line, with tab stops every 8.
sub width {
    my ($text) = @_;
    1 while $text =~ s/^([^\t]*)\t/$1 . ' ' x (8 - length($1) % 8)/e;
    return length $text;
}

# Passes if the list is empty, else says what is in it.
sub none {
    my ($list, $what) = @_;
    ok(!@$list, $what) or diag map { "  $_\n" } @$list;
    return;
}

sub files {
    my ($re, @dirs) = @_;
    my @found;
    find({ no_chdir => 1, wanted => sub { push @found, $_ if -f && $_ =~ $re } }, grep { -d } map { "$src/$_" } @dirs);
    my @sorted = sort @found;
    return @sorted;
}

# Each room may include itself and the rooms in its row.
my @line = qw(base conf shm record net http proxy);
my %may = map { my $i = $_; $line[$i] => [ @line[ 0 .. $i - 1 ] ] } 0 .. $#line;
$may{$_} = [@line] for qw(front health stats);
$may{process} = [ @line, qw(front health stats) ];
$may{gen} = $may{ctl} = [qw(base conf)];

# The room of a public header: where a file of its name includes it, where a file includes it first as its own, or where
# this table says.  tally, histogram, faults, history and message are plain data: shared memory is laid out in the first
# four, though record works with them, and the access log prints messages, though http makes them.
my %room = (tally => 'shm', histogram => 'shm', faults => 'shm', history => 'shm',
    message => 'record', slice => 'base', conf => 'conf', listener => 'proxy');
my %first;
for my $file (files(qr/\.c$/, 'src')) {
    my ($dir, $name) = $file =~ m{^\Q$src\E/src/([^/]+)/([^/]+)\.c$} or next;
    my $text = slurp($file);
    $room{$name} //= $dir if $text =~ /^#include "weir\/$name\.h"/m;
    $first{$1} //= $dir if $text =~ /\A(?:(?!#include).*\n)*#include "weir\/(\w+)\.h"/;
}
$room{$_} //= $first{$_} for keys %first;

my (@wrong, @homeless);
for my $file (files(qr/\.[ch]$/, 'src', 'include')) {
    my ($here) = $file =~ m{^\Q$src\E/src/([^/]+)/};
    if (!$here) {
        my ($name) = $file =~ m{/(\w+)\.h$};
        $here = $room{$name} or push(@homeless, "$name.h") and next;
    }
    if (!$may{$here}) {
        push @wrong, "$file: '$here' is no room";
        next;
    }
    my %allowed = map { $_ => 1 } $here, @{ $may{$here} };
    for my $name (slurp($file) =~ /^#include "weir\/(\w+)\.h"/mg) {
        my $there = $room{$name} // next;
        push @wrong, "$file ($here) includes weir/$name.h ($there)" if !$allowed{$there};
    }
    for my $name (slurp($file) =~ /^#include "(?!weir\/)([^"]+)"/mg) {
        push @wrong, "$file includes $name, which is not beside it" if !-e ($file =~ s{[^/]*$}{$name}r);
    }
}
none(\@wrong, 'includes point one way: base <- conf <- shm <- record <- net <- http <- proxy <- front <- process');
none(\@homeless, 'each public header belongs to a room');

my $out = qx{cd '$build' && MAKEFLAGS= MAKELEVEL= make -s lint-headers 2>&1};
is($? >> 8, 0, 'each public header compiles alone, and so do the fuzzers, without a warning') or diag $out;

my (@marks, @long, @blank);
for my $file (files(qr/\.(?:[chtl]|pm|in|md|ya?ml|service|[1578])$/, qw(src include t contrib etc doc)),
    grep { -f } map { "$src/$_" } qw(configure Makefile.in README.md CHANGELOG.md)) {
    my ($n, $is_table) = (0, 0);
    for my $text (split /\n/, slurp($file)) {
        $n++;
        push @marks, "$file:$n: $text" if $text =~ /\b(?:TO[D]O|FIX[M]E|XX[X]|HAC[K])\b/;
        push @blank, "$file:$n" if $text =~ /[ \t]$/ && $file !~ m{/t/(?:manifests|unit|fuzz)/};
        $is_table = $1 eq 'off' if $text =~ /clang-format (off|on)/;
        push @long, "$file:$n" if $file =~ m{^\Q$src\E/src/.*\.c$} && !$is_table && width($text) > 120;
    }
}
none(\@marks, 'nothing is left to be done by its own words');
none(\@blank, 'no blanks at the ends of lines');
none(\@long, 'no line of a source file is wider than 120 columns, tables aside');

for my $program (qw(weir weirgen weirctl)) {
    my $version = qx{'$build/$program' --version 2>&1};
    is($? >> 8, 0, "$program --version ends with status 0");
    like($version, qr/\b\d+\.\d+\.\d+\b/, 'and says its version');
    my $help = qx{'$build/$program' --help 2>&1};
    is($? >> 8, 0, "$program --help ends with status 0");
    like($help, qr/^usage:/i, 'and says how it is used');
    qx{'$build/$program' --no-such-option 2>&1};
    is($? >> 8, 2, 'an unknown option is a usage error: status 2');
}

done_testing;
