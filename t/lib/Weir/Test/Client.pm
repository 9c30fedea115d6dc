package Weir::Test::Client;

# One TCP connection of a client that sees every byte: requests are sent as given, responses are read by the framing
# they announce.  All waits have a deadline; failures die with one line that says what happened.

use strict;
use warnings;
use Errno qw(EAGAIN EWOULDBLOCK EINTR ECONNRESET EPIPE);
use IO::Select;
use IO::Socket::IP;
use Time::HiRes qw(time);

# new(port => N, host => '127.0.0.1', timeout => seconds, local => 'address to speak from'), or
# new(socket => a connected one, on_close => sub)
sub new {
    my ($class, %o) = @_;
    my $self = bless {
        host => $o{host} // '127.0.0.1',
        port => $o{port},
        timeout => $o{timeout} // 20,
        in => '',
        eof => 0,
    }, $class;
    $self->{on_close} = $o{on_close};
    return $self if $self->{sock} = $o{socket};
    $self->{sock} = IO::Socket::IP->new(
        PeerHost => $self->{host},
        PeerPort => $self->{port},
        Timeout => $self->{timeout},
        ($o{local} ? (LocalHost => $o{local}) : ()),
    ) or die "connect to $self->{host}:$self->{port}: $!\n";
    $self->{sock}->blocking(0);
    return $self;
}

sub socket { return $_[0]{sock} }
sub port_here { return $_[0]{sock}->sockport }

sub close {
    my ($self) = @_;
    CORE::close($self->{sock}) if $self->{sock};
    $self->{sock} = undef;
    $self->{on_close}->() if $self->{on_close};
    $self->{on_close} = undef;
    return;
}

# Closes with a reset instead of an orderly end.
sub reset {
    my ($self) = @_;
    setsockopt($self->{sock}, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack('ii', 1, 0));
    return $self->close;
}

# No more bytes will be sent: the half-close of TCP.
sub end_sending {
    my ($self) = @_;
    shutdown($self->{sock}, 1);
    return;
}

sub send {
    my ($self, $bytes) = @_;
    my $deadline = time + $self->{timeout};
    my $at = 0;
    while ($at < length $bytes) {
        my $n = syswrite($self->{sock}, $bytes, length($bytes) - $at, $at);
        if (defined $n) {
            $at += $n;
        } elsif ($! == EAGAIN || $! == EWOULDBLOCK) {
            my $left = $deadline - time;
            die "timeout while sending\n" if $left <= 0;
            IO::Select->new($self->{sock})->can_write($left);
        } elsif ($! != EINTR) {
            die "send: $!\n";
        }
    }
    return;
}

# Reads what is there, waiting until $deadline.  1: something came, 0: end of the stream.
sub fill {
    my ($self, $deadline) = @_;
    $deadline //= time + $self->{timeout};
    return 0 if $self->{eof};
    while (1) {
        my $n = sysread($self->{sock}, $self->{in}, 65536, length $self->{in});
        return 1 if $n;
        if (defined $n) {
            $self->{eof} = 1;
            return 0;
        }
        next if $! == EINTR;
        if ($! != EAGAIN && $! != EWOULDBLOCK) {
            $self->{eof} = 1;
            die "receive: $!\n";
        }
        my $left = $deadline - time;
        die "timeout while receiving (so far: " . length($self->{in}) . " bytes)\n" if $left <= 0;
        IO::Select->new($self->{sock})->can_read($left);
    }
}

# Has the other side closed, as seen now?  What it sent before stays readable.
sub is_closed {
    my ($self) = @_;
    return 1 if $self->{eof};
    while (IO::Select->new($self->{sock})->can_read(0)) {
        my $more = eval { $self->fill(time) };
        return 1 if !defined $more || !$more;
    }
    return 0;
}

# Waits for the end of the stream; returns all bytes not yet read.
sub read_until_close {
    my ($self, $timeout) = @_;
    my $deadline = time + ($timeout // $self->{timeout});
    1 while $self->fill($deadline);
    my $all = $self->{in};
    $self->{in} = '';
    return $all;
}

# Reads up to and with what matches; returns those bytes.
sub read_match {
    my ($self, $re) = @_;
    my $deadline = time + $self->{timeout};
    while ($self->{in} !~ /$re/) {
        $self->fill($deadline) or die "closed before $re came (got '" . substr($self->{in}, 0, 200) . "')\n";
    }
    $self->{in} =~ /$re/;
    return substr($self->{in}, 0, $+[0], '');
}

sub read_bytes {
    my ($self, $count) = @_;
    my $deadline = time + $self->{timeout};
    while (length $self->{in} < $count) {
        $self->fill($deadline)
            or die "closed after " . length($self->{in}) . " of $count bytes\n";
    }
    return substr($self->{in}, 0, $count, '');
}

# A request as text.  $o: host, headers (list or array of name, value), body, version.
sub request_text {
    my ($method, $path, %o) = @_;
    my @headers = @{ $o{headers} // [] };
    my %have = map { lc $headers[ 2 * $_ ] => 1 } 0 .. @headers / 2 - 1;
    my $text = "$method $path HTTP/" . ($o{version} // '1.1') . "\r\n";
    $text .= "Host: $o{host}\r\n" if defined $o{host} && !$have{host};
    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }
    $text .= 'Content-Length: ' . length($o{body}) . "\r\n"
        if defined $o{body} && !$have{'content-length'} && !$have{'transfer-encoding'};
    return "$text\r\n" . ($o{body} // '');
}

sub request {
    my ($self, $method, $path, %o) = @_;
    $self->send(request_text($method, $path, host => "$self->{host}:$self->{port}", %o));
    return $self->response($method);
}

sub get {
    my ($self, $path, %o) = @_;
    return $self->request('GET', $path, %o);
}

# Reads one response; 1xx responses before it are kept in {interim}.
# {status, reason, version, head, headers => {lower-case name => values joined by ", "}, fields => [[name, value]...],
#  body, raw, closes (the connection cannot be used again)}
sub response {
    my ($self, $method) = @_;
    my (@interim, $r);
    while (1) {
        $r = $self->response_head;
        last if $r->{status} >= 200 || $r->{status} == 101;
        push @interim, $r;
    }
    $r->{interim} = \@interim;
    my $coding = lc($r->{headers}{'transfer-encoding'} // '');
    my $length = $r->{headers}{'content-length'};
    my $bare = ($method // 'GET') eq 'HEAD' || $r->{status} =~ /^(?:1..|204|304)$/;
    my $raw_body = '';
    if ($bare) {
        $r->{body} = '';
    } elsif ($coding eq 'chunked') {
        ($r->{body}, $raw_body, $r->{trailers}) = $self->chunked_body;
    } elsif (defined $length) {
        die "bad Content-Length '$length'\n" unless $length =~ /^\d+$/;
        $r->{body} = $raw_body = $self->read_bytes($length);
    } else {
        $r->{body} = $raw_body = $self->read_until_close;
        $r->{closes} = 1;
    }
    $r->{raw} = $r->{head} . $raw_body;
    my $connection = lc($r->{headers}{connection} // '');
    $r->{closes} = 1 if $connection =~ /\bclose\b/;
    $r->{closes} = 1 if $r->{version} eq '1.0' && $connection !~ /\bkeep-alive\b/;
    return $r;
}

sub response_head {
    my ($self) = @_;
    my $head = $self->read_match(qr/\r\n\r\n/);
    my ($line, @lines) = split /\r\n/, $head;
    $line =~ m{^HTTP/(1\.[01]) (\d{3})(?: (.*))?$} or die "not a status line: '$line'\n";
    my $r = { version => $1, status => $2, reason => $3 // '', head => $head, headers => {}, fields => [] };
    for (@lines) {
        /^([^:\s]+):[ \t]*(.*?)[ \t]*$/ or die "not a field line: '$_'\n";
        push @{ $r->{fields} }, [ $1, $2 ];
        my $name = lc $1;
        $r->{headers}{$name} = defined $r->{headers}{$name} ? "$r->{headers}{$name}, $2" : $2;
    }
    return $r;
}

sub chunked_body {
    my ($self) = @_;
    my ($body, $raw) = ('', '');
    while (1) {
        my $line = $self->read_match(qr/\r\n/);
        $line =~ /^([0-9A-Fa-f]+)[ \t]*(?:;[^\r\n]*)?\r\n$/ or die "bad chunk size line '$line'\n";
        $raw .= $line;
        my $size = hex $1;
        last if $size == 0;
        my $data = $self->read_bytes($size + 2);
        substr($data, -2) eq "\r\n" or die "chunk of $size bytes has no end\n";
        $raw .= $data;
        $body .= substr($data, 0, $size);
    }
    my $trailers = '';
    while ((my $line = $self->read_match(qr/\r\n/)) ne "\r\n") {
        $trailers .= $line;
    }
    return ($body, "$raw$trailers\r\n", $trailers);
}

sub DESTROY {
    my ($self) = @_;
    local ($@, $!);
    $self->close;
    return;
}

1;
