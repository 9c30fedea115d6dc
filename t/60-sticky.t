# Sticky sessions: the same server for a client, on every worker, over a reload, over a restart; elsewhere when it is down.
use strict;
use warnings;
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
my ($http, $tcp) = $t->ports(2);
my %origin = map { $_ => $t->origin($_) } qw(a b c);
my $health = 'type: tcp, interval: 100ms, timeout: 2s, rise: 1, fall: 1';

sub servers {
    return join ', ', map { "{name: $_, address: \"" . $origin{$_}->address . '"}' } @_;
}

sub configuration {
    my @names = @_;
    my $servers = servers(@names);
    return $t->config(<<"END", workers => 2, global => 'state_interval: 1s');
listeners:
  - {name: cookie, listen: ["127.0.0.1:$http"], protocol: http, pool: cookie}
  - {name: source, listen: ["127.0.0.1:$tcp"], protocol: http, pool: source}
pools:
  - {name: cookie, sticky: {by: cookie_insert, name: STICK, timeout: 1h}, health: {$health}, servers: [$servers]}
  - {name: source, sticky: {by: source_ip, timeout: 1h}, health: {$health}, servers: [$servers]}
END
}

my $weir = $t->start_weir(config => configuration(qw(a b c)));

# One request on a connection of its own: (server's name, cookie it sets).
sub ask {
    my ($port, $cookie) = @_;
    my $r = $t->http_get($port, '/', headers => defined $cookie ? [Cookie => "x=1; STICK=$cookie; y=2"] : []);
    chomp(my $name = $r->{body} // '');
    my ($set) = $r->{raw} =~ /^Set-Cookie: STICK=(\w+);/m;
    return ($name, $set, $r->{status});
}

# The names that answer 40 requests; enough connections for both workers to have had some.
sub names_of {
    my ($port, $cookie) = @_;
    my %seen;

    $seen{(ask($port, $cookie))[0]}++ for 1 .. 40;
    return join ' ', sort keys %seen;
}

my (%cookie_of, $home);

subtest 'cookie: the same server on all workers' => sub {
    is(names_of($http), 'a b c', 'without a cookie requests go to all servers');
    for (1 .. 60) {
        my ($name, $set) = ask($http);
        $cookie_of{$name} = $set;
    }
    is(join(' ', sort keys %cookie_of), 'a b c', 'each server has a cookie');
    for my $name (sort keys %cookie_of) {
        like($cookie_of{$name}, qr/^[0-9a-f]{32}$/, 'an opaque one');
        is(names_of($http, $cookie_of{$name}), $name, "the cookie of $name leads to it");
    }
    cmp_ok($origin{a}->connection_count, '>=', 2, 'both workers took part: each keeps its own connection');
    my (undef, $again) = ask($http, $cookie_of{a});
    is($again, undef, 'a valid cookie is not set again');
    like($origin{a}->last_request->{head}, qr/^Cookie: x=1; y=2\r$/m, 'and does not reach the server');
    my ($name, $set) = ask($http, 'f' x 32);
    like($set, qr/^[0-9a-f]{32}$/, 'an unknown one is replaced');
};

subtest 'source address: the same server on all workers' => sub {
    $home = names_of($tcp);
    like($home, qr/^[abc]$/, 'one server for all requests of an address');
};

subtest 'over a reload, with the servers in another order' => sub {
    $weir->reload(configuration(qw(c a b)));
    is(names_of($http, $cookie_of{$_}), $_, "the cookie of $_") for sort keys %cookie_of;
    is(names_of($tcp), $home, 'the source address');
};

subtest 'when the server is down the session moves' => sub {
    $origin{b}->stop;
    $weir->wait_server('cookie', 'b', 'down');
    my ($name, $set) = ask($http, $cookie_of{b});
    like($name, qr/^[ac]$/, 'to another server');
    is($set, $cookie_of{$name}, 'with its cookie');
    $origin{b}->start;
    $weir->wait_server('cookie', 'b', 'up');
    is((ask($http, $cookie_of{b}))[0], 'b', 'a client that kept its cookie comes back');

    $origin{$home}->stop;
    $weir->wait_server('source', $home, 'down');
    my $moved = names_of($tcp);
    like($moved, qr/^[abc]$/, 'the address moves as a whole');
    isnt($moved, $home, 'elsewhere');
    $origin{$home}->start;
    $weir->wait_server('source', $home, 'up');
    is(names_of($tcp), $moved, 'and stays there');
};

subtest 'draining and maintenance' => sub {
    $t->weirctl('-S', $weir->control_socket, 'server', 'cookie/a', 'drain');
    is(names_of($http, $cookie_of{a}), 'a', 'a draining server keeps its sessions');
    is(names_of($http), 'b c', 'and gets no new ones');
    $t->weirctl('-S', $weir->control_socket, 'server', 'cookie/a', 'maint');
    unlike(names_of($http, $cookie_of{a}), qr/a/, 'one in maintenance gets nothing');
    $t->weirctl('-S', $weir->control_socket, 'server', 'cookie/a', 'ready');
    is(names_of($http, $cookie_of{a}), 'a', 'ready again');
};

subtest 'over a restart' => sub {
    $home = names_of($tcp);
    is($weir->quit, 0, 'weir ends');
    $weir = $t->start_weir(config => configuration(qw(b c a)));
    is(names_of($http, $cookie_of{$_}), $_, "the cookie of $_") for sort keys %cookie_of;
    is(names_of($tcp), $home, 'the source address');
};

my $file = $t->path('state/sticky');

subtest 'source addresses over other ends' => sub {
    is($weir->stop, 0, 'TERM');
    is((stat $file)[2] & 0777, 0600, 'the file is for nobody else');
    $weir = $t->start_weir(config => configuration(qw(b c a)));
    is(names_of($tcp), $home, 'after TERM');
    # Killed: what was written last counts.
    ok(unlink($file), 'the file goes');
    $t->wait_until(sub { -e $file }, 'and is there again after a while');
    my @children = $weir->children;
    $weir->kill;
    kill 'KILL', @children;
    $t->wait_until(sub { !eval { $t->client($tcp) } }, 'all of it is killed');
    $weir = $t->start_weir(config => configuration(qw(c b a)));
    is(names_of($tcp), $home, 'after a crash');
};

subtest 'a file that is none' => sub {
    my $good = do { $weir->stop; open my $in, '<:raw', $file or die "$file: $!"; local $/; <$in> };
    my %bad = (empty => '', short => substr($good, 0, -1), long => "$good.", text => 'x' x 500, 'of another version' => substr($good, 0, 16) . "\x09" . substr($good, 17),
        'with a changed byte' => substr($good, 0, -3) . chr(ord(substr $good, -3, 1) ^ 1) . substr($good, -2));
    for my $what (sort keys %bad) {
        open my $out, '>:raw', $file or die "$file: $!";
        print $out $bad{$what};
        close $out;
        $weir = $t->start_weir(config => configuration(qw(a b c)));
        like($weir->log, qr{warn .*state \Q$file\E: not used: }, "$what: said");
        like(names_of($tcp), qr/^[abc]$/, 'and served all the same');
        is($weir->stop, 0, 'weir ends');
    }
    open my $out, '>:raw', $file or die "$file: $!";
    print $out $good;
    close $out;
    $weir = $t->start_weir(config => configuration(qw(a b c)));
    unlike($weir->log, qr/not used/, 'the right one is taken');
    is(names_of($tcp), $home, 'and counts');
};

subtest 'a server that has gone' => sub {
    is($weir->quit, 0, 'weir ends');
    $weir = $t->start_weir(config => configuration(grep { $_ ne $home } qw(a b c)));
    my $moved = names_of($tcp);
    like($moved, qr/^[abc]$/, 'the address moves as a whole');
    isnt($moved, $home, 'elsewhere');
};

is($weir->quit, 0, 'weir ends in peace');
done_testing;
