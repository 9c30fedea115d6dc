package Weir::Test::Load;

# Clients in processes of their own that send requests until told to stop, and count what became of them.

use strict;
use warnings;
use JSON::PP ();
use Time::HiRes qw(time sleep);

my $count = 0;

# port, host, clients (4), path ('/'), headers, keepalive (1), requests_per_connection (0: no limit), tcp (0: HTTP,
# 1: lines sent to and expected back from an echo server over connections that are kept), pause (seconds between
# requests)
sub new {
    my ($class, $test, %o) = @_;
    my $n = $count++;
    my $self = bless {
        test => $test, host => '127.0.0.1', clients => 4, path => '/', headers => [], keepalive => 1,
        requests_per_connection => 0, pause => 0, %o, stop_file => $test->path("load-$n.stop"),
    }, $class;
    Scalar::Util::weaken($self->{test});
    for my $i (1 .. $self->{clients}) {
        my $base = $test->path("load-$n.$i");
        push @{ $self->{bases} }, $base;
        push @{ $self->{pids} }, $test->spawn(sub { $self->client_main($base) }, "load-$n.log");
    }
    return $self;
}

# Requests so far: [succeeded, failed].
sub progress {
    my ($self) = @_;
    my @sum = (0, 0);
    for my $base (@{ $self->{bases} }) {
        my @one = unpack 'QQ', $self->{test}->read("$base.progress");
        $sum[$_] += $one[$_] // 0 for 0, 1;
    }
    return \@sum;
}

sub ok_count { return $_[0]->progress->[0] }
sub failed_count { return $_[0]->progress->[1] }

sub wait_ok {
    my ($self, $more, $seconds) = @_;
    my $goal = $self->ok_count + $more;
    $self->{test}->wait_until(sub { $self->ok_count >= $goal }, "$more more requests have succeeded", $seconds // 30);
    return;
}

sub stop {
    my ($self) = @_;
    my %sum = (ok => 0, failed => 0, idle_closed => 0, reasons => {}, statuses => {}, bodies => {});
    $self->{test}->write($self->{stop_file}, '');
    $self->{test}->reap($_, 60) for splice @{ $self->{pids} };
    for my $base (@{ $self->{bases} }) {
        my $text = $self->{test}->read("$base.result");
        die "a load client ended without a result\n" if $text eq '';
        my $one = JSON::PP::decode_json($text);
        $sum{$_} += $one->{$_} for qw(ok failed idle_closed);
        for my $kind (qw(reasons statuses bodies)) {
            $sum{$kind}{$_} += $one->{$kind}{$_} for keys %{ $one->{$kind} };
        }
    }
    return \%sum;
}

# --- in the client's process ---

sub client_main {
    my ($self, $base) = @_;
    my %sum = (ok => 0, failed => 0, idle_closed => 0, reasons => {}, statuses => {}, bodies => {});
    open my $progress, '>:raw', "$base.progress" or die "$base.progress: $!\n";
    my $connection;
    my $sent = 0;
    while (!-e $self->{stop_file}) {
        if ($connection && $connection->is_closed) {
            # Nothing was sent: closing an idle connection is the server's right.  Bytes before the end are not.
            $self->failed(\%sum, 'unasked bytes on an idle connection') if length $connection->{in};
            $sum{idle_closed}++;
            $connection = undef;
        }
        my $done = eval {
            if (!$connection) {
                $sent = 0;
                $connection = Weir::Test::Client->new(host => $self->{host}, port => $self->{port}, timeout => 30);
            }
            my $again = $self->{tcp} ? $self->one_line($connection, \%sum) : $self->one_request($connection, \%sum);
            $sent++;
            $connection = undef
                if !$again || ($self->{requests_per_connection} && $sent >= $self->{requests_per_connection});
            1;
        };
        if (!$done) {
            my $where = $connection ? ($sent ? 'kept connection: ' : 'new connection: ') : '';
            $self->failed(\%sum, $where . $@);
            $connection = undef;
            sleep 0.01;
        }
        sysseek $progress, 0, 0;
        syswrite $progress, pack 'QQ', @sum{qw(ok failed)};
        sleep $self->{pause} if $self->{pause};
    }
    $self->{test}->write("$base.result", JSON::PP::encode_json(\%sum));
    return;
}

sub failed {
    my ($self, $sum, $why) = @_;
    chomp $why;
    $sum->{failed}++;
    $sum->{reasons}{$why}++ if keys %{ $sum->{reasons} } < 50 || $sum->{reasons}{$why};
    return;
}

# Returns whether the connection may be used again.
sub one_request {
    my ($self, $connection, $sum) = @_;
    my @headers = @{ $self->{headers} };
    push @headers, Connection => 'close' if !$self->{keepalive};
    my $r = $connection->get($self->{path}, headers => \@headers);
    $sum->{statuses}{ $r->{status} }++;
    if ($r->{status} =~ /^[23]/) {
        $sum->{ok}++;
        $sum->{bodies}{ $r->{body} }++ if length $r->{body} < 100;
    } else {
        $self->failed($sum, "status $r->{status}");
    }
    return $self->{keepalive} && !$r->{closes};
}

sub one_line {
    my ($self, $connection, $sum) = @_;
    my $line = "line $$ " . ++$self->{line} . "\n";
    $connection->send($line);
    my $back = $connection->read_bytes(length $line);
    $back eq $line or die "echo: sent '$line', got '$back'\n";
    $sum->{ok}++;
    return $self->{keepalive};
}

1;
