#!/usr/bin/perl
# Manuals and scripts, where the checkers are installed.  The slow ones for C are `make lint`.

use strict;
use warnings;
use Test::More;

my $src = $ENV{WEIR_SRCDIR} // '.';

sub have {
    my ($program) = @_;
    return grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

my @scripts = grep { -f && slurp($_) =~ m{^#!/bin/sh} } "$src/configure", "$src/.ci/run", glob("$src/contrib/* $src/contrib/*/*");

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or return '';
    local $/;
    return <$in> // '';
}

for my $script (@scripts) {
    my $out = qx{sh -n '$script' 2>&1};
    is($? >> 8, 0, "$script is a shell script") or diag $out;
}

SKIP: {
    skip 'shellcheck is not installed', 1 if !have('shellcheck');
    my $out = qx{shellcheck -S warning -s sh @scripts 2>&1};
    is($out, '', 'shellcheck finds nothing in the scripts');
}

SKIP: {
    my @pages = glob "$src/doc/*.[1578]";
    skip 'mandoc is not installed', 1 if !have('mandoc') || !@pages;
    my $out = qx{mandoc -Tlint -W warning @pages 2>&1};
    is($out, '', 'mandoc finds nothing in the manual pages');
}

done_testing;
