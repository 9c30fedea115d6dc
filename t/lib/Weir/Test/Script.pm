package Weir::Test::Script;

# Both ends of one request in a table: what the client sends and must get, byte by byte, and what the server behind
# weir answers and must have seen.  Used by the t/30-*.t files.
#
#   my $script = Weir::Test::Script->new($t, \%cases);   the server; $script->address for the configuration
#   $script->run($port, $name);                          one case, on a connection of its own
#
# A case (its name is the last segment of the path, of letters, digits and '-'):
#   send     bytes, or a list of bytes and of subs that get the client; default: a GET of /NAME
#   slow     each byte of `send` in a segment of its own
#   half     the client ends its side behind `send`
#   answer   what the server does for it: bytes (sent once the head and `body` are there) or a sub that gets the
#            connection and the head; it returns true to go on with the connection, false to close it
#   body     what the server reads behind the head: a number of bytes, 'chunked' (kept as it comes), or 'all' (up to
#            the end of the connection)
#   close    the server closes after its answer
#   client   what the client gets: the bytes, or a pattern for one response
#   method   with a pattern: the request's method (HEAD has no body)
#   end      open (default: a further request is answered on the same connection), closed, reset, cut (either),
#            or more (not looked at)
#   saw      what the server saw, in bytes; undef: it saw nothing of this case
#   reuse    1, 0: whether the further request comes on the same connection to the server

use strict;
use warnings;
use JSON::PP ();
use Socket ();
use Test::More ();

my $json = JSON::PP->new->latin1->canonical;
our $probe_answer = "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 5\r\n\r\nprobe";
our $probe_got = "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 5\r\nConnection: close\r\n\r\nprobe";

sub new {
    my ($class, $test, $cases, %o) = @_;
    my $self = bless { test => $test, cases => $cases, record => $test->path('script-record') }, $class;
    my ($record, $name) = ($self->{record}, $o{name} // 'script');
    $self->{server} = $test->tcp_server($name, sub {
        my ($conn, $nth) = @_;
        bless $conn, 'Weir::Test::Script::Connection';
        $conn->{record} = $record;
        $conn->{nth} = $nth;
        $conn->{saw} = '';
        serve($conn, $cases);
    });
    return $self;
}

sub address { return $_[0]{server}->address }
sub server { return $_[0]{server} }

sub serve {
    my ($conn, $cases) = @_;
    while (1) {
        my $head = eval { $conn->read_match(qr/\r\n\r\n/) };
        last if !defined $head;
        my ($name) = $head =~ m{^\S+ \S*?([\w-]+)(?:[?]\S*)? };
        $conn->{name} = $name // '';
        my $case = $cases->{ $conn->{name} } // {};
        my $answer = $case->{answer} // $probe_answer;
        my $go_on = eval {
            if (ref $answer) {
                $answer->($conn, $head);
            } else {
                $conn->read_body($case->{body});
                $conn->note; # before the client can ask for it
                $conn->send($answer);
                !$case->{close};
            }
        };
        print STDERR "case $conn->{name}: $@" if $@;
        $conn->note;
        last if !$go_on;
    }
    # What was neither asked for nor read.
    $conn->end_sending if !$conn->{gone};
    eval { 1 while !$conn->{gone} && $conn->fill; 1 };
    $conn->{name} = 'left';
    $conn->{saw} = $conn->{in};
    $conn->note if length $conn->{saw};
    return;
}

# What the server saw of a case: a list of {name, connection, saw}.
sub seen {
    my ($self, $name) = @_;
    if (open my $in, '<:raw', $self->{record}) {
        seek $in, $self->{offset} // 0, 0;
        while (defined(my $line = <$in>)) {
            last if $line !~ /\n\z/;
            push @{ $self->{seen} }, $json->decode($line);
            $self->{offset} += length $line;
        }
    }
    return grep { !defined $name || $_->{name} eq $name } @{ $self->{seen} // [] };
}

sub default_request {
    my ($name) = @_;
    return "GET /$name HTTP/1.1\r\nHost: t\r\n\r\n";
}

sub send_all {
    my ($client, $case, $name) = @_;
    my $send = $case->{send} // default_request($name);
    for my $piece (ref $send ? @$send : $send) {
        if (ref $piece) {
            $piece->($client);
        } elsif ($case->{slow}) {
            $client->send($_) for split //, $piece;
        } else {
            $client->send($piece);
        }
    }
    $client->end_sending if $case->{half};
    return;
}

# What came so far, when there is enough of it or the connection has ended; and whether it has ended.
sub receive {
    my ($client, $case) = @_;
    if (ref $case->{client} eq 'Regexp') {
        return ($client->response($case->{method} // 'GET')->{raw}, '');
    }
    my $want = length $case->{client};
    my $how = '';
    eval {
        while (length $client->{in} < $want) {
            $client->fill or $how = 'closed';
            last if $how;
        }
        1;
    } or $how = $@ =~ /timeout/ ? 'timeout' : 'reset';
    my $got = substr $client->{in}, 0, $want;
    substr($client->{in}, 0, length $got) = '';
    return ($got, $how);
}

sub run {
    my ($self, $port, $name) = @_;
    my $case = $self->{cases}{$name};
    my $end = $case->{end} // 'open';
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $client = $self->{test}->client($port, timeout => 8 * Weir::Test::patience());
    setsockopt($client->socket, Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1);
    eval { send_all($client, $case, $name); 1 } or $end eq 'cut' or Test::More::diag("$name: $@");
    my ($got, $how) = eval { receive($client, $case) };
    ($got, $how) = ("$@", '') if !defined $got;
    if (ref $case->{client} eq 'Regexp') {
        Test::More::like($got, $case->{client}, "$name: the client gets its response");
    } else {
        Test::More::is(shown($got), shown($case->{client}), "$name: the client gets these bytes");
    }
    if ($end eq 'more') {
        # What follows is of no interest.
    } elsif ($end eq 'open') {
        $got = eval {
            $client->send("GET /probe HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
            $client->read_until_close;
        } // $client->{in} . $@;
        Test::More::is(shown($got), shown($probe_got), "$name: and the connection goes on");
    } else {
        $how = eval { $client->read_until_close; 1 } ? 'closed' : $@ =~ /timeout/ ? 'timeout' : 'reset' if $how eq '';
        my $rest = $client->{in};
        $how = "$how after '" . shown($rest) . "'" if length $rest;
        Test::More::like($how, $end eq 'cut' ? qr/^(?:closed|reset)$/ : qr/^$end$/, "$name: then the connection is $end");
    }
    $client->close;
    $self->check_server($name, $case) if exists $case->{saw} || exists $case->{reuse};
    return;
}

sub check_server {
    my ($self, $name, $case) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    if (!defined $case->{saw} && exists $case->{saw}) {
        Test::More::is(scalar(my @none = $self->seen($name)), 0, "$name: the server saw nothing of it");
        return;
    }
    my $seen;
    eval { $self->{test}->wait_until(sub { ($seen) = reverse $self->seen($name); $seen }, "the server saw $name", 5) };
    Test::More::is(shown($seen->{saw}), shown($case->{saw}), "$name: the server saw these bytes") if exists $case->{saw};
    return if !defined $case->{reuse};
    my ($probe) = reverse $self->seen('probe');
    Test::More::is(($seen->{connection} // 0) == ($probe->{connection} // 0) ? 1 : 0, $case->{reuse},
        "$name: its connection to the server is " . ($case->{reuse} ? 'used again' : 'not used again'));
    return;
}

# For messages: long ones by their ends and length, all of them printable.
sub shown {
    my ($bytes) = @_;
    return 'undef' if !defined $bytes;
    my $len = length $bytes;
    $bytes = substr($bytes, 0, 1000) . "...$len..." . substr($bytes, -200) . unpack('%32C*', $bytes) if $len > 4000;
    $bytes =~ s/\r\n/<CRLF>\n/g;
    $bytes =~ s/([^\n\x20-\x7e])/sprintf '<%02x>', ord $1/ge;
    return $bytes;
}

package Weir::Test::Script::Connection;

use parent -norequire, 'Weir::Test::Client';

# What is read belongs to the case of the moment.
sub read_match { my ($self, $re) = @_; my $got = $self->SUPER::read_match($re); $self->{saw} .= $got; return $got }
sub read_bytes { my ($self, $n) = @_; my $got = $self->SUPER::read_bytes($n); $self->{saw} .= $got; return $got }

sub read_until_close {
    my ($self) = @_;
    my $got = eval { $self->SUPER::read_until_close } // $self->{in};
    $self->{in} = '';
    $self->{saw} .= $got;
    return $got;
}

sub read_body {
    my ($self, $body) = @_;
    return if !$body;
    return $self->chunked_body if $body eq 'chunked';
    if ($body eq 'all') {
        $self->{in} = '' if !defined $self->{in};
        1 while $self->fill;
        $self->{saw} .= $self->{in};
        $self->{in} = '';
        return;
    }
    return $self->read_bytes($body);
}

# Close with a reset.
sub cut {
    my ($self) = @_;
    $self->note;
    $self->reset;
    $self->{gone} = 1;
    return 0;
}

sub fill { my ($self, @args) = @_; return $self->{sock} ? $self->SUPER::fill(@args) : 0 }

sub note {
    my ($self) = @_;
    return if !defined $self->{name};
    Weir::Test::Origin::append($self->{record},
        $json->encode({ name => $self->{name}, connection => $self->{nth}, saw => $self->{saw} }) . "\n");
    $self->{saw} = '';
    $self->{name} = undef;
    return;
}

1;
