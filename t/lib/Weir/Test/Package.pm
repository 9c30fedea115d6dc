package Weir::Test::Package;

=head1 NAME

Weir::Test::Package - Debian packages of this source

=head1 SYNOPSIS

    my $file = Weir::Test::Package::build($t);      # weir_VERSION-1_ARCH.deb in the test's directory, or undef
    my $newer = Weir::Test::Package::newer($t, $file);    # the same with a higher version

=cut

use strict;
use warnings;
use Carp qw(croak);
use File::Spec;
use Fcntl qw(:flock);

# Compiled without optimising, in a directory that is kept, as it is for several tests.
sub build {
    my ($t) = @_;
    for my $tool (qw(dpkg-deb dpkg-shlibdeps dpkg-architecture)) {
        return undef if !grep { -x "$_/$tool" } split /:/, $ENV{PATH};
    }
    my $source = File::Spec->rel2abs($ENV{WEIR_SRCDIR} // '.');
    open my $lock, '>', "$t->{build}/debian.lock" or croak "$t->{build}/debian.lock: $!";
    flock $lock, LOCK_EX or croak "flock: $!";
    my ($exit, $out, $err) = $t->run('sh', '-c', 'cd "$1" && shift && exec "$@"', 'sh', $t->dir,
        "$source/contrib/debian/build", "--build-dir=$t->{build}/debian", 'CFLAGS=-O0',
        { timeout => 500, env => { MAKEFLAGS => '', MAKELEVEL => '', DPKG_DEB_COMPRESSOR_LEVEL => 1 } });
    croak "contrib/debian/build: $err" if $exit;
    my ($file) = $out =~ m{building package 'weir' in '([^']+)'} or croak "no package:\n$out";
    return $file;
}

sub newer {
    my ($t, $file) = @_;
    my $newer = $file =~ s/-1_/-2_/r;
    my ($exit, $out, $err) = $t->run('sh', '-c', 'dpkg-deb -R "$1" "$1.d" && sed -i "s/^Version: .*/&.2/" "$1.d/DEBIAN/control" && '
        . 'dpkg-deb --root-owner-group -z1 -b "$1.d" "$2"', 'sh', $file, $newer);
    croak "dpkg-deb: $err" if $exit;
    return $newer;
}

1;
