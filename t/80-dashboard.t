#!/usr/bin/perl
# The page at "/": what it may load, the data behind it, and what a browser makes of it.
use strict;
use warnings;
use Digest::SHA qw(sha256_base64);
use JSON::PP ();
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($http, $other, $https) = $t->ports(3);
my $a = $t->origin('a');
my $b = $t->origin('b');
my $closed = $t->port;

sub config {
    my (%o) = @_;
    my $lost = $o{lost} ? "{name: lost, address: \"127.0.0.1:$closed\"}" : "{name: b, address: \"@{[ $b->address ]}\"}";
    return $t->config(<<"CONFIG", workers => 2);
listeners:
  - {name: "default/web:80", listen: ["127.0.0.1:$http"], protocol: http, pool: "default/web:80"}
  - {name: "<b>bold</b>&amp;", listen: ["127.0.0.1:$other"], protocol: http, pool: "default/web:80"}
pools:
  - name: "default/web:80"
    health: {type: tcp, interval: 100ms, timeout: 5s, rise: 1, fall: 1}
    servers: [{name: a, address: "@{[ $a->address ]}"}, $lost]
CONFIG
}

my $weir = $t->start_weir(config => config());
$weir->wait_server('default/web:80', $_, 'up') for qw(a b);
my $json = JSON::PP->new->utf8;

sub history {
    my $r = $weir->stats_get('/history.json' . ($_[0] // ''));
    die "history: $r->{status}" if $r->{status} != 200;
    my $h = $json->decode($r->{body});
    my $columns = $h->{columns};
    $h->{points} = [ map { my $p = $_; +{ map { $columns->[$_] => $p->[$_] } 0 .. $#$columns } } @{ $h->{points} } ];
    return $h;
}

subtest 'the page may load nothing but its own' => sub {
    my $r = $weir->stats_get('/');
    my $policy = $r->{headers}{'content-security-policy'};
    my ($style) = $r->{body} =~ m{<style>(.*?)</style>}s;
    my ($script) = $r->{body} =~ m{<script>(.*?)</script>}s;
    my ($style_hash, $script_hash) = map { my $h = sha256_base64($_); $h .= '=' while length($h) % 4; $h } $style, $script;
    like($policy, qr/^default-src 'none'; /, 'nothing is allowed');
    like($policy, qr/style-src 'sha256-\Q$style_hash\E';/, 'but its style');
    like($policy, qr/script-src 'sha256-\Q$script_hash\E';/, 'and its script');
    unlike($policy, qr/unsafe|\*/, 'nothing unsafe');
    like($policy, qr/frame-ancestors 'none'/, 'no other page may hold it');
    my @addresses = grep { !m{^http://www\.w3\.org/2000/svg$} } $r->{body} =~ m{(https?://[^\s"']+)}g;
    is_deeply(\@addresses, [], 'no address of another site stands in it');
    unlike($r->{body}, qr/\sstyle=|\son\w+=/, 'no style or handler in attributes');
    unlike($r->{body}, qr/innerHTML|insertAdjacentHTML|document\.write|\beval\b/, 'no text becomes markup');
    is($weir->stats_get('/stats.json')->{headers}{'content-security-policy'}, "default-src 'none'; frame-ancestors 'none'",
        'data allows nothing');
};

subtest 'history' => sub {
    my $load = $t->load(port => $http, pause => 0.002);
    my $h = $t->wait_until(sub {
        my $h = history();
        return @{ $h->{points} } >= 2 && $h->{points}[-1]{requests} > 0 && $h;
    }, 'two points', 30);
    is($h->{interval_ms}, 5000, 'the interval');
    my $p = $h->{points}[-1];
    ok($p->{elapsed_ms} >= 4900, 'measured over it');
    ok($p->{measured} > 0 && $p->{p50_us} > 0 && $p->{p50_us} <= $p->{p99_us}, 'latencies');
    ok($p->{bytes_out} > 0, 'bytes');
    cmp_ok(history('?listener=default%2Fweb%3A80')->{points}[-1]{requests}, '>', 0, 'of a listener');
    cmp_ok(history('?pool=default/web:80')->{points}[-1]{requests}, '>', 0, 'of a pool');
    is(history('?listener=%3Cb%3Ebold%3C%2Fb%3E%26amp%3B')->{points}[-1]{requests}, 0, 'of one without requests');
    for my $wrong ('?pool=x', '?listener=', '?pool=%', '?pool=%4', '?pool=%zz', '?pool=%00', '?listener=' . 'x' x 2000) {
        is($weir->stats_get("/history.json$wrong")->{status}, 404, substr("$wrong: 404", 0, 40));
    }
    is($weir->stats_get('/history.json?x=1&y')->{status}, 200, 'other arguments do not matter');
    is_deeply([ sort map { "$_->{server} $_->{from} $_->{to} $_->{text}" } @{ $h->{events} } ],
        [ 'a unknown up connected', 'b unknown up connected' ], 'changes of servers');
    my $points = @{ history()->{points} };
    $weir->reload(config(lost => 1));
    ok(@{ history()->{points} } >= $points, 'a reload forgets nothing');
    $weir->wait_server('default/web:80', 'lost', 'down');
    my ($e) = grep { $_->{server} eq 'lost' } @{ history()->{events} };
    is("$e->{kind} $e->{from} $e->{to} $e->{text}", 'health unknown down connection refused', 'a server that is lost');
    ok((!grep { $_->{server} eq 'b' } @{ history()->{events} }), 'one that is gone has no name any more');
    is(($t->weirctl('-S', $weir->control_socket, 'server', 'default/web:80/a', 'drain'))[0], 0, 'the operator drains one');
    ($e) = grep { $_->{kind} eq 'admin' } @{ history()->{events} };
    is("$e->{server} $e->{from} $e->{to}", 'a ready drain', 'which is remembered');
    is(($t->weirctl('-S', $weir->control_socket, 'server', 'default/web:80/a', 'ready'))[0], 0, 'and puts it back');
    my $last = history()->{points}[-1]{time_ms};
    $h = $t->wait_until(sub { my $h = history(); return $h->{points}[-1]{time_ms} > $last && $h }, 'the next point', 30);
    cmp_ok($h->{points}[-1]{requests}, '>', 0, 'goes on from the last');
    ok((!grep { $h->{points}[$_]{time_ms} <= $h->{points}[ $_ - 1 ]{time_ms} } 1 .. $#{ $h->{points} }), 'in order');
    $load->stop; # while one server was drained and the other lost there were failures
};

my ($browser) = grep { -x } map { "$_/chromium" } split /:/, $ENV{PATH};

my $looks = 0;

# The document once its script has run; and what the browser complained about.
sub look {
    my $profile = $t->path('profile-' . ++$looks);
    my ($exit, $out, $err) = $t->run($browser, qw(--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
        --disable-background-networking --disable-component-update --disable-sync --enable-logging=stderr
        --virtual-time-budget=7000 --dump-dom), "--user-data-dir=$profile",
        'http://127.0.0.1:' . $weir->stats_port . '/', { timeout => 120, env => { HOME => $t->dir } });
    diag $err if $exit;
    is($exit, 0, 'the browser has read it');
    my @faults = grep { /CONSOLE/ } split /\n/, $err;
    is_deeply(\@faults, [], 'without complaints');
    return $out;
}

SKIP: {
    skip 'chromium is not installed', 1 if !$browser;
    subtest 'in a browser' => sub {
        my $page = look();
        like($page, qr{<section aria-labelledby="h-certificates" id="s-certificates" hidden="">}, 'no certificates, no table of them');
        like($page, qr{<title>\(1\) weir</title>}, 'the title counts the problems');
        like($page, qr{id="state" class="pill warn"[^>]*>1 problem<}, 'so does the state');
        like($page, qr{<li[^>]* class="warn"><span class="sr">Warning: </span><button[^>]*>Server default/web:80/lost</button><span> is down for \d+ s: connection refused<},
            'what is wrong comes first');
        my $rows = () = $page =~ m{<tr}g;
        is($rows, 5 + 2 + 1 + 2, 'five heads, two listeners, a pool, two servers');
        like($page, qr{<section aria-labelledby="h-routes" id="s-routes" hidden="">}, 'no routes, no table of them');
        like($page, qr{<td class="t n " title="&lt;b&gt;bold&lt;/b&gt;&amp;amp;">&lt;b&gt;bold&lt;/b&gt;&amp;amp;</td>}, 'names are text');
        like($page, qr{<td class="warn">1 of 2</td>}, 'usable servers');
        like($page, qr{<svg[^>]* aria-label="Requests per second, latest: requests [\d.]}, 'plots say what they show');
        my $paths = () = $page =~ m{<path class="l\d" d="M}g;
        cmp_ok($paths, '>=', 9, 'and have lines');
        like($page, qr{<rect class="down"}, 'the timeline has bars');
        like($page, qr{<th scope="col" class="t " aria-sort="ascending">}, 'tables say how they are sorted');

        my @servers = map { "{name: s$_, address: \"127.0.0.1:$closed\"}" } 1 .. 10000;
        $t->make_cert($t->path('certs'), 'soon', ['soon.example'], days => 5);
        $t->make_cert($t->path('certs'), 'late', ['late.example'], days => 300);
        my $tls = '{certificate: late, server_names: [{name: soon.example, certificate: soon}]}';
        my $listener = qq(  - {name: tls, listen: ["127.0.0.1:$https"], protocol: https, pool: "default/web:80", tls: $tls,\n     routes: [{host: shop.example, path: {prefix: /}, pool: "default/web:80"}]}\n);
        # The whole of the statistics is more than pure Perl reads in good time.
        $weir->configure((config() =~ s/^pools:/${listener}pools:/mr) . "  - name: large\n    servers: [" . join(', ', @servers) . "]\n"
            . "  - name: many\n    health: {type: tcp, interval: 100ms, timeout: 5s, rise: 1, fall: 1}\n    servers: ["
            . join(', ', @servers[ 0 .. 4 ]) . "]\n");
        $weir->signal('HUP');
        $t->wait_until(sub { $weir->stats_get('/stats.csv')->{body} =~ m{^default/web:80,b,.*,UP,}m }, 'b is up', 60);
        $t->wait_until(sub { (() = $weir->stats_get('/stats.csv')->{body} =~ m{^many,s\d,.*,DOWN,}mg) == 5 }, 'five are down', 60);
        $page = look();
        my $shown = () = $page =~ m{<tr}g;
        cmp_ok($shown, '<', 150, 'the page stays small');
        like($page, qr{<li[^>]* class="warn"><span class="sr">Warning: </span><button[^>]*>Certificate soon</button><span> expires in [45] d<}, 'a certificate that ends soon is a problem');
        like($page, qr{<section aria-labelledby="h-certificates" id="s-certificates">.*>soon<.*>late<}s, 'certificates, the first to end first');
        like($page, qr{<td class="warn">[45] d</td>}, 'and when');
        like($page, qr{<section aria-labelledby="h-routes" id="s-routes">.*>shop\.example/\*</td>}s, 'routes');
        like($page, qr{<button[^>]*>Pool many</button><span> 5 of 5 servers are down<},
            'of many servers of a pool one line tells');
        like($page, qr{data-more="servers">Show more of 10007</button>}, 'of thousands of servers the first are shown');
    };
}

is($weir->stop, 0, 'weir ends');
done_testing;
