#!/usr/bin/perl
# Every manifest of t/manifests: the configuration and the diagnostics that weirgen makes of it.
#
#   x.yaml  x.expected.yaml  x.expected.err (only where something is said)
#   bad/x.yaml: one fault each; the first line says what the error must name, x.expected.err is the error
#
# UPDATE=1 writes the expected files anew: then read the difference, line by line, before it is committed.

use strict;
use warnings;
use MIME::Base64 qw(encode_base64);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $dir = ($ENV{WEIR_SRCDIR} // '.') . '/t/manifests';
my $site = $t->write('site/site.yaml', slurp("$dir/site.yaml.example"));
my $certs = $t->path('site/certs');
my $filled = $t->path('filled');

# One key serves for all: what is looked at is which ID is asked for.  RSA, as most ACK policies serve no other.
my @ids = qw(17e3b4f4bc40471c86741dc3aa211379 your-cert-id-1 cert-id-1 cert-id-2
    1234567890123456_17e3b4f4bc4_1166777777_-1234567890);
my $pem = $t->make_cert($certs, shift @ids, ['localhost'], type => 'rsa');
$t->write("site/certs/$_.pem", $pem->{crt} . $pem->{key}) for @ids;

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or return '';
    local $/;
    return <$in> // '';
}

sub spew {
    my ($path, $text) = @_;
    if ($text eq '') {
        unlink $path;
        return;
    }
    open my $out, '>', $path or die "$path: $!";
    print $out $text;
    close $out or die "$path: $!";
}

# Without what differs from machine to machine.
sub neutral {
    my ($text) = @_;
    $text =~ s{\Q$dir/\E}{}g;
    $text =~ s{\Q$filled/\E}{}g;
    $text =~ s{\Q$certs\E}{\@CERTS\@}g;
    return $text;
}

# What kubectl would show of a Secret stands there as a placeholder.
sub filled {
    my ($file) = @_;
    my ($base) = $file =~ m{([^/]+)$};
    my $text = slurp($file);
    return $file if $text !~ /REPLACE_WITH_BASE64/;
    $text =~ s/REPLACE_WITH_BASE64_CERTIFICATE/encode_base64($pem->{crt}, '')/ge;
    $text =~ s/REPLACE_WITH_BASE64_KEY/encode_base64($pem->{key}, '')/ge;
    return $t->write("filled/$base", $text);
}

# weir -T of a configuration, and of that.
sub print_twice {
    my ($text) = @_;
    my (undef, $first) = $t->weir('-T', '-c', $t->write('printed.yaml', $text));
    my (undef, $second) = $t->weir('-T', '-c', $t->write('printed.yaml', $first));
    return ($first, $second);
}

sub expect {
    my ($path, $text, $what) = @_;
    spew($path, $text) if $ENV{UPDATE};
    is($text, slurp($path), $what);
}

for my $file (glob "$dir/*.yaml") {
    next if $file =~ /\.expected\.yaml$/;
    my ($base) = $file =~ m{([^/]+)\.yaml$};
    my ($exit, $out, $err) = $t->weirgen('-s', $site, filled($file));
    is($exit, 0, "$base: accepted");
    expect("$dir/$base.expected.yaml", neutral($out), "$base: the configuration");
    my ($printed, $again) = print_twice($out);
    isnt($printed, '', "$base: weir prints it with its defaults");
    is($again, $printed, "$base: and the same of what it has printed");
    expect("$dir/$base.expected.err", neutral($err), "$base: the diagnostics");
}

for my $file (glob "$dir/bad/*.yaml") {
    my ($base) = $file =~ m{([^/]+)\.yaml$};
    my $target = $t->path("bad-$base.yaml");
    my ($exit, $out, $err) = $t->weirgen('-s', $site, '-o', $target, $file);
    is($exit, 1, "bad/$base: refused");
    is($out, '', "bad/$base: nothing on standard output");
    ok(!-e $target, "bad/$base: nothing written");
    expect("$dir/bad/$base.expected.err", neutral($err), "bad/$base: the diagnostics");

    # "error at KEY: WHAT; allowed: RANGE (remark)": all of it but the remark must be in one error
    my ($line) = slurp($file) =~ /\A# expect: error(?: at)?:? (.*)\n/;
    my ($what, $allowed) = split /; allowed: /, $line;
    my ($key, $value) = $what =~ /^(\S+): (.*)$/ ? ($1, $2) : ('', $what);
    my ($error) = grep { /: error: / } split /\n/, $err;
    like($error, qr/^\Q$file\E:\d+:\d+: error: /, "bad/$base: the error has its place");
    like($error, qr/\Q$key\E/, "bad/$base: it names the key");
    $value =~ s/ \(.*//;
    my @words = $value =~ /"[^"]*"|[\w\/.-]+/g;
    like($error, qr/\Q$_\E/, "bad/$base: it says $_") for @words;
    if (defined $allowed && $allowed !~ /section/) {
        like($error, qr/allowed: \Q$allowed\E/, "bad/$base: it says what is allowed");
    }
}

done_testing;
