#!/usr/bin/perl
# Certificates change while clients are served: without new workers (weirctl certs reload), and with them (HUP).

use strict;
use warnings;
use POSIX ();
use Test::More;
use lib 't/lib';
use Weir::Test;

my $t = Weir::Test->new;
my $certs = $t->path('certs');
my %port = map { $_ => $t->port } qw(web front);
my $origin = $t->origin('a');
$t->make_cert($certs, 'web', ['one.test']);
$t->make_cert($certs, 'other', ['other.test']);
my $keys = $t->write('tickets', 'A' x 80);
chmod 0600, $keys;

# weir itself is the TLS server of the second listener's pool, so that one file is both shown and believed.
sub configuration {
    my ($tls) = @_;
    return $t->config(<<"END", workers => 2) =~ s/^global:\n/global:\n  tls: {$tls}\n/mr;
listeners:
  - {name: web, listen: ["127.0.0.1:$port{web}"], protocol: https, pool: web,
     tls: {certificate: web, alpn: [h2, http/1.1], server_names: [{name: other.test, certificate: other}]}}
  - {name: front, listen: ["127.0.0.1:$port{front}"], protocol: http, pool: secure}
pools:
  - {name: web, servers: [{name: a, address: "@{[ $origin->address ]}"}]}
  - {name: secure, protocol: https, tls: {ca: web, server_name: one.test}, servers: [{name: weir, address: "127.0.0.1:$port{web}"}],
     health: {type: http, path: /, interval: 1s, timeout: 5s, rise: 1, fall: 1}}
END
}
my $weir = $t->start_weir(config => configuration("ticket_keys: $keys"));

sub s_client {
    my (@args) = @_;
    my ($exit, $out, $err) = $t->openssl('s_client', '-connect', "127.0.0.1:$port{web}", '-ign_eof', @args,
        { stdin => "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", timeout => 30 });
    my ($cn) = $out =~ /^subject=.*?CN ?= ?(\S+)/m;
    my ($serial) = $out =~ /^(-----BEGIN CERTIFICATE.*?END)/ms;
    return { cn => $cn, pem => $serial, reused => $out =~ /^Reused, /m ? 1 : 0, ok => $out =~ m{HTTP/1\.1 200} ? 1 : 0 };
}
sub ctl { return $t->weirctl('-S', $weir->control_socket, @_) }
sub workers { return join ' ', sort { $a <=> $b } $weir->workers }

subtest 'weirctl certs reload' => sub {
    my ($pids, $generation) = (workers(), $weir->generation);
    my ($mine, $others) = map { $t->path("session-$_") } qw(web other);
    s_client('-noservername', '-sess_out', $mine);
    s_client('-servername', 'other.test', '-sess_out', $others);
    my ($fifo, $kept) = map { $t->path($_) } qw(fifo kept);
    POSIX::mkfifo($fifo, 0600) or die "mkfifo: $!";
    my $client = $t->spawn(sub {
        open STDIN, '<', $fifo or die "$fifo: $!";
        open STDOUT, '>', $kept or die "$kept: $!";
        open STDERR, '>', '/dev/null';
        exec qw(openssl s_client -quiet -connect), "127.0.0.1:$port{web}";
    });
    open my $to_client, '>', $fifo or die "$fifo: $!";
    my $ask = sub { syswrite $to_client, "GET /$_[0] HTTP/1.1\r\nHost: x\r\n\r\n" };
    my $answers = sub { my $n = () = $t->read($kept) =~ m{^HTTP/1\.1 200}mg; return $n };
    $ask->(1);
    $t->wait_until(sub { $answers->() == 1 }, 'a first answer');
    $t->make_cert($certs, 'web', ['two.test', 'one.test'], days => 6);
    is(s_client('-noservername')->{cn}, 'one.test', 'a file alone changes nothing');
    my ($exit, $out, $err) = ctl(qw(certs reload));
    is($exit, 0, 'succeeds') or diag $err;
    like($out, qr/^certificates reloaded$/m, '... and says so');
    is_deeply([map { s_client('-noservername')->{cn} } 1 .. 8], [('two.test') x 8], 'every worker serves the new one at once');
    is(workers(), $pids, 'by the same workers');
    is($weir->generation, $generation, '... and the same configuration');
    $ask->(2);
    $t->wait_until(sub { $answers->() == 2 }, 'a second answer');
    pass('a connection that was there goes on');
    close $to_client;
    $t->end_process($client, 'TERM');
    my $r = s_client('-servername', 'other.test', '-sess_in', $others);
    ok($r->{ok} && $r->{reused}, 'sessions under another certificate are resumed');
    is(s_client('-noservername', '-sess_in', $mine)->{reused}, 0, '... those of the old one are not');
    my ($info) = grep { $_->{id} eq 'web' } @{ $weir->stats->{certificates} };
    is($info->{names}, 'two.test one.test', 'stats tell of the new one');
    like((ctl('certs'))[1], qr/^web .* [56]d/m, '... weirctl too');
    $weir->wait_log(qr/warn control\[\d+\]: certificate web, \S+ \(prime256v1\): expires in [56] days/);
    is($t->http_get($port{front}, '/')->{status}, 200, 'as an authority for servers it is believed');
    $weir->wait_server('secure', 'weir', 'up');
    kill 'KILL', (split / /, $pids)[0];
    $t->wait_until(sub { my @w = $weir->workers; @w == 2 && workers() ne $pids }, 'another worker');
    is_deeply([map { s_client('-noservername')->{cn} } 1 .. 6], [('two.test') x 6], 'a worker started later has it too');
};

subtest 'files with faults' => sub {
    my $good = $t->read("$certs/web.pem");
    my @faults = (
        ['gone', qr/has no certificate and no private key/],
        [$good =~ s/(-----BEGIN CERTIFICATE-----\n.{20}).*?\n/$1\n/sr, qr/error: listener web: certificate "web"/],
    );
    for my $fault (@faults) {
        my ($text, $expected) = @$fault;
        $t->write("$certs/web.pem", $text);
        my ($exit, $out, $err) = ctl(qw(certs reload));
        is($exit, 1, 'refused');
        like($err, qr/^\S+\.yaml:\d+:\d+: error: listener web: certificate "web"/m, '... with the place in the configuration');
        like($err, $expected, '... and the reason');
        like($err, qr/^weirctl: reload failed, the old certificates are served on$/m, '... and what follows');
        is(s_client('-noservername')->{cn}, 'two.test', 'the old one is served on');
    }
    unlink "$certs/other.pem";
    $t->write("$certs/web.pem", $good);
    my ($exit, undef, $err) = ctl(qw(certs reload));
    is($exit, 1, 'one missing file is enough');
    like($err, qr/cannot read \S+other\.pem: No such file/, '... and named');
    like($weir->log, qr/error master\[\d+\]: certificates: reload failed, the old ones are served on/, 'the log has it');
    $t->make_cert($certs, 'other', ['other.test']);
    is((ctl(qw(certs reload)))[0], 0, 'mended, it is taken');
    is((ctl(qw(certs relaod)))[0], 1, 'another word is refused');
    is((ctl(qw(certs reload now)))[0], 2, 'more words are wrong usage');
};

subtest 'keys of tickets in a file' => sub {
    my $session = $t->path('session-keys');
    s_client('-noservername', '-sess_out', $session);
    $t->write('tickets', 'B' x 80 . 'A' x 80);
    is((ctl(qw(certs reload)))[0], 0, 'a new key before the old one');
    is(s_client('-noservername', '-sess_in', $session)->{reused}, 1, 'the old one opens on');
    $t->write('tickets', 'B' x 80);
    is((ctl(qw(certs reload)))[0], 0, 'the old one gone');
    is(s_client('-noservername', '-sess_in', $session)->{reused}, 0, 'opens no more');
};

# Clients that make a connection for each request, until told to stop; what went wrong stands in their logs.
sub rotate_under_load {
    my ($change) = @_;
    my $stop = $t->path('stop');
    unlink $stop;
    my @clients = map {
        my $log = $t->path("client-$_.log");
        $t->spawn(sub {
            open my $out, '>', $log or die "$log: $!";
            until (-e $stop) {
                my @codes = qx{curl -sSk -m 30 -H 'Connection: close' -o /dev/null -w '%{http_code} %{errormsg}\\n' 'https://127.0.0.1:$port{web}/[1-20]' 2>&1};
                print $out @codes;
                $out->flush;
            }
        });
    } 1 .. 3;
    my $served = sub { my $n = 0; $n += () = $t->read($t->path("client-$_.log")) =~ /^200/mg for 1 .. 3; return $n };
    for my $round (1 .. 6) {
        my $goal = $served->() + 30;
        $t->wait_until(sub { $served->() >= $goal }, 'more handshakes', 30);
        $t->make_cert($certs, 'web', ["round$round.test", 'one.test']);
        $change->();
    }
    $t->write('stop', '');
    $t->reap($_) for @clients;
    my %count;
    $count{$_}++ for map { split /\n/, $t->read($t->path("client-$_.log")) } 1 .. 3;
    my $good = delete($count{'200 '}) // 0;
    cmp_ok($good, '>=', 180, "$good handshakes while the certificate changed six times");
    is_deeply(\%count, {}, '... none of them failed');
    is(s_client('-noservername')->{cn}, 'round6.test', '... and the last one is served');
    return;
}

subtest 'under load, with the same workers' => sub {
    my $pids = workers();
    my $failures = $weir->stats_listener('web')->{tls_failures};
    rotate_under_load(sub { is((ctl(qw(certs reload)))[0], 0, 'taken') });
    is(workers(), $pids, 'the workers are the same');
    is($weir->stats_listener('web')->{tls_failures}, $failures, 'weir counts no failure either');
};
subtest 'under load, by HUP' => sub { rotate_under_load(sub { $weir->reload }) };

subtest 'a new binary' => sub {
    $weir->reload(configuration('ticket_rotation: 1h'));
    my $session = $t->path('session-upgrade');
    s_client('-noservername', '-sess_out', $session);
    $weir->signal('USR2');
    $weir->follow_pid_file;
    is_deeply([map { s_client('-noservername', '-sess_in', $session)->{reused} } 1 .. 4], [(1) x 4], 'goes on with sessions');
};

subtest 'both at once' => sub {
    $weir->signal('HUP');
    is((ctl(qw(certs reload)))[0], 0, 'a reload of certificates during one of the configuration');
    is((ctl(qw(reload)))[0], 0, 'and the other way round');
};

$weir->quit;
$t->wait_until(sub { !-e $weir->control_socket }, 'the end');
done_testing;
