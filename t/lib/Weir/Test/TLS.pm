package Weir::Test::TLS;

# Pieces of TLS as bytes, for what no TLS library would send.

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(record client_hello);

# type: 20 change_cipher_spec, 21 alert, 22 handshake, 23 data
sub record {
    my ($type, $body, $version) = @_;
    return pack 'C n n/a*', $type, $version // 0x0303, $body;
}

# A first message of TLS 1.2 as a record.  name => SNI (any bytes), suites => [numbers], extensions => raw bytes of more.
sub client_hello {
    my (%o) = @_;
    my $extensions = defined $o{name} ? pack('n n/a*', 0, pack 'n/a*', pack 'C n/a*', 0, $o{name}) : '';
    $extensions .= pack('n n/a*', 10, pack 'n n', 2, 23) . pack('n n/a*', 11, pack 'C C', 1, 0)
        . pack('n n/a*', 13, pack 'n/a*', pack 'n*', 0x0403, 0x0804, 0x0401) . ($o{extensions} // '');
    my @suites = @{ $o{suites} // [0xc02b, 0xc02f] };
    my $body = pack('n a32 C n/a* C C n/a*', 0x0303, 'r' x 32, 0, pack('n*', @suites), 1, 0, $extensions);
    return record(22, pack('C', 1) . substr(pack('N', length $body), 1) . $body, 0x0301);
}

1;
