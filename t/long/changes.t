#!/usr/bin/perl
# The whole run of t/72-changes.t: a thousand reloads and fifty upgrades, unless RELOADS and UPGRADES say otherwise.
use strict;
use warnings;
use FindBin;

$ENV{RELOADS} //= 1000;
$ENV{UPGRADES} //= 50;
exec $^X, (map { "-I$_" } @INC), "$FindBin::Bin/../72-changes.t" or die "$^X: $!\n";
