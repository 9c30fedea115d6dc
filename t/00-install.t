#!/usr/bin/perl
# configure, make install, make uninstall, make dist: what they do, and what they say when something is missing.
use strict;
use warnings;
use File::Find ();
use File::Spec;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $source = File::Spec->rel2abs($ENV{WEIR_SRCDIR} // '.');

# This build's make; what is built stays as it is.
sub make {
    my (@args) = @_;
    my @built = map { ('-o', $_) } qw(weir weirgen weirctl Makefile);
    my ($exit, $out, $err) = $t->run('make', '-s', '-C', $t->{build}, @built, @args, { env => { MAKEFLAGS => '', MAKELEVEL => '' } });
    is($exit, 0, "make @args") or diag "$out$err";
    return $out;
}
sub files {
    my ($top) = @_;
    my @files;
    File::Find::find(sub { push @files, $File::Find::name =~ s/^\Q$top\E//r if -f }, $top) if -d $top;
    return sort @files;
}

subtest 'install and uninstall' => sub {
    my $to = $t->path('to');
    make('install', "DESTDIR=$to");
    my @files = files($to);
    my ($unit) = grep { m{/lib/systemd/system/weir\.service$} } @files;
    my ($settings) = map { m{^(.*)/weir/weir\.yaml$} } @files;
    my ($weir) = grep { m{/sbin/weir$} } @files;
    ok($unit && $settings && $weir, 'programs, settings and the unit are there') or diag "@files";
    for my $page (map { s{.*/}{}r } glob "$source/doc/*.[1578]") {
        ok((grep { m{/man/man\d/\Q$page\E$} } @files), "the manual page $page");
    }
    like($t->read("$to$unit"), qr{^ExecStart=\Q$weir\E -c \Q$settings\E/weir/weir\.yaml$}m, 'the unit starts what was installed');
    unlike($t->read("$to$unit"), qr/\@\w+\@/, 'and every path in it is filled in');
    my $run = $t->read("$to$unit") =~ m{^ReadWritePaths=-(\S+)}m ? $1 : '';
    ok($run =~ m{^/run/} || -d "$to$run", 'where it keeps its pid file');

    $t->write("$to$settings/weir/weir.yaml", "version: 1\n");
    make('install', "DESTDIR=$to");
    is($t->read("$to$settings/weir/weir.yaml"), "version: 1\n", 'installed again, settings are kept');
    ok(-e "$to$settings/weir/weir.yaml.example", 'and the new ones beside them');
    make('uninstall', "DESTDIR=$to");
    is_deeply([ files($to) ], ["$settings/weir/weir.yaml"], 'uninstall leaves the settings that were changed, and nothing else');
};

subtest 'dist' => sub {
    make('dist');
    my ($archive) = glob "$t->{build}/weir-*.tar.gz";
    my ($exit, $out) = $t->run('tar', '-tzf', $archive);
    my %has = map { s{^[^/]+/}{}r => 1 } split /\n/, $out;
    ok($has{$_}, "$_ is in it") for qw(configure Makefile.in README.md LICENSE src/process/main.c contrib/systemd/weir.service t/00-build.t);
    unlink $archive;
};

sub configure {
    my ($dir, @args) = @_;
    mkdir $t->path($dir);
    return $t->run('sh', '-c', 'cd "$1" && shift && exec "$@"', 'sh', $t->path($dir), "$source/configure", @args);
}

subtest 'configure' => sub {
    my ($exit, $help) = configure('c', '--help');
    is($exit, 0, '--help');
    my $script = $t->read("$source/configure");
    my ($known) = $script =~ /^for arg; do\n(.*?)# Packaging tools/ms;
    my %options = map { $_ => 1 } $known =~ /^\t(--[a-z-]+)(?:=\*|\s)/mg;
    my @silent = grep { !/^--disable/ && $help !~ /\Q$_\E\b/ } sort keys %options;
    is_deeply(\@silent, [], 'names every option');
    my $err;
    ($exit, undef, $err) = configure('c', '--prefx=/usr');
    is($exit, 1, 'an unknown option is refused');
    like($err, qr/unknown argument --prefx=\/usr; configure --help lists/, 'with what to do');
    ($exit, undef, $err) = configure('c', 'CC=no-such-compiler');
    like($err, qr/no working C11 compiler .* apt-get install gcc libc6-dev/, 'a missing compiler is told with its packages');
    ($exit, undef, $err) = configure('with space');
    like($err, qr/make cannot handle the directory names .*with space; build elsewhere/, 'a directory that make cannot handle is told');
    # A compiler for which two libraries are not there.
    my $cc = $t->write('cc', "#!/bin/sh\nfor arg; do case \$arg in *.c) ! grep -qE 'jansson|pcre2' \"\$arg\" || exit 1 ;; esac; done\nexec "
        . ($ENV{WEIR_CC} || 'cc') . " \"\$\@\"\n");
    chmod 0755, $cc;
    ($exit, undef, $err) = configure('c', "CC=$cc");
    is($exit, 1, 'without its libraries there is no build');
    like($err, qr/^  jansson \(Debian: libjansson-dev\)\n  PCRE2 \(Debian: libpcre2-dev\)$/m, 'all that is missing is told at once');
    like($err, qr/^  apt-get install libjansson-dev libpcre2-dev$/m, 'with the command that installs it');
    ok(!-e $t->path('c/Makefile'), 'and no Makefile is left behind');
};

done_testing;
