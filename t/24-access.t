#!/usr/bin/perl
# Access lists of every kind of listener: IPv4 and IPv6, dual-stack sockets, the client that the PROXY protocol names,
# conditions of routes on the source, and 100,000 networks.
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Weir::Test;

my $t = Weir::Test->new;
plan skip_all => 'no IPv6 on the loopback interface' if !IO::Socket::IP->new(LocalHost => '::1', Listen => 1);
$t->make_cert($t->path('certs'), 'id1', ['localhost']);
my $origin = $t->origin('web');
my $echo = $t->tcp_echo('echo');
my $udp_port = $t->port;
my $udp = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $udp_port, Proto => 'udp', Type => SOCK_DGRAM) or die "udp: $!";
$t->spawn(sub {
    while (defined(my $from = recv $udp, my $data, 65536, 0)) {
        send $udp, $data, 0, $from;
    }
});

# Each protocol with each list, on a socket for both families.
my @protocols = qw(tcp tls http https udp);
my %access = (v4 => '{acl: v4}', v6 => '{acl: v6}', 'not-v4' => '{acl: v4, mode: deny}', 'not-v6' => '{acl: v6, mode: deny}');
my (%port, $listeners);
for my $protocol (@protocols) {
    for my $list (sort keys %access) {
        $port{"$protocol-$list"} = $t->port;
        my $pool = $protocol =~ /http/ ? 'web' : $protocol eq 'udp' ? 'udp' : 'echo';
        my $tls = $protocol =~ /tls|https/ ? ', tls: {certificate: id1}' : '';
        $listeners .= qq(  - {name: $protocol-$list, listen: ["[::]:$port{"$protocol-$list"}"], protocol: $protocol$tls, access: $access{$list}, pool: $pool}\n);
    }
}
@port{qw(proxy routes big)} = $t->ports(3);
# Far more networks than there are in any list by hand; 127.0.0.1/32 and ::1/128 lie between them, or are left out.
my @big = map { (sprintf('10.%d.%d.%d/32', $_ >> 16, $_ >> 8 & 255, $_ & 255), sprintf('2001:db8:%x:%x::/64', $_ >> 8, $_ & 255)) } 0 .. 49_998;
sub config {
    my (@own) = @_;
    return $t->config(<<"CONFIG", workers => 1);
acls:
  v4: {networks: [10.0.0.0/8, 127.0.0.0/8]}
  v6: {networks: ["2001:db8::/32", "::1", "::/0"]}
  named: {networks: [192.0.2.0/24]}
  big: {networks: [@{[ join ', ', map { qq("$_") } @big, @own ]}]}
listeners:
$listeners
  - {name: proxy, listen: ["[::]:$port{proxy}"], protocol: http, access: {acl: named}, proxy_protocol: {from: ["::1", 127.0.0.1]}, pool: web}
  - name: routes
    listen: ["[::]:$port{routes}"]
    protocol: http
    proxy_protocol: {from: [127.0.0.1]}
    routes:
      - {when: [{source: [192.0.2.0/24, 192.0.2.7, "2001:db8::/32"]}], respond: {status: 200, body: near}}
      - {when: [{source: ["::/0"]}], respond: {status: 200, body: six}}
      - {respond: {status: 200, body: far}}
  - {name: big, listen: ["[::]:$port{big}"], protocol: tcp, access: {acl: big}, pool: echo}
pools:
  - {name: web, servers: [{name: a, address: "@{[ $origin->address ]}"}]}
  - {name: echo, protocol: tcp, servers: [{name: a, address: "@{[ $echo->address ]}"}]}
  - {name: udp, protocol: udp, servers: [{name: a, address: "127.0.0.1:$udp_port"}]}
CONFIG
}
my $weir = $t->start_weir(config => config('127.0.0.1/32', '::1/128'));

sub echoes {
    my ($port, $host) = @_;
    return eval { my $c = $t->client($port, host => $host); $c->send('x'); $c->read_bytes(1) eq 'x' } ? 1 : 0;
}

my %allowed = (v4 => '10', v6 => '01', 'not-v4' => '01', 'not-v6' => '10');    # from 127.0.0.1 and ::1
my %ask = (
    tcp => sub { echoes(@_) },
    tls => sub {
        my ($port, $host) = @_;
        my $to = $host =~ /:/ ? "[$host]:$port" : "$host:$port";
        my ($exit, $out) = $t->openssl('s_client', '-quiet', '-no_ign_eof', '-connect', $to, { stdin => '', timeout => 20 });
        return $exit ? 0 : 1;
    },
    http => sub { my ($port, $host) = @_; return (eval { $t->http_get($port, '/', to => $host, host => 'a')->{status} } // 0) == 200 ? 1 : 0 },
    https => sub {
        my ($port, $host) = @_;
        my $url = $host =~ /:/ ? "https://[$host]:$port/" : "https://$host:$port/";
        return ($t->curl('-k', '-o', '/dev/null', $url))[0] ? 0 : 1;
    },
    udp => sub {
        my ($port, $host, $list) = @_;
        my $before = $weir->stats_listener("udp-$list")->{refused};
        my $c = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Proto => 'udp', Type => SOCK_DGRAM) or die "udp: $!";
        send $c, 'x', 0;
        $t->wait_until(sub { IO::Select->new($c)->can_read(0.05) || $weir->stats_listener("udp-$list")->{refused} > $before }, 'it is answered or refused');
        return IO::Select->new($c)->can_read(0) ? 1 : 0;
    },
);
for my $protocol (@protocols) {
    subtest $protocol => sub {
        for my $list (sort keys %access) {
            my $name = "$protocol-$list";
            is(join('', map { $ask{$protocol}->($port{$name}, $_, $list) } '127.0.0.1', '::1'), $allowed{$list}, "$list: from 127.0.0.1 and ::1");
            my $l = $weir->stats_listener($name);
            is($l->{refused}, 1, '... one refused');
            is($l->{connections}, 1, '... and no connection');
            is("$l->{tls_handshakes} $l->{tls_failures}", '1 0', '... before TLS') if $protocol =~ /tls|https/;
        }
    };
}

subtest 'the client that a trusted sender names' => sub {
    my $get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    my $ask = sub { my ($listener, $to, $header) = @_; return scalar $t->raw_exchange($port{$listener}, "$header$get", to => $to) };
    for my $sender ('127.0.0.1', '::1') {
        like($ask->('proxy', $sender, "PROXY TCP4 192.0.2.9 192.0.2.1 1 2\r\n"), qr/^HTTP\/1.1 200 /, "$sender names one that may");
        like($ask->('proxy', $sender, "PROXY TCP6 ::ffff:192.0.2.9 ::1 1 2\r\n"), qr/^HTTP\/1.1 200 /, '... in the form of IPv6');
        is($ask->('proxy', $sender, "PROXY TCP4 198.51.100.9 192.0.2.1 1 2\r\n"), '', '... one that may not');
        is($ask->('proxy', $sender, "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), '', '... one of the other family');
        is($ask->('proxy', $sender, "PROXY UNKNOWN\r\n"), '', 'it is none of those itself');
    }
    is($weir->stats_listener('proxy')->{refused}, 6, 'counted');
    my %where = ('TCP4 192.0.2.7 192.0.2.1' => 'near', 'TCP4 192.0.3.0 192.0.2.1' => 'far', 'TCP6 2001:db8::5 ::1' => 'near',
        'TCP6 2001:db9::5 ::1' => 'six', 'TCP6 ::ffff:192.0.2.255 ::1' => 'near', 'TCP6 ::ffff:192.0.1.255 ::1' => 'far', 'UNKNOWN' => 'far');
    like($ask->('routes', '127.0.0.1', 'PROXY ' . $_ . ($_ eq 'UNKNOWN' ? '' : ' 1 2') . "\r\n"), qr/\r\n\r\n$where{$_}\z/, "routes: $_ is $where{$_}") for sort keys %where;
    is((eval { $ask->('routes', '::1', "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n") } // ''), '', 'a sender that is not trusted names nobody');
};

subtest '100,000 networks' => sub {
    is(echoes($port{big}, '127.0.0.1') . echoes($port{big}, '::1'), '11', 'with ours');
    $weir->reload(config('127.0.0.2/32', '::2/128'));
    is(echoes($port{big}, '127.0.0.1') . echoes($port{big}, '::1'), '00', 'without, after a reload');
    is($weir->stats_listener('big')->{refused}, 2, 'counted');
};

is($weir->stop, 0, 'weir ends');
done_testing;
