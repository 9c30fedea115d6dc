#!/usr/bin/perl
# Input that nobody should write: each ends with an error that says where, and -o leaves the old file as it was.

use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n";
my $bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" . join '', map { my $before = chr(ord($_) - 1); "$_: &$_ [" . join(',', ("*$before") x 9) . "]\n" } 'b' .. 'i';

# WHAT, BYTES, what the first error is like (undef: none)
my @cases = (
    [ 'a NUL', "${service}x: \"a\0b\"\n", qr/5:6: error: not valid YAML: control characters are not allowed/ ],
    [ 'a NUL as an escape', "${service}x: \"a\\0b\"\n", qr/5:4: error: the text holds a NUL character/ ],
    [ 'no UTF-8', "${service}x: \xff\xfe\n", qr/5:4: error: not valid YAML: invalid leading UTF-8 octet; UTF-8 text/ ],
    [ 'UTF-8 that is cut', "${service}x: \xe4\xbd", qr/5:4: error: not valid YAML: incomplete UTF-8 octet sequence/ ],
    [ 'UTF-16', join('', map { "$_\0" } split //, $service), qr/1:\d: error: not valid YAML/ ],
    [ 'brackets', 'a: ' . '[' x 100_000, qr/1:67: error: nested too deeply; 64 levels are allowed/ ],
    [ 'maps in maps', join('', map { ' ' x $_ . "a:\n" } 0 .. 999), qr/65:65: error: nested too deeply/ ],
    [ 'braces where nothing is read', "${service}  volumes: " . '{a: ' x 1000, qr/error: (?:nested too deeply|not valid YAML)/ ],
    [ 'a bomb of aliases', $bomb, qr/error: (?:anchor "&a" is not allowed|not a Kubernetes object)/ ],
    [ 'CRLF', $service =~ s/\n/\r\n/gr, undef ],
    [ 'CR alone', $service =~ s/\n/\r/gr, undef ],
    [ 'a byte order mark', "\xef\xbb\xbf$service", undef ],
    [ 'a million documents', "---\n" x 1_000_000, undef ],
    [ 'one long line', "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {k: \"" . 'z' x 20_000_000 . "\"}\n", undef ],
    [ 'many keys', join('', map { "k$_: 1\n" } 1 .. 200_000), qr/1:1: error: not a Kubernetes object: "kind" is missing/ ],
    [ 'many values', 'x: [' . '1,' x 10_000_001 . '1]', qr/1:\d+: error: too many values; 10000000 are allowed/ ],
    [ 'as many errors as Services', join("---\n", map { $service =~ s/name: a/name: a$_/r =~ s/80/0/r } 1 .. 5000), qr/4:43: error: spec\.ports: port "0" .* allowed: 1 to 65535/ ],
    [ 'a list of lists', join('', map { '{"apiVersion":"v1","kind":"List","items":[' } 1 .. 20) . ']}' x 20, qr/error: lists in lists; allowed: 8 levels/ ],
);
for my $case (@cases) {
    my ($what, $bytes, $like) = @$case;
    my $in = $t->path('in.yaml');
    open my $file, '>:raw', $in or die "$in: $!";
    print $file $bytes;
    close $file or die "$in: $!";
    my $target = $t->write('out.yaml', 'old');
    my ($exit, $out, $err) = $t->weirgen('-o', $target, $in);
    my ($error) = $err =~ /^(\Q$in\E:.*error: .*)$/m;
    is($exit, defined $like ? 1 : 0, "$what: " . (defined $like ? 'refused' : 'read')) or diag substr $err, 0, 500;
    like(($error // '') =~ s/^\Q$in\E://r, $like, "$what: the first error") if defined $like;
    is($t->read('out.yaml') eq 'old', defined $like, "$what: -o leaves the old file exactly then");
}
done_testing;
