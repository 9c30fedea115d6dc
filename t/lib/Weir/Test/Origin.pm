package Weir::Test::Origin;

# A server behind weir: a process of its own that records every request byte for byte and can be stopped, started
# again on the same port, and made to hold its answers until the test says so.  Made by Weir::Test's origin(),
# tcp_server() and tcp_echo().

use strict;
use warnings;
use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use IO::Select;
use IO::Socket::IP;
use JSON::PP ();
use Socket qw(SOMAXCONN);
use Time::HiRes qw(time sleep);

my $json = JSON::PP->new->utf8->canonical;

sub new {
    my ($class, $test, %o) = @_;
    my $self = bless { test => $test, host => '127.0.0.1', %o }, $class;
    Scalar::Util::weaken($self->{test});
    $self->{port} //= $test->port;
    $self->{record} = $test->path("origin-$self->{name}.requests");
    $self->{hold_file} = $test->path("origin-$self->{name}.hold");
    $self->{count_file} = $test->path("origin-$self->{name}.connections");
    unlink $self->{record}, $self->{hold_file}, $self->{count_file};
    $self->start unless $o{stopped};
    return $self;
}

sub name { return $_[0]{name} }
sub port { return $_[0]{port} }
sub pid { return $_[0]{pid} }
sub address { my $h = $_[0]{host}; return ($h =~ /:/ ? "[$h]" : $h) . ":$_[0]{port}" }

# Listens before it returns: a request sent next is accepted.
sub start {
    my ($self) = @_;
    return $self if $self->{pid};
    my $listener;
    $self->{test}->wait_until(sub {
        $listener = IO::Socket::IP->new(LocalHost => $self->{host}, LocalPort => $self->{port}, Proto => 'tcp',
            Listen => SOMAXCONN, ReuseAddr => 1);
    }, "origin $self->{name} can listen on $self->{host}:$self->{port}");
    $self->{pid} = $self->{test}->spawn(sub {
        $self->{listener} = $listener;
        $self->{tcp} ? $self->tcp_loop : $self->http_loop;
    }, "origin-$self->{name}.log");
    CORE::close($listener);
    return $self;
}

# Ends it at once, with all its connections: from now on its port refuses.
sub stop {
    my ($self) = @_;
    $self->{test}->end_process(delete $self->{pid}, 'KILL') if $self->{pid};
    return $self;
}

# Requests are read and recorded, but answered only after release().
sub hold { my ($self) = @_; $self->{test}->write("origin-$self->{name}.hold", ''); return $self }
sub release { my ($self) = @_; unlink $self->{hold_file}; return $self }

# What came in so far: a list of {method, path, version, head, headers, body, raw, connection, nth}.
sub requests {
    my ($self) = @_;
    open my $in, '<:raw', $self->{record} or return ();
    my @all = map { $json->decode($_) } grep { /\n\z/ } <$in>;
    return @all;
}

sub last_request { my @all = $_[0]->requests; return $all[-1] }
sub request_count { return scalar(my @all = $_[0]->requests) }
sub forget { my ($self) = @_; truncate $self->{record}, 0 if -e $self->{record}; return $self }

# Connections accepted since the start of the test.
sub connection_count { return -s $_[0]{count_file} // 0 }

sub wait_requests {
    my ($self, $count, $seconds) = @_;
    $self->{test}->wait_until(sub { $self->request_count >= $count }, "origin $self->{name} has $count requests", $seconds);
    return $self->requests;
}

sub append {
    my ($path, $bytes) = @_;
    open my $out, '>>:raw', $path or die "$path: $!\n";
    syswrite $out, $bytes;
    CORE::close($out);
    return;
}

sub accepted {
    my ($self) = @_;
    my $sock = $self->{listener}->accept or return;
    append($self->{count_file}, '.');
    return $sock;
}

# --- TCP: one process per connection runs the handler, which may block ---

sub tcp_loop {
    my ($self) = @_;
    local $SIG{CHLD} = 'IGNORE';
    my $nth = 0;
    while (1) {
        my $sock = $self->accepted or next;
        $nth++;
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            Weir::Test::die_with_parent();
            CORE::close($self->{listener});
            my $client = bless { sock => $sock, in => '', eof => 0, timeout => 60, host => '', port => 0 },
                'Weir::Test::Client';
            $sock->blocking(0);
            eval { $self->{tcp}->($client, $nth); 1 } or print STDERR "connection $nth: $@";
            $client->close;
            POSIX::_exit(0);
        }
        CORE::close($sock);
    }
}

sub echo {
    my ($client) = @_;
    while ($client->fill) {
        my $bytes = $client->{in};
        $client->{in} = '';
        $client->send($bytes);
    }
    return;
}

# --- HTTP: one process, all connections, no answer waits for another ---

sub http_loop {
    my ($self) = @_;
    my $listener = $self->{listener};
    $listener->blocking(0);
    my $readers = IO::Select->new($listener);
    my %conn;
    my $count = 0;
    while (1) {
        my @busy = grep { $_->{held} || length $_->{out} } values %conn;
        my $writers = IO::Select->new(map { $_->{sock} } grep { length $_->{out} } @busy);
        my @ready = IO::Select->select($readers, $writers, undef, (grep { $_->{held} } @busy) ? 0.02 : undef);
        for my $sock (@{ $ready[0] // [] }) {
            if ($sock == $listener) {
                while (my $new = $self->accepted) {
                    $new->blocking(0);
                    $readers->add($new);
                    $conn{ fileno $new } =
                        { sock => $new, in => '', out => '', id => ++$count, nth => 0, closing => 0, end => 0 };
                }
                next;
            }
            my $c = $conn{ fileno $sock };
            my $n = sysread($sock, $c->{in}, 262144, length $c->{in});
            if (!$n && (defined $n || ($! != EAGAIN && $! != EINTR))) {
                $c->{end} = 1;
                $readers->remove($sock);
            }
        }
        for my $c (values %conn) {
            $self->serve($c);
            next unless $c->{gone} || ($c->{end} && $c->{out} eq '' && !$c->{held});
            $readers->remove($c->{sock});
            delete $conn{ fileno $c->{sock} };
            CORE::close($c->{sock});
        }
    }
}

# Answers what is complete in the connection's input, in order.
sub serve {
    my ($self, $c) = @_;
    while (1) {
        if ($c->{held}) {
            return if -e $self->{hold_file};
            my $request = delete $c->{held};
            $self->answer($c, $request);
        }
        $self->flush($c);
        return if $c->{gone} || length $c->{out};
        if ($c->{closing}) {
            $c->{gone} = 1;
            return;
        }
        my $request = take_request($c) or return;
        append($self->{record}, $json->encode($request) . "\n");
        if (-e $self->{hold_file}) {
            $c->{held} = $request;
            return;
        }
        $self->answer($c, $request);
    }
}

sub flush {
    my ($self, $c) = @_;
    while (length $c->{out}) {
        my $n = syswrite($c->{sock}, $c->{out});
        if (defined $n) {
            substr($c->{out}, 0, $n, '');
        } elsif ($! == EAGAIN || $! == EWOULDBLOCK) {
            return;
        } elsif ($! != EINTR) {
            $c->{gone} = 1;
            return;
        }
    }
    return;
}

# Takes one complete request from the input; undef while it is not there.
sub take_request {
    my ($c) = @_;
    my $end = index $c->{in}, "\r\n\r\n";
    return if $end < 0;
    my $head = substr $c->{in}, 0, $end + 4;
    my ($line, @lines) = split /\r\n/, $head;
    my ($method, $path, $version) = split / /, $line;
    my %headers;
    for (@lines) {
        my ($name, $value) = /^([^:]*):[ \t]*(.*?)[ \t]*$/ or next;
        $name = lc $name;
        $headers{$name} = defined $headers{$name} ? "$headers{$name}, $value" : $value;
    }
    my ($body, $raw_body) = ('', '');
    if (lc($headers{'transfer-encoding'} // '') eq 'chunked') {
        my $rest = substr $c->{in}, $end + 4;
        while (1) {
            $rest =~ /\G([0-9A-Fa-f]+)[^\r\n]*\r\n/gc or return;
            my $size = hex $1;
            last if $size == 0;
            my $at = pos $rest;
            return if length($rest) < $at + $size + 2;
            $body .= substr $rest, $at, $size;
            pos($rest) = $at + $size + 2;
        }
        $rest =~ /\G(?:[^\r\n]+\r\n)*\r\n/gc or return;
        $raw_body = substr $rest, 0, pos $rest;
    } elsif ($headers{'content-length'}) {
        return if length($c->{in}) < $end + 4 + $headers{'content-length'};
        $body = $raw_body = substr $c->{in}, $end + 4, $headers{'content-length'};
    }
    substr($c->{in}, 0, length($head) + length $raw_body, '');
    return { method => $method, path => $path, version => $version, head => $head, headers => \%headers,
        body => $body, raw => $head . $raw_body, connection => $c->{id}, nth => ++$c->{nth} };
}

sub answer {
    my ($self, $c, $request) = @_;
    my $answer = $self->{handler} ? $self->{handler}->($request) : undef;
    $answer //= $self->default_answer($request);
    if (!ref $answer) {
        $c->{out} .= $answer;
    } else {
        $c->{out} .= $self->answer_text($answer, $request);
        $c->{closing} = 1 if $answer->{close};
    }
    $c->{closing} = 1 if lc($request->{headers}{connection} // '') eq 'close' || $self->{close};
    return;
}

# The paths that every origin knows; anything else gets the origin's name.
sub default_answer {
    my ($self, $request) = @_;
    my ($path) = $request->{path} =~ /^([^?]*)/;
    return { body => $request->{raw} } if $path =~ m{^/echo(?:/|$)};
    return { status => $1 } if $path =~ m{^/status/(\d+)$};
    return { body => 'x' x $1 } if $path =~ m{^/bytes/(\d+)$};
    return { body => 'x' x $1, chunked => 1 } if $path =~ m{^/chunked/(\d+)$};
    return { body => 'x' x $1, until_close => 1, close => 1 } if $path =~ m{^/until-close/(\d+)$};
    return { body => "$self->{name}\n", close => 1 } if $path eq '/close';
    return { body => "$self->{name}\n" };
}

sub answer_text {
    my ($self, $answer, $request) = @_;
    my $status = $answer->{status} // 200;
    my $body = $answer->{body} // "$self->{name}\n";
    my $bare = $status =~ /^(?:1..|204|304)$/;
    $body = '' if $bare;
    my $text = "HTTP/1.1 $status " . ($answer->{reason} // 'Answer') . "\r\nX-Origin: $self->{name}\r\n";
    my @headers = @{ $answer->{headers} // [] };
    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }
    if ($answer->{chunked}) {
        $text .= "Transfer-Encoding: chunked\r\n";
        my $chunked = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } unpack '(a4000)*', $body;
        $body = "${chunked}0\r\n\r\n";
    } elsif (!$answer->{until_close} && !$bare) {
        $text .= 'Content-Length: ' . length($body) . "\r\n";
    }
    $text .= "Connection: close\r\n"
        if $answer->{close} || $self->{close} || lc($request->{headers}{connection} // '') eq 'close';
    return "$text\r\n" . ($request->{method} eq 'HEAD' ? '' : $body);
}

1;
