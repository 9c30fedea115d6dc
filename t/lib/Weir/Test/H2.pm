package Weir::Test::H2;

# An HTTP/2 client that sends whatever frames it is told to, right or wrong, and says what came back.

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes qw(time);

our @EXPORT_OK = qw(frame fields literal DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY
    WINDOW_UPDATE CONTINUATION END_STREAM ACK END_HEADERS PADDED WITH_PRIORITY);
our %EXPORT_TAGS = (all => \@EXPORT_OK);

use constant { DATA => 0, HEADERS => 1, PRIORITY => 2, RST_STREAM => 3, SETTINGS => 4, PUSH_PROMISE => 5, PING => 6,
    GOAWAY => 7, WINDOW_UPDATE => 8, CONTINUATION => 9 };
use constant { END_STREAM => 1, ACK => 1, END_HEADERS => 4, PADDED => 8, WITH_PRIORITY => 32 };

my @errors = qw(NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED
    FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY
    HTTP_1_1_REQUIRED);

sub frame {
    my ($type, $flags, $id, $payload) = @_;
    return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $id) . $payload;
}

# --- HPACK (RFC 7541) ---

sub integer {
    my ($first, $bits, $value) = @_;
    my $max = (1 << $bits) - 1;
    return chr($first | $value) if $value < $max;
    my $out = chr($first | $max);
    for ($value -= $max; $value >= 128; $value >>= 7) { $out .= chr($value & 127 | 128) }
    return $out . chr $value;
}

# A field as a literal without indexing and without Huffman coding.
sub literal {
    my ($name, $value) = @_;
    return "\0" . integer(0, 7, length $name) . $name . integer(0, 7, length $value) . $value;
}

sub fields { my $out = ''; while (my ($name, $value) = splice @_, 0, 2) { $out .= literal($name, $value) } return $out }

my @static = (undef, [':authority'], [':method', 'GET'], [':method', 'POST'], [':path', '/'], [':path', '/index.html'],
    [':scheme', 'http'], [':scheme', 'https'], map({ [':status', $_] } qw(200 204 206 304 400 404 500)),
    ['accept-charset'], ['accept-encoding', 'gzip, deflate'], map { [$_] } qw(accept-language accept-ranges accept
    access-control-allow-origin age allow authorization cache-control content-disposition content-encoding
    content-language content-length content-location content-range content-type cookie date etag expect expires from
    host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link location
    max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie
    strict-transport-security transfer-encoding user-agent vary via www-authenticate));

# The code is canonical: the symbols of each length, in their order, are all it takes.  Longer ones do not occur here.
my %huffman;
{
    my ($code, $length) = (0, 5);
    for ([5, '012aceiost'], [6, ' %-./3456789=A_bdfghlmnpru'], [7, ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz'], [8, '&*,;XZ'],
        [10, '!"()?'], [11, "'+|"], [12, '#>'], [13, "\0\$\@[]~"]) {
        $code <<= $_->[0] - $length;
        $length = $_->[0];
        $huffman{ sprintf "%0${length}b", $code++ } = $_ for split //, $_->[1];
    }
}

sub unhuffman {
    my ($bits) = unpack 'B*', $_[0];
    my ($out, $code) = ('', '');
    for my $bit (split //, $bits) {
        $code .= $bit;
        next unless exists $huffman{$code};
        $out .= $huffman{$code};
        $code = '';
    }
    die "bad Huffman code $code\n" unless $code =~ /^1{0,7}$/;
    return $out;
}

sub take_integer {
    my ($in, $bits) = @_;
    my $max = (1 << $bits) - 1;
    my $value = ord(substr $$in, 0, 1, '') & $max;
    return $value if $value < $max;
    for (my $shift = 0;; $shift += 7) {
        my $byte = ord substr $$in, 0, 1, '';
        $value += ($byte & 127) << $shift;
        return $value if $byte < 128;
    }
}

sub take_string {
    my ($in) = @_;
    my $huffman = ord($$in) & 128;
    my $text = substr $$in, 0, take_integer($in, 7), '';
    return $huffman ? unhuffman($text) : $text;
}

# A header block as a list of [name, value].
sub decode {
    my ($self, $block) = @_;
    my $table = $self->{table};
    my $entry = sub {
        my ($index) = @_;
        return ($static[$index] // $table->[ $index - 62 ] // die "bad index $index\n");
    };
    my @out;
    while (length $block) {
        my $first = ord $block;
        if ($first & 128) {
            push @out, $entry->(take_integer(\$block, 7));
            next;
        }
        if (($first & 224) == 32) {
            take_integer(\$block, 5);
            next;
        }
        my $name = take_integer(\$block, $first & 64 ? 6 : 4);
        $name = $name ? $entry->($name)->[0] : take_string(\$block);
        push @out, [$name, take_string(\$block)];
        next unless $first & 64;
        unshift @$table, $out[-1];
        my $size = 0;
        for my $i (0 .. $#$table) {
            $size += 32 + length($table->[$i][0]) + length $table->[$i][1];
            next if $size <= 4096;
            $#$table = $i - 1;
            last;
        }
    }
    return @out;
}

# --- the connection ---

# Connects and does what a well-behaved client begins with; bare => 1: nothing of it.  settings => payload of the first frame.
# tls => 1: over TLS, by ALPN.
sub new {
    my ($class, $test, $port, %o) = @_;
    my $self = bless { client => $o{tls} ? $test->tls_client($port, 'h2') : $test->client($port), table => [], seen => [], status => {}, body => {}, fields => {},
        trailers => {}, ended => {}, window => {} }, $class;
    return $self if $o{bare};
    $self->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(SETTINGS, 0, 0, $o{settings} // ''));
    $self->wait_for(sub { $_[0]{type} == SETTINGS && !($_[0]{flags} & ACK) });
    $self->send(frame(SETTINGS, ACK, 0, ''));
    return $self;
}

sub send { my ($self, $bytes) = @_; eval { $self->{client}->send($bytes) }; return $self }
sub close { my ($self) = @_; $self->{client}->close; return }

# A request whose fields are given.  $flags: END_STREAM | END_HEADERS unless told otherwise.
sub request {
    my ($self, $id, $fields, $flags) = @_;
    return $self->send(frame(HEADERS, $flags // (END_STREAM | END_HEADERS), $id, fields(@$fields)));
}

# The next frame, or undef at the end of the connection.
sub next_frame {
    my ($self) = @_;
    my $head = eval { $self->{client}->read_bytes(9) };
    return if !defined $head && ($@ // '') =~ /closed|reset/i;
    die $@ if !defined $head;
    my ($high, $low, $type, $flags, $id) = unpack 'CnCCN', $head;
    my $payload = $self->{client}->read_bytes($high << 16 | $low);
    my $frame = { type => $type, flags => $flags, id => $id & 0x7fffffff, payload => $payload };
    push @{ $self->{seen} }, $frame;
    $self->take($frame);
    return $frame;
}

sub take {
    my ($self, $f) = @_;
    my ($id, $type) = ($f->{id}, $f->{type});
    if ($type == HEADERS || $type == CONTINUATION) {
        my $block = $f->{payload};
        $block = substr $block, 5 if $type == HEADERS && $f->{flags} & WITH_PRIORITY;
        $self->{block} = ($type == HEADERS ? '' : $self->{block}) . $block;
        $self->{block_flags} = $f->{flags} if $type == HEADERS;
        return unless $f->{flags} & END_HEADERS;
        my @fields = $self->decode($self->{block});
        my ($status) = map { $_->[1] } grep { $_->[0] eq ':status' } @fields;
        if (!defined $status) {
            $self->{trailers}{$id} = \@fields;
        } elsif ($status < 200) {
            push @{ $self->{interim}{$id} }, $status;
        } else {
            $self->{status}{$id} = $status;
            $self->{fields}{$id} = \@fields;
        }
        $self->{ended}{$id} = 1 if $self->{block_flags} & END_STREAM;
    } elsif ($type == DATA) {
        $self->{body}{$id} .= $f->{payload};
        $self->{ended}{$id} = 1 if $f->{flags} & END_STREAM;
    } elsif ($type == WINDOW_UPDATE) {
        $self->{window}{$id} += unpack 'N', $f->{payload};
    } elsif ($type == RST_STREAM) {
        $self->{reset}{$id} = $errors[ unpack 'N', $f->{payload} ];
    } elsif ($type == GOAWAY) {
        my ($last, $code) = unpack 'NN', $f->{payload};
        $self->{goaway} = $errors[$code];
        $self->{last_stream} = $last;
    }
    return;
}

# Reads until the test is true of a frame; returns that, or undef when the connection ended before.
sub wait_for {
    my ($self, $test) = @_;
    while (my $f = $self->next_frame) {
        return $f if $test->($f);
    }
    $self->{closed} = 1;
    return;
}

# The whole response of a stream: true when it came.
sub response { my ($self, $id) = @_; return $self->{ended}{$id} || $self->wait_for(sub { $self->{ended}{$id} || $self->{reset}{$id} }) && $self->{ended}{$id} }

# What came of it all: "connection CODE", "stream ID CODE", "status N" (of stream $id), "closed".
sub verdict {
    my ($self, $id) = @_;
    $self->wait_for(sub {
        defined $self->{goaway} || grep({ $_ ne 'NO_ERROR' } values %{ $self->{reset} // {} }) || $self->{ended}{$id};
    });
    return "connection $self->{goaway}" if defined $self->{goaway};
    for (sort keys %{ $self->{reset} // {} }) {
        return "stream $_ $self->{reset}{$_}" if $self->{reset}{$_} ne 'NO_ERROR';
    }
    return "status $self->{status}{$id}" if defined $self->{status}{$id};
    return 'closed';
}

1;
