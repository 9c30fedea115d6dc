#!/usr/bin/perl
# The configuration as a user meets it: weir -t, -T, --schema, the examples, and what is said about faults.

use strict;
use warnings;
use JSON::PP;
use Test::More;
use lib 't/lib';
use Weir::Test;

my $src = $ENV{WEIR_SRCDIR} // '.';
my $t = Weir::Test->new;

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!";
    local $/;
    return scalar <$in>;
}

# Writes `text` as conf.yaml in the test's directory, runs weir on it, and gives back exit status, stdout and stderr
# with the directory taken out of them.
sub weir_on {
    my ($option, $text) = @_;
    my $file = $t->write('conf.yaml', $text);
    my ($exit, $out, $err) = $t->weir($option, '-c', $file);
    (my $dir = $file) =~ s/conf\.yaml$//;
    s/\Q$dir\E//g for $out, $err;
    return ($exit, $out, $err);
}

# --- what is right ---

my $example = slurp("$src/etc/weir.yaml");
my ($page) = slurp("$src/doc/weir.yaml.5") =~ /^\.Bd -literal[^\n]*\n(.*?)^\.Ed/ms;
my $json = encode_json({
    version => 1,
    listeners => [{ name => 'l', listen => ['127.0.0.1:8080'], protocol => 'http', pool => 'p' }],
    pools => [{ name => 'p', servers => [{ name => 's', address => '127.0.0.1:8001', weight => 5 }] }],
});

for (['the example in etc', $example], ['the example in weir.yaml(5)', $page], ['JSON', $json]) {
    my ($name, $text) = @$_;
    my ($exit, $first, $err) = weir_on('-T', $text);
    is($exit, 0, "$name is accepted");
    is($err, '', "$name: without a warning");
    my ($exit2, $second) = weir_on('-T', $first);
    is($exit2, 0, "$name: what -T prints is accepted");
    is($second, $first, "$name: what -T prints reads back to the same");
}

{
    my ($exit, $out, $err) = weir_on('-T', $json);
    like($out, qr/^version: 1\nglobal:\n  workers: auto\n/, '-T begins with the defaults of the daemon');
    like($out, qr/^    timeouts: \{client_head: 1m, .*tunnel: 1h, flow: 1m\}$/m, '-T fills in the timeouts of a listener');
    like($out, qr/^      - \{name: s, address: "127\.0\.0\.1:8001", weight: 5, backup: off\}$/m, '-T keeps what was given');
    ($exit, $out) = $t->weir('-T', '-c', '-', { stdin => "version: 1\n" });
    is($exit, 0, 'the configuration may come from standard input');
    like($out, qr/^version: 1$/m, 'and is printed');
}

{
    # With paths and a user that are there.
    my $ready = $t->config(<<'CONFIG');
listeners:
  - {name: l, listen: ["127.0.0.1:1"], protocol: http, pool: p}
pools:
  - {name: p, servers: [{name: s, address: "127.0.0.1:8001"}]}
CONFIG
    my ($exit, $out, $err) = weir_on('-t', $ready);
    is($exit, 0, '-t accepts a right configuration') or diag $err;
    like($out, qr/conf\.yaml: configuration is valid/, '-t says so');
    is($err, '', '-t has nothing to warn about');
    $ready =~ s/servers: .*\]/servers: []/;
    ($exit, $out, $err) = weir_on('-t', $ready);
    is($exit, 0, 'a pool without servers is accepted');
    like($err, qr/^conf\.yaml:\d+:\d+: warning: pool "p" has no servers; requests are answered with 503$/m,
        'with a warning');
}

# --- what editors and people read ---

{
    my ($exit, $out) = $t->weir('--schema');
    is($exit, 0, '--schema');
    my $schema = eval { decode_json($out) };
    ok($schema, 'is JSON') or diag $@;
    is($schema->{'$schema'}, 'https://json-schema.org/draft/2020-12/schema', 'and says of which draft');

    # Every key that -T prints for the example is in the schema, which allows no others.
    my (undef, $dump) = weir_on('-T', $example);
    my %known;
    my $walk;
    $walk = sub {
        my ($node) = @_;
        $known{$_} = 1 for keys %{ $node->{properties} // {} };
        $walk->($_) for values %{ $node->{properties} // {} };
        ref $node->{$_} eq 'HASH' && $walk->($node->{$_}) for qw(items additionalProperties);
    };
    $walk->($schema);
    my %keys = map { $_ => 1 } $dump =~ /(?:^|[{ ])([a-z_]+):(?=[ \n])/mg;
    delete $keys{office};    # a name
    is(join(' ', grep { !$known{$_} } sort keys %keys), '', 'the schema knows all keys that -T prints');

    ($exit, $out) = $t->weir('--manual');
    is($exit, 0, '--manual');
    ok(index(slurp("$src/doc/weir.yaml.5"), $out) > 0, 'is what weir.yaml(5) holds');
}

# --- what is wrong: all of it is told, with its place ---

my @faults = (
    ['malformed YAML', "version: 1\nlisteners: [\n  {name: a\n",
        qr/^conf\.yaml:4:1: error: not valid YAML: /],
    ['an empty file', '', qr/^conf\.yaml: error: the file holds no configuration; /],
    ['a wrong type', "version: 1\nglobal: {workers: [4]}\n",
        qr/^conf\.yaml:2:19: error: workers: a list is given; allowed: auto, or a whole number from 1 to 120$/m],
    ['a value out of range', "version: 1\nglobal: {workers: 4000}\n",
        qr/^conf\.yaml:2:19: error: workers: "4000" is too big; allowed: /m],
    ['an unknown key', "version: 1\nglobal: {worker: 4}\n",
        qr/^conf\.yaml:2:10: error: unknown key "worker" in global, did you mean "workers"\?; allowed: /m],
    ['https without a certificate', <<'CONF', qr/^conf\.yaml:3:5: error: listener "l" has protocol https and no tls; /m],
version: 1
listeners:
  - {name: l, listen: ["127.0.0.1:1"], protocol: https, pool: p}
pools: [{name: p, servers: [{name: s, address: "127.0.0.1:2"}]}]
CONF
    ['two listeners on one address', <<'CONF', qr/^conf\.yaml:4:24: error: address 127\.0\.0\.1:1 is taken already by listener "a" at line 3; /m],
version: 1
listeners:
  - {name: a, listen: ["127.0.0.1:1"], protocol: http, redirect: {}}
  - {name: b, listen: ["127.0.0.1:1"], protocol: http, redirect: {}}
CONF
    ['terminal control characters', "version: 1\n\"\\e[31m\": 1\n",
        qr/^conf\.yaml:2:1: error: unknown key "\\x1b\[31m" in configuration; /m],
);
for (@faults) {
    my ($name, $text, $expected) = @$_;
    for my $option ('-t', '-T') {
        my ($exit, $out, $err) = weir_on($option, $text);
        is($exit, 1, "$option: $name: exit status 1");
        is($out, '', "$option: $name: nothing on stdout");
        like($err, $expected, "$option: $name is told with its place");
    }
}

{
    my ($exit, undef, $err) = weir_on('-T', <<'CONF');
version: 1
global: {limits: {headers: 3}}
listeners:
  - {name: l, listen: ["1.2.3.4"], protocol: http, pool: q}
pools:
  - {name: p, balance: random, servers: [{name: a, address: "10.0.0.1:80"}, {name: a, address: "10.0.0.2:80"}]}
CONF
    is($exit, 1, 'several faults');
    is($err, <<'ERR', 'are told all at once, in the order of the file');
conf.yaml:2:28: error: headers: "3" is too small; allowed: a whole number from 8 to 256
conf.yaml:4:24: error: listen: "1.2.3.4" is not an address with its port; allowed: a list of: IP addresses with their ports, such as 0.0.0.0:80, [::]:80 or *:80 (at least 1)
conf.yaml:4:58: error: pool: there is no pool "q"; a name under pools is needed
conf.yaml:6:24: error: balance: "random" is not known here; allowed: weighted_round_robin, weighted_least_connections, source_hash, tuple_hash or power_of_two
conf.yaml:6:77: error: there are two servers "a", the first at line 6; each needs its own name
ERR
}

{
    my ($exit, undef, $err) = $t->weir('-t', '-c', $t->path('nowhere.yaml'));
    is($exit, 1, 'a file that is not there');
    like($err, qr/nowhere\.yaml: error: cannot read the file: No such file or directory$/m, 'is told as such');
    ($exit, undef, $err) = $t->weir('-t', '-c', $t->path('.'));
    is($exit, 1, 'a directory');
    like($err, qr/error: cannot read the file: Is a directory$/m, 'is told as such');
}

done_testing;
