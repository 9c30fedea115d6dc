#!/usr/bin/perl
# TLS listeners: certificates by name, policies, ALPN, sessions, faults of files and of clients.

use strict;
use warnings;
use File::Spec;
use Test::More;
use lib 't/lib';
use Weir::Test;

my $t = Weir::Test->new;
my $certs = $t->path('certs');
my %port = map { $_ => $t->port } qw(web ec old modern rsa_only tls short);
my $origin = $t->origin('a');
my $answer = $t->tcp_server('answer', sub {
    my ($conn) = @_;
    $conn->send('got ' . $conn->read_match(qr/\n/));
});

my $rsa = $t->make_cert($certs, 'rsa', [qw(rsa.test localhost)], type => 'rsa');
my $ec = $t->make_cert($certs, 'ec', ['ec.test'], layout => 'pair');
$t->make_cert($certs, 'wild', ['*.wild.test']);
# One ID with certificates of both kinds.
$t->write("$certs/both.pem", join '', @{$rsa}{qw(key crt)}, @{$ec}{qw(crt key)});
chmod 0600, "$certs/both.pem";

sub https {
    my ($name, $tls, $rest) = @_;
    return "  - {name: $name, listen: [\"127.0.0.1:$port{$name}\"], protocol: https, tls: {$tls}, pool: web"
        . ($rest // '') . "}\n";
}

sub configuration {
    return $t->config(join('', "listeners:\n",
        https('web', 'certificate: rsa, server_names: [{name: ec.test, certificate: ec}, '
            . '{name: "*.wild.test", certificate: wild}]', ', forwarded: {proto: on}'),
        https('ec', 'certificate: ec, policy: tls-1-2, alpn: [http/1.1]'),
        https('old', 'certificate: both, policy: tls-1-0'),
        https('modern', 'certificate: rsa, policy: modern'),
        https('rsa_only', 'certificate: both, policy: tls_cipher_policy_1_2'),
        https('short', 'certificate: rsa', ', timeouts: {client_head: 300ms}'),
        "  - {name: tls, listen: [\"127.0.0.1:$port{tls}\"], protocol: tls, tls: {certificate: rsa}, pool: answer}\n",
        "pools:\n",
        "  - {name: web, servers: [{name: a, address: \"@{[ $origin->address ]}\"}]}\n",
        "  - {name: answer, protocol: tcp, servers: [{name: t, address: \"@{[ $answer->address ]}\"}]}\n"),
        workers => 2);
}

my $weir = $t->start_weir(config => configuration());

# What openssl saw of one request: {ok, cn, version, cipher, reused, alpn, text}.
sub s_client {
    my ($name, @args) = @_;
    my ($exit, $out, $err) = $t->openssl('s_client', '-connect', "127.0.0.1:$port{$name}", '-ign_eof', @args,
        { stdin => "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", timeout => 30 });
    my ($new, $version, $cipher) = $out =~ /^(New|Reused), (\S+), Cipher is (\S+)/m;
    my ($cn) = $out =~ /^subject=.*?CN ?= ?(\S+)/m;
    my ($alpn) = $out =~ /^ALPN protocol: (\S+)/m;
    my ($protocol) = $out =~ /^\s*Protocol\s*: (\S+)/m;
    return {
        ok => $out =~ m{^HTTP/1\.1 200}m ? 1 : 0,
        cn => $cn, version => $protocol // $version, cipher => $cipher, alpn => $alpn,
        reused => ($new // '') eq 'Reused' ? 1 : 0, text => "$out$err",
    };
}

sub old_client { return ('-cipher', 'ALL:@SECLEVEL=0', @_) }

subtest 'certificates by name' => sub {
    is(s_client('web', '-noservername')->{cn}, 'rsa.test', 'no name: the default certificate');
    is(s_client('web', '-servername', 'ec.test')->{cn}, 'ec.test', 'an exact name');
    is(s_client('web', '-servername', 'EC.Test')->{cn}, 'ec.test', 'in any case');
    is(s_client('web', '-servername', 'a.wild.test')->{cn}, '*.wild.test', 'a wildcard');
    is(s_client('web', '-servername', 'a.b.wild.test')->{cn}, 'rsa.test', 'which stands for one label');
    is(s_client('web', '-servername', 'no.test')->{cn}, 'rsa.test', 'an unknown name: the default certificate');
    is(s_client('web', '-servername', '!?.test')->{cn}, 'rsa.test', 'a name that is none: the default certificate');
};

subtest 'requests pass' => sub {
    $t->write('ec.crt', $ec->{crt});
    my ($exit, $out, $err) = $t->curl('--cacert', $t->path('ec.crt'), '--resolve', "ec.test:$port{web}:127.0.0.1",
        "https://ec.test:$port{web}/hello");
    is($exit, 0, 'curl verifies the certificate') or diag $err;
    is($out, "a\n", 'and gets the answer');
    is($origin->last_request->{headers}{'x-forwarded-proto'}, 'https', 'the server learns that it was https');
    ($exit, $out) = $t->curl('-k', '--data-binary', '@' . $t->write('large', 'x' x 200_000),
        "https://127.0.0.1:$port{web}/echo");
    is(($out =~ /(x{1000,})\z/) && length $1, 200_000, 'a large body goes up and comes back');
    ($exit, $out) = $t->curl('-k', "https://127.0.0.1:$port{web}/bytes/3000000");
    is(length $out, 3_000_000, 'a large response comes whole');
    ($exit, $out, $err) = $t->curl('-kv', map { "https://127.0.0.1:$port{web}/$_" } 1 .. 5);
    is(() = $out =~ /^a$/mg, 5, 'five requests');
    is(() = $err =~ /SSL connection using/g, 1, 'on one connection');
};

subtest 'policies' => sub {
    my %versions = (tls1 => 'TLSv1', tls1_1 => 'TLSv1.1', tls1_2 => 'TLSv1.2', tls1_3 => 'TLSv1.3');
    my %allowed = (
        web => [qw(tls1_2 tls1_3)], ec => ['tls1_2'], old => [qw(tls1 tls1_1 tls1_2)], modern => ['tls1_3'],
        rsa_only => ['tls1_2'],
    );
    for my $name (sort keys %allowed) {
        for my $option (sort keys %versions) {
            my $r = s_client($name, "-$option", old_client());
            if (grep { $_ eq $option } @{ $allowed{$name} }) {
                is($r->{ok} && $r->{version}, $versions{$option}, "$name serves $versions{$option}");
            } else {
                ok(!$r->{ok}, "$name refuses $versions{$option}");
                like($r->{text}, qr/alert protocol version/, '... and says so');
            }
        }
    }
    is(s_client('web', '-tls1_2', '-cipher', 'AES128-SHA:AES128-GCM-SHA256')->{ok}, 0, 'no static RSA by default');
    is(s_client('old', '-tls1_2', '-cipher', 'AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256')->{cipher},
        'ECDHE-RSA-AES128-GCM-SHA256', 'the order is the server\'s');
    is(s_client('rsa_only', '-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-GCM-SHA256')->{ok}, 0,
        'a policy without ECDSA does not use an EC key');
};

subtest 'certificates of both kinds under one ID' => sub {
    is(s_client('old', '-tls1_2', '-cipher', 'ECDHE-RSA-AES128-GCM-SHA256')->{cn}, 'rsa.test', 'RSA for one client');
    is(s_client('old', '-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-GCM-SHA256')->{cn}, 'ec.test', 'EC for another');
};

subtest 'ALPN' => sub {
    is(s_client('web', '-alpn', 'http/1.1,h2')->{alpn}, 'h2', 'what both know is taken, as weir wants it: HTTP/2 first');
    is(s_client('web', '-alpn', 'http/1.1')->{alpn}, 'http/1.1', 'HTTP/1.1 for those who know no other');
    is(s_client('ec', '-alpn', 'h2,http/1.1')->{alpn}, 'http/1.1', 'h2 is not offered where the listener does not list it');
    is(s_client('old', '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0', '-alpn', 'h2,http/1.1')->{alpn}, 'http/1.1', 'nor to connections that HTTP/2 forbids');
    is(s_client('web')->{ok}, 1, 'a client without ALPN is served');
    my $r = s_client('web', '-alpn', 'spdy/3');
    is($r->{ok}, 0, 'nothing in common: no connection');
    like($r->{text}, qr/no application protocol/, '... and the alert of RFC 7301');
};

subtest 'TLS in, TCP out' => sub {
    my ($exit, $out) = $t->openssl('s_client', '-connect', "127.0.0.1:$port{tls}", '-ign_eof', '-alpn', 'h2,mqtt',
        { stdin => "a line\n" });
    is($exit, 0, 'the connection ends well');
    like($out, qr/^got a line$/m, 'bytes go both ways');
    like($out, qr/^No ALPN negotiated$/m, 'and weir speaks for no protocol inside');
    like($out, qr/subject=.*rsa\.test/, 'with the certificate');
};

# Workers share nothing but the key that seals tickets: any of them, and any generation, takes a session up.
sub resumptions {
    my ($name, $session, $count, @args) = @_;
    return scalar grep { my $r = s_client($name, '-sess_in', $session, @args); $r->{ok} && $r->{reused} } 1 .. $count;
}

subtest 'sessions' => sub {
    for my $version (qw(tls1_2 tls1_3)) {
        my $session = $t->path("session-$version");
        my $r = s_client('web', '-servername', 'a.wild.test', "-$version", '-sess_out', $session);
        ok($r->{ok} && !$r->{reused}, "$version: a first connection");
        is(resumptions('web', $session, 8, '-servername', 'a.wild.test', "-$version"), 8,
            '... goes on at all workers');
        is(resumptions('web', $session, 1, '-servername', 'ec.test', "-$version"), 0,
            '... not under another certificate');
        is(resumptions('short', $session, 1, "-$version"), 0, '... nor at a listener with another certificate');
        s_client('web', '-noservername', "-$version", '-sess_out', $session);
        is(resumptions('web', $session, 1, '-noservername', "-$version"), 1, '... the default certificate');
        is(resumptions('modern', $session, 1, '-noservername', "-$version"), 0, '... not under another policy');
        s_client('web', '-servername', 'a.wild.test', "-$version", '-sess_out', $session);
        unlike($r->{text}, qr/Max Early Data: [1-9]/, '... and without early data');
    }
    my $session = $t->path('session-tls1_3');
    my $next = $t->path('session-next');
    s_client('web', '-servername', 'a.wild.test', '-tls1_3', '-sess_in', $session, '-sess_out', $next);
    is(resumptions('web', $next, 1, '-servername', 'a.wild.test', '-tls1_3'), 1, 'TLS 1.3: a resumption brings the next ticket');
    $weir->reload;
    is(resumptions('web', $session, 4, '-servername', 'a.wild.test', '-tls1_3'), 4, 'sessions outlive a reload');
};

subtest 'when certificates end' => sub {
    $t->make_cert($certs, 'wild', ['*.wild.test', 'wild.test'], days => 6);
    $weir->reload;
    $weir->wait_log(qr/warn control\[\d+\]: certificate wild, EC \(prime256v1\): expires in [56] days, at 20/);
    pass('the log warns a week ahead');
    $weir->wait_log(qr/warn control\[\d+\]: certificate ec, EC \(prime256v1\): expires in (?:30|29) days, at 20/);
    pass('... and a month');
    $t->make_cert($certs, 'ec', ['ec.test'], layout => 'pair', days => 1);
    is(($t->weirctl('-S', $weir->control_socket, 'certs', 'reload'))[0], 0, 'one that ends tomorrow');
    $weir->wait_log(qr/warn control\[\d+\]: certificate ec, EC \(prime256v1\): expires in (?:24|23) hours, at 20/);
    pass('... is warned of');
    my ($at) = $weir->metrics =~ /^weir_certificate_expiry_timestamp_seconds\{certificate="wild",key="EC \(prime256v1\)"\} (\d+)$/m;
    cmp_ok(abs($at - time - 6 * 86400), '<', 3600, 'metrics tell when');
    my ($info) = grep { $_->{id} eq 'wild' } @{ $weir->stats->{certificates} };
    is($info->{names}, '*.wild.test wild.test', 'stats.json tells its names');
    is(scalar(grep { $_->{id} eq 'both' } @{ $weir->stats->{certificates} }), 2, '... and each kind of key');
    my ($exit, $out) = $t->weirctl('-S', $weir->control_socket, 'certs');
    is($exit, 0, 'weirctl certs');
    $t->make_cert($certs, 'ec', ['ec.test'], layout => 'pair');
    like($out, qr/^wild +EC \(prime256v1\) +\*\.wild\.test wild\.test +20\S+Z +[56]d/m, '... shows it');
};

subtest 'OCSP' => sub {
    my ($key, $crt, $csr, $request) = map { $t->path("ocsp.$_") } qw(key crt csr req);
    my $ca = $t->make_cert($certs, 'ca', ['Authority']);
    my $ca_crt = $t->write('ca.crt', $ca->{crt});
    my $ca_key = $t->write('ca.key', $ca->{key});
    $t->openssl(qw(req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=stapled.test -keyout), $key, '-out', $csr);
    $t->openssl(qw(x509 -req -set_serial 0x4711 -days 60 -in), $csr, '-CA', $ca_crt, '-CAkey', $ca_key, '-out', $crt);
    $t->write("$certs/stapled.pem", $t->read($crt) . $t->read($key));
    chmod 0600, "$certs/stapled.pem";
    $t->openssl('ocsp', '-issuer', $ca_crt, '-cert', $crt, '-reqout', $request);
    my $answer = sub {
        my ($line, @args) = @_;
        my $index = $t->write('index.txt', "$line\t4711\tunknown\t/CN=stapled.test\n");
        return $t->openssl('ocsp', '-index', $index, '-CA', $ca_crt, '-rsigner', $ca_crt, '-rkey', $ca_key, '-reqin', $request,
            '-respout', "$certs/stapled.ocsp", @args);
    };
    $answer->("V\t301231235959Z\t", '-ndays', 2);
    (my $text = configuration()) =~ s/certificate: ec, policy: tls-1-2/certificate: stapled/ or die;
    $weir->reload($text);
    for my $version (qw(tls1_2 tls1_3)) {
        my $r = s_client('ec', '-status', "-$version");
        like($r->{text}, qr/OCSP Response Status: successful.*Cert Status: good/s, "$version: stapled for who asks");
    }
    unlike(s_client('ec')->{text}, qr/OCSP Response/, 'not for others');
    like(s_client('web', '-status')->{text}, qr/no response sent/, 'nor with another certificate');
    $answer->("R\t301231235959Z\t200101000000Z", '-ndays', 2);
    $weir->reload;
    like(s_client('ec', '-status')->{text}, qr/no response sent/, 'a revocation is not stapled');
    like($weir->log, qr/warning: .*stapled\.ocsp says that the certificate is revoked, and is not stapled/, '... but told');
    $t->write("$certs/stapled.ocsp", 'x' x 100);
    $weir->reload;
    like($weir->log, qr/warning: .*stapled\.ocsp is no OCSP response/, 'so is what is none');
    is(s_client('ec')->{ok}, 1, '... and the certificate is served on');
    $weir->reload(configuration());
};

subtest 'kernel TLS' => sub {
    my ($exit, $out) = $t->weir('-V');
    like($out, qr/^kernel TLS: (?:available|not available: \S.+)$/m, 'weir -V tells whether it is available');
    is($weir->stats->{kernel_tls}, 'off', 'it is not used unless asked for');
    (my $text = configuration()) =~ s/^global:\n/global:\n  tls: {kernel: auto}\n/m or die;
    $weir->reload($text);
    my $expected = $out =~ /^kernel TLS: available/m ? 'on' : $out =~ /^kernel TLS: (.*)/m ? $1 : '?';
    is($weir->stats->{kernel_tls}, $expected, 'asked for, statistics tell what became of it');
    like(($t->weirctl('-S', $weir->control_socket, 'status'))[1], qr/^kernel TLS +\Q$expected\E$/m, '... weirctl too');
    for my $version (qw(tls1_2 tls1_3)) {
        is(s_client('web', "-$version")->{ok}, 1, "... and $version is served all the same");
    }
    ($exit, $out) = $t->curl('-k', "https://127.0.0.1:$port{web}/bytes/3000000");
    is(length $out, 3_000_000, '... a large response too');
    $weir->reload(configuration());
};

subtest 'keys of tickets' => sub {
    my $text = configuration();
    $text =~ s/^global:\n/global:\n  tls: {ticket_rotation: 1s}\n/m or die;
    $weir->reload($text);
    my $session = $t->path('session-rotated');
    ok(s_client('web', '-noservername', '-tls1_3', '-sess_out', $session)->{ok}, 'a session under a key of short life');
    $t->wait_until(sub { !resumptions('web', $session, 1, '-noservername', '-tls1_3') }, 'the key to be forgotten');
    pass('is not resumed when that key is gone');
    my $keys = $t->write('tickets', join '', map { chr(65 + $_) x 80 } 0 .. 1);
    chmod 0600, $keys;
    $text =~ s/ticket_rotation: 1s/ticket_keys: $keys/ or die;
    $weir->reload($text);
    s_client('web', '-noservername', '-tls1_3', '-sess_out', $session);
    is(resumptions('web', $session, 3, '-noservername', '-tls1_3'), 3, 'keys from a file');
    $t->write('tickets', join '', map { chr(65 + $_) x 80 } 2, 0);
    $weir->reload;
    is(resumptions('web', $session, 3, '-noservername', '-tls1_3'), 3, 'one that is second now opens on');
    $t->write('tickets', 'C' x 80);
    $weir->reload;
    is(resumptions('web', $session, 1, '-noservername', '-tls1_3'), 0, 'one that is gone does not');
    for my $bad ('', 'x' x 81, 'x' x 800) {
        $t->write('tickets', $bad);
        $weir->reload_fails;
    }
    like($weir->log, qr/ticket_keys: \S+ has 81 bytes; allowed: 1 to 8 keys of 80 bytes/, 'a file of another length is refused');
    $weir->reload(configuration());
};

# What a counter of the listener has gone up by.
sub counted {
    my ($name, $counter, $sub) = @_;
    my $get = sub { my $l = $weir->stats_listener($name); return ($l->{$counter}, $l->{tls_failures}) };
    my @before = $get->();
    $sub->();
    $t->wait_until(sub { ($get->())[0] > $before[0] }, "$name counts $counter");
    my @after = $get->();
    return ($after[0] - $before[0]) . '/' . ($after[1] - $before[1]);
}

subtest 'why handshakes fail' => sub {
    is(counted('web', 'tls_mismatches', sub { s_client('web', '-tls1_1', old_client()) }), '1/1', 'versions');
    is(counted('ec', 'tls_mismatches', sub { s_client('ec', '-tls1_2', '-cipher', 'ECDHE-RSA-AES128-GCM-SHA256') }), '1/1', 'suites');
    is(counted('web', 'tls_mismatches', sub { s_client('web', '-alpn', 'spdy/3') }), '1/1', 'protocols');
    is(counted('web', 'tls_alerts', sub { s_client('web', '-verify_return_error') }), '1/1', 'a client that does not trust us');
    is(counted('web', 'tls_closed', sub { $t->client($port{web})->close }), '1/1', 'a client that leaves');
    is(counted('web', 'tls_plain', sub { $t->raw_exchange($port{web}, "GET / HTTP/1.0\r\n\r\n") }), '1/1', 'HTTP without TLS');
    is(counted('web', 'tls_malformed', sub { $t->raw_exchange($port{web}, "\0" x 100, half_close => 1) }), '1/1', 'garbage');
    is(counted('short', 'tls_timeouts', sub { $t->raw_exchange($port{short}, "\x16\x03\x01") }), '1/1', 'silence');
    like($weir->metrics, qr/^weir_listener_tls_mismatches_total\{listener="web"\} [1-9]/m, 'metrics tell too');
};

subtest 'clients that speak no TLS' => sub {
    my ($answer, $how);
    for my $request ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PROPFIND /x HTTP/1.1\r\n\r\n", 'POST / HTTP/1.0' . 'x' x 20_000) {
        ($answer, $how) = $t->raw_exchange($port{web}, $request, half_close => 1);
        like($answer, qr{\AHTTP/1\.1 400 .*This port speaks HTTPS}s, 'plain HTTP: a 400 that says so');
    }
    isnt($how, 'timeout', '... and the end');
    ($answer, $how) = $t->raw_exchange($port{tls}, "GET / HTTP/1.1\r\n\r\n");
    is($answer, '', 'a listener that knows no HTTP closes without a word');
    my @garbage = (
        zeros => "\0" x 1000,
        'a record of wrong length' => "\x16\x03\x01\xff\xff" . 'A' x 300,
        'a torn ClientHello' => "\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03" . 'A' x 36,
        'an alert' => "\x15\x03\x01\x00\x02\x02\x28",
    );
    while (my ($what, $bytes) = splice @garbage, 0, 2) {
        (undef, $how) = $t->raw_exchange($port{web}, $bytes, half_close => 1);
        isnt($how, 'timeout', "$what: closed");
    }
    is(s_client('web')->{ok}, 1, 'others are served as before');
};

subtest 'clients that say nothing' => sub {
    for my $bytes ('', "\x16\x03\x01", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") {
        my (undef, $how) = $t->raw_exchange($port{short}, $bytes);
        isnt($how, 'timeout', length($bytes) . ' bytes of a handshake: closed when client_head is over');
    }
    is(s_client('short')->{ok}, 1, 'a client in time is served');
};

subtest 'a reload with a new certificate' => sub {
    my $session = $t->path('session-renew');
    s_client('web', '-noservername', '-tls1_3', '-sess_out', $session);
    $t->make_cert($certs, 'rsa', ['renewed.test'], type => 'rsa');
    is(s_client('web', '-noservername')->{cn}, 'rsa.test', 'a file alone changes nothing');
    $weir->reload;
    is(s_client('web', '-noservername')->{cn}, 'renewed.test', 'after the reload it is served');
    is(s_client('web', '-servername', 'ec.test')->{cn}, 'ec.test', 'the others stay');
    is(resumptions('web', $session, 1, '-noservername', '-tls1_3'), 0, 'a session of the old one ends');
    $t->write("$certs/rsa.pem", 'gone');
    $weir->reload_fails;
    is(s_client('web', '-noservername')->{cn}, 'renewed.test', 'a broken file is refused and the old one served');
    like($weir->log, qr/certificate "rsa": \S+ has no certificate/, '... and the log says why');
    $t->make_cert($certs, 'rsa', ['rsa.test'], type => 'rsa');
};

subtest 'faults of files' => sub {
    my $key = $t->path('locked.key');
    $t->openssl(qw(genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes128 -pass pass:x -out), $key);
    my %files = (
        empty => '', mixed => $rsa->{crt} . $ec->{key}, locked => $ec->{crt} . $t->read($key),
        keyless => $rsa->{crt}, open => $rsa->{crt} . $rsa->{key}, big => 'x' x 1_100_000,
    );
    for my $id (keys %files) {
        $t->write("$certs/$id.pem", $files{$id});
        chmod $id eq 'open' ? 0644 : 0600, "$certs/$id.pem";
    }
    my %expected = (
        none => "cannot read $certs/none.pem: No such file or directory; also tried $certs/none/tls.crt",
        empty => "$certs/empty.pem is empty",
        mixed => "the private key, EC (prime256v1), does not match the certificate in $certs/mixed.pem",
        locked => "$certs/locked.pem has an encrypted private key",
        keyless => "$certs/keyless.pem has no private key",
        big => "$certs/big.pem is larger than 1 MiB",
        ec => "has a key of type EC (prime256v1), for which policy \"tls_cipher_policy_1_2\" has no cipher suite",
    );
    my (@lines, %line);
    for my $id (sort(keys %expected), 'open') {
        my $policy = $id eq 'ec' ? ', policy: tls_cipher_policy_1_2' : '';
        my $port = $t->port;
        push @lines, "  - {name: l-$id, listen: [\"127.0.0.1:$port\"], protocol: https, "
            . "tls: {certificate: $id$policy}, pool: web}\n";
        $line{$id} = @lines;
    }
    my $text = $t->config(join '', "listeners:\n", @lines, "pools:\n  - {name: web, servers: [",
        "{name: a, address: \"127.0.0.1:1\"}]}\n");
    my $offset = () = substr($text, 0, index $text, $lines[0]) =~ /\n/g;
    my $file = $t->write('bad.yaml', $text);
    my ($exit, $out, $err) = $t->weir('-t', '-c', $file);
    is($exit, 1, 'weir -t refuses them');
    for my $id (sort keys %expected) {
        my $where = "bad.yaml:" . ($offset + $line{$id});
        like($err, qr/^\S*\Q$where\E:\d+: error: listener l-$id: certificate "$id":? \Q$expected{$id}\E/m, $id);
    }
    like($err, qr/warning: listener l-open: certificate "open": \S+ holds a private key and can be read by everybody/,
        'a key that everybody can read is warned of');
    is(() = $err =~ /: error: /g, scalar keys %expected, 'each once, and nothing else');
};

subtest 'the example of doc/tls.md' => sub {
    my ($yaml) = $t->read(File::Spec->rel2abs(($ENV{WEIR_SRCDIR} // '.') . '/doc/tls.md')) =~ /^```yaml\n(.*?)^```/ms;
    # Not the directory and the user of an installed weir.
    ok($yaml =~ s{\{dir: /etc/weir/certs\}}{{dir: $certs}\n  user: @{[ scalar getpwuid $> ]}}, 'is there');
    $t->make_cert($certs, $_) for qw(17e3b4f4bc40471c86741dc3aa211379 other-id third);
    my ($exit, undef, $err) = $t->weir('-t', '-c', $t->write('example.yaml', $yaml));
    is($exit, 0, 'weir -t accepts it') or diag $err;
};

is($weir->stop, 0, 'weir ends well');
done_testing;
