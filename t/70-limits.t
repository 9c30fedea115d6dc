#!/usr/bin/perl
# At the start weir tells which limits of the machine are too low.
use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my $port = $t->port;
my $config = $t->config("listeners: [{name: web, listen: [\"127.0.0.1:$port\"], protocol: http, redirect: {scheme: https}}]\n");
my $file = $t->write('weir.yaml', $config);
my $pid = $t->spawn(sub { exec 'sh', '-c', "ulimit -n 900; exec '@{[ $t->program('weir') ]}' -c '$file'" }, 'log');
$t->wait_until(sub { eval { $t->http_get($port, '/')->{status} == 301 } }, 'weir serves');
like($t->read('log'), qr/ warn master\[\d+\]: limits: each worker may open 900 files only, .* LimitNOFILE=65536/, 'few files');
kill 'HUP', $pid;
$t->wait_until(sub { $t->read('log') =~ /configuration 2 .* is in force/ }, 'a reload');
my $count = () = $t->read('log') =~ /limits: each worker/g;
is($count, 1, 'a reload does not say it again');
is($t->end_process($pid, 'TERM'), 0, 'weir ends');
done_testing;
