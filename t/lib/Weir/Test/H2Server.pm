package Weir::Test::H2Server;

# An HTTP/2 server (cleartext, prior knowledge) that answers whatever frames it is told to, right or wrong, and keeps what
# it saw.
#
#   my $server = Weir::Test::H2Server->start($t, 'name', \%cases, settings => payload)
#   $server->address; $server->seen('case')
#
# A case (its name is the path up to `?`) is a sub that gets the connection, the stream and what is known of the request
# ({fields, body, trailers}; a hash of the fields in {field}); it is called when the request has come as a whole, or with
# `begin:NAME` when its head has, with `data:NAME` for each piece of the body ($_[3]).  `mute:NAME`: the window of the stream
# is never opened again.  Others are answered with 200 and "ok\n".
# seen() gives a list of {name, connection, stream, fields, body, trailers, reset}.

use strict;
use warnings;
use JSON::PP ();
use Socket ();
use Weir::Test::H2 qw(:all);
use parent -norequire, 'Weir::Test::H2';

my $json = JSON::PP->new->latin1->canonical;

sub start {
    my ($class, $test, $name, $cases, %o) = @_;
    my $record = $test->path("h2-$name");
    my $server = $test->tcp_server($name, sub {
        my ($conn, $nth) = @_;
        my $self = bless { client => $conn, table => [], seen => [], nth => $nth, cases => $cases, record => $record,
            streams => {}, credit => { 0 => 65535 }, initial => 65535, queue => {} }, $class;
        my $served = eval { $self->serve(%o); 1 };
        Weir::Test::Origin::append($o{ended}, "$nth\n") if $o{ended};
        $served or $@ =~ /closed|reset|timeout/i or print STDERR "$name: $@";
    });
    return bless { server => $server, record => $record }, 'Weir::Test::H2Server::Handle';
}

sub serve {
    my ($self, %o) = @_;
    return $o{greet}->($self) if $o{greet};
    my $preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    setsockopt($self->{client}->socket, Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1);
    die "no preface\n" if $self->{client}->read_bytes(length $preface) ne $preface;
    $self->send(frame(SETTINGS, 0, 0, $o{settings} // ''));
    while (my $f = $self->next_frame) {
        $self->settle($f->{payload}) if $f->{type} == SETTINGS;
        $self->send(frame(SETTINGS, ACK, 0, '')) if $f->{type} == SETTINGS && !($f->{flags} & ACK);
        $self->send(frame(PING, ACK, 0, $f->{payload})) if $f->{type} == PING && !($f->{flags} & ACK) && !$o{deaf};
    }
    return;
}

sub take {
    my ($self, $f) = @_;
    my ($id, $type) = ($f->{id}, $f->{type});
    my $r = $self->{streams}{$id} //= { connection => $self->{nth}, stream => $id, body => '' } if $id;
    if ($type == HEADERS || $type == CONTINUATION) {
        my $block = $f->{payload};
        $block = substr $block, 5 if $type == HEADERS && $f->{flags} & WITH_PRIORITY;
        $self->{block} = ($type == HEADERS ? '' : $self->{block}) . $block;
        $self->{block_flags} = $f->{flags} if $type == HEADERS;
        return unless $f->{flags} & END_HEADERS;
        my @fields = $self->decode($self->{block});
        if ($r->{fields}) {
            $r->{trailers} = \@fields;
        } else {
            $r->{fields} = \@fields;
            $r->{field} = { map { @$_ } reverse @fields };
            ($r->{name}) = $r->{field}{':path'} =~ m{^/([^?]*)};
            $self->call("begin:$r->{name}", $id, $r);
        }
        $self->complete($id, $r) if $self->{block_flags} & END_STREAM;
    } elsif ($type == DATA) {
        my $data = $f->{payload};
        $r->{body} .= $data;
        my $mute = $self->{cases}{"mute:$r->{name}"};
        $self->send(frame(WINDOW_UPDATE, 0, $_, pack 'N', length $data)) for length $data ? (0, $mute ? () : $id) : ();
        $self->call("data:$r->{name}", $id, $r, $data) if length $data;
        $self->complete($id, $r) if $f->{flags} & END_STREAM;
    } elsif ($type == WINDOW_UPDATE) {
        $self->{credit}{$id} = $self->credit($id) + unpack 'N', $f->{payload};
        $self->drain($_) for sort { $a <=> $b } keys %{ $self->{queue} };
    } elsif ($type == RST_STREAM) {
        delete $self->{queue}{$id};
        $r->{reset} = unpack 'N', $f->{payload};
        $self->note($r);
    }
    return;
}

sub call {
    my ($self, $name, $id, $r, @more) = @_;
    my $case = $self->{cases}{$name} or return 0;
    $case->($self, $id, $r, @more);
    return 1;
}

sub complete {
    my ($self, $id, $r) = @_;
    $self->note($r);
    $self->call($r->{name}, $id, $r) or $self->{cases}{"begin:$r->{name}"} or $self->answer($id, "ok\n");
    return;
}

# What may be sent on a stream.
sub credit { my ($self, $id) = @_; return $self->{credit}{$id} //= $self->{initial} }

sub settle {
    my ($self, $payload) = @_;
    my %settings = unpack '(nN)*', $payload;
    return unless defined $settings{4};
    $_ and $self->{credit}{$_} += $settings{4} - $self->{initial} for keys %{ $self->{credit} };
    $self->{initial} = $settings{4};
    return;
}

sub drain {
    my ($self, $id) = @_;
    my $queue = $self->{queue}{$id} or return;
    while (length $queue->{bytes}) {
        my ($n) = sort { $a <=> $b } length $queue->{bytes}, 16384, $self->{credit}{0}, $self->credit($id);
        return if $n <= 0;
        $self->{credit}{$_} -= $n for 0, $id;
        $self->data($id, substr $queue->{bytes}, 0, $n, '');
    }
    $self->end($id) if $queue->{ends};
    delete $self->{queue}{$id} if $queue->{ends};
    return;
}

sub note {
    my ($self, $r) = @_;
    Weir::Test::Origin::append($self->{record}, $json->encode($r) . "\n");
    return;
}

# --- for cases ---

sub head {
    my ($self, $id, $fields, $flags) = @_;
    my ($first, @more) = unpack '(a16000)*', fields(@$fields);
    my @frames = ([HEADERS, $flags // 0, $first], map { [CONTINUATION, 0, $_] } @more);
    $frames[-1][1] |= END_HEADERS;
    return $self->send(join '', map { frame($_->[0], $_->[1], $id, $_->[2]) } @frames);
}

sub data { my ($self, $id, $bytes, $flags) = @_; return $self->send(frame(DATA, $flags // 0, $id, $bytes)) }
# As fast as the windows allow.
sub pour { my ($self, $id, $bytes, $ends) = @_; my $q = $self->{queue}{$id} //= {}; $q->{bytes} .= $bytes; $q->{ends} = $ends; return $self->drain($id) }
sub end { my ($self, $id, $bytes) = @_; return $self->data($id, $bytes // '', END_STREAM) }
sub rst { my ($self, $id, $code) = @_; return $self->send(frame(RST_STREAM, 0, $id, pack 'N', $code)) }
sub goaway { my ($self, $last, $code) = @_; return $self->send(frame(GOAWAY, 0, 0, pack 'NN', $last, $code)) }

sub answer {
    my ($self, $id, $body, @more) = @_;
    return $self->head($id, [':status' => 200, 'content-length' => length $body, @more])->end($id, $body);
}

package Weir::Test::H2Server::Handle;

sub address { return $_[0]{server}->address }
sub server { return $_[0]{server} }

sub seen {
    my ($self, $name) = @_;
    open my $in, '<:raw', $self->{record} or return;
    my $mark = defined $name ? '"name":' . $json->allow_nonref->encode($name) : ''; # decoding is slow
    my @all = map { $json->decode($_) } grep { /\n\z/ && index($_, $mark) >= 0 } <$in>;
    return grep { !defined $name || ($_->{name} // '') eq $name } @all;
}

1;
