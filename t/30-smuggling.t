#!/usr/bin/perl
# Requests that two parsers could read differently: 400, the connection closed, and not a byte of it for the server.

use strict;
use warnings;
use Test::More;
use Weir::Test;
use Weir::Test::Script;

my $t = Weir::Test->new;
my $port = $t->port;
my $script = Weir::Test::Script->new($t, { x => { body => 'all', answer => '', close => 1 } });
my $weir = $t->start_weir(config => $t->config(<<"CONFIG", workers => 1));
listeners:
  - {name: web, listen: ["127.0.0.1:$port"], protocol: http, pool: web}
pools:
  - name: web
    servers: [{name: a, address: "@{[ $script->address ]}"}]
CONFIG

# Name => bytes.  Each goes alone, with a second request behind it, and in small pieces.
my $post = "POST /x HTTP/1.1\r\nHost: t\r\n";
my $get = "GET /x HTTP/1.1\r\nHost: t\r\n";
my @refused = (
    # Two lengths.
    'Content-Length and Transfer-Encoding' => "${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    'Transfer-Encoding and Content-Length' => "${post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    'Transfer-Encoding and Content-Length 0' => "${post}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    'two different lengths' => "${post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    'two equal lengths' => "${post}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    'a list of lengths' => "${post}Content-Length: 5, 5\r\n\r\nhello",
    'a length that Connection names and Transfer-Encoding' =>
        "${post}Connection: Content-Length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    # Malformed lengths.
    'length with a plus' => "${post}Content-Length: +5\r\n\r\nhello",
    'length with a minus' => "${post}Content-Length: -5\r\n\r\nhello",
    'length in hexadecimal' => "${post}Content-Length: 0x5\r\n\r\nhello",
    'empty length' => "${post}Content-Length: \r\n\r\n",
    'length with a space inside' => "${post}Content-Length: 5 5\r\n\r\nhello",
    'length with letters' => "${post}Content-Length: 5x\r\n\r\nhello",
    'length with a fraction' => "${post}Content-Length: 5.0\r\n\r\nhello",
    'length in quotes' => "${post}Content-Length: \"5\"\r\n\r\nhello",
    'length beyond 64 bits' => "${post}Content-Length: 18446744073709551621\r\n\r\nhello",
    'length of many digits' => "${post}Content-Length: " . '9' x 40 . "\r\n\r\nhello",
    'length with a comma' => "${post}Content-Length: 5,\r\n\r\nhello",
    'length with a form feed' => "${post}Content-Length: \x0c5\r\n\r\nhello",
    'length with a non-breaking space' => "${post}Content-Length: \xa05\r\n\r\nhello",
    # Transfer codings.
    'unknown coding' => "${post}Transfer-Encoding: gzip\r\n\r\n",
    'coding before chunked' => "${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    'chunked twice in a list' => "${post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    'chunked in two fields' => "${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    'chunked, then identity' => "${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    'identity' => "${post}Transfer-Encoding: identity\r\n\r\n",
    'chunked with a parameter' => "${post}Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    'chunked with a comma' => "${post}Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
    'chunked after a comma' => "${post}Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    'chunked in quotes' => "${post}Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    'xchunked' => "${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    'chunked with a vertical tab' => "${post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    'chunked with NUL' => "${post}Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n",
    'chunked with a high octet' => "${post}Transfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n",
    'empty coding' => "${post}Transfer-Encoding: \r\n\r\n",
    'space before the colon of Transfer-Encoding' => "${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    'tab before the colon of Transfer-Encoding' => "${post}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    'folded Transfer-Encoding' => "${post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    'Transfer-Encoding behind a bare CR' => "${post}X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    'Transfer-Encoding behind a bare LF' => "${post}X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    'Transfer-Encoding behind a space' => "${post} Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    'HTTP/1.0 with Transfer-Encoding' => "POST /x HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    # Lines.
    'bare LF after the request line' => "GET /x HTTP/1.1\nHost: t\r\n\r\n",
    'bare LF after a field' => "${get}X: y\n\r\n\r\n",
    'bare LF everywhere' => "GET /x HTTP/1.1\nHost: t\n\n",
    'bare LF at the end of the head' => "${get}\n",
    'LF CR' => "GET /x HTTP/1.1\n\rHost: t\n\r\n\r",
    'bare CR in a value' => "${get}X: a\rb\r\n\r\n",
    'bare CR at the end of a value' => "${get}X: a\r\r\n\r\n",
    'bare CR in the request line' => "GET /x\r HTTP/1.1\r\nHost: t\r\n\r\n",
    'bare CR before a name' => "${get}\rX: a\r\n\r\n",
    'CR CR LF CR LF' => "${get}X: a\r\r\n\r\r\n\r\n",
    'folded line with a space' => "${get}X: a\r\n b\r\n\r\n",
    'folded line with a tab' => "${get}X: a\r\n\tb\r\n\r\n",
    'folded first field' => "GET /x HTTP/1.1\r\n X: a\r\nHost: t\r\n\r\n",
    'white space before the first field' => "GET /x HTTP/1.1\r\n Host: t\r\n\r\n",
    'tab before the first field' => "GET /x HTTP/1.1\r\n\tHost: t\r\n\r\n",
    'a line of white space' => "${get} \r\n\r\n",
    'a line of white space before a field' => "${get} \r\nX: y\r\n\r\n",
    # Each option is looked for among all fields.
    'more options of Connection than anybody needs' => "${get}Connection: " . join(',', 1 .. 33) . "\r\n\r\n",
    'more options in several fields' => $get . join('', map { "Connection: o$_\r\n" } 1 .. 33) . "\r\n",
    # Names.
    'no colon' => "${get}Xy\r\n\r\n",
    'empty name' => "${get}: y\r\n\r\n",
    'space before the colon' => "${get}X : y\r\n\r\n",
    'tab before the colon' => "${get}X\t: y\r\n\r\n",
    'space in a name' => "${get}X y: z\r\n\r\n",
    'NUL in a name' => "${get}X\0y: z\r\n\r\n",
    'high octet in a name' => "${get}X\xc3\xa9: z\r\n\r\n",
    (map { ("'$_' in a name" => "${get}X${_}y: z\r\n\r\n") } split //, '()<>@,;\\"/[]?={}'),
    (map { (sprintf('octet %02x in a name', $_) => sprintf("%sX%cy: z\r\n\r\n", $get, $_)) } 1 .. 9, 11, 12, 14 .. 31, 127),
    'Host with a space before the colon' => "GET /x HTTP/1.1\r\nHost : t\r\n\r\n",
    # Values.
    'NUL in a value' => "${get}X: a\0b\r\n\r\n",
    'NUL as a value' => "${get}X: \0\r\n\r\n",
    (map { (sprintf('octet %02x in a value', $_) => sprintf("%sX: a%cb\r\n\r\n", $get, $_)) } 1 .. 8, 11, 12, 14 .. 31, 127),
    # The request line.
    'two spaces after the method' => "GET  /x HTTP/1.1\r\nHost: t\r\n\r\n",
    'two spaces before the version' => "GET /x  HTTP/1.1\r\nHost: t\r\n\r\n",
    'tab after the method' => "GET\t/x HTTP/1.1\r\nHost: t\r\n\r\n",
    'tab before the version' => "GET /x\tHTTP/1.1\r\nHost: t\r\n\r\n",
    'space at the end of the request line' => "GET /x HTTP/1.1 \r\nHost: t\r\n\r\n",
    'space before the method' => " GET /x HTTP/1.1\r\nHost: t\r\n\r\n",
    'space in the target' => "GET /x y HTTP/1.1\r\nHost: t\r\n\r\n",
    'a second version' => "GET /x HTTP/1.1 HTTP/1.1\r\nHost: t\r\n\r\n",
    'no version' => "GET /x\r\nHost: t\r\n\r\n",
    'no target' => "GET HTTP/1.1\r\nHost: t\r\n\r\n",
    'empty target' => "GET  HTTP/1.1\r\nHost: t\r\n\r\n",
    'version in small letters' => "GET /x http/1.1\r\nHost: t\r\n\r\n",
    'version of another protocol' => "GET /x HTTPS/1.1\r\nHost: t\r\n\r\n",
    'version without a dot' => "GET /x HTTP/11\r\nHost: t\r\n\r\n",
    'version with two digits' => "GET /x HTTP/1.01\r\nHost: t\r\n\r\n",
    'version with a space' => "GET /x HTTP/ 1.1\r\nHost: t\r\n\r\n",
    'version with a sign' => "GET /x HTTP/+1.1\r\nHost: t\r\n\r\n",
    'NUL in the target' => "GET /x\0y HTTP/1.1\r\nHost: t\r\n\r\n",
    'high octet in the target' => "GET /x\xe9 HTTP/1.1\r\nHost: t\r\n\r\n",
    'DEL in the target' => "GET /x\x7f HTTP/1.1\r\nHost: t\r\n\r\n",
    'fragment in the target' => "GET /x#y HTTP/1.1\r\nHost: t\r\n\r\n",
    'colon in the method' => "GET: /x HTTP/1.1\r\nHost: t\r\n\r\n",
    'slash in the method' => "G/T /x HTTP/1.1\r\nHost: t\r\n\r\n",
    'NUL in the method' => "G\0T /x HTTP/1.1\r\nHost: t\r\n\r\n",
    'method of 65 letters' => 'A' x 65 . " /x HTTP/1.1\r\nHost: t\r\n\r\n",
    'target without a slash' => "GET x HTTP/1.1\r\nHost: t\r\n\r\n",
    'asterisk for GET' => "GET * HTTP/1.1\r\nHost: t\r\n\r\n",
    'another scheme' => "GET ftp://t/x HTTP/1.1\r\nHost: t\r\n\r\n",
    'absolute target without a host' => "GET http:///x HTTP/1.1\r\nHost: t\r\n\r\n",
    'absolute target with user information' => "GET http://u:p\@t/x HTTP/1.1\r\nHost: t\r\n\r\n",
    'absolute target with a letter in the port' => "GET http://t:8x/x HTTP/1.1\r\nHost: t\r\n\r\n",
    'authority for GET' => "GET t:80 HTTP/1.1\r\nHost: t\r\n\r\n",
    'a response' => "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 0\r\n\r\n",
    'TLS' => "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    # Host.
    'no Host' => "GET /x HTTP/1.1\r\n\r\n",
    'two Hosts' => "${get}Host: u\r\n\r\n",
    'two equal Hosts' => "${get}Host: t\r\n\r\n",
    'Host with user information' => "GET /x HTTP/1.1\r\nHost: u\@t\r\n\r\n",
    'Host with a slash' => "GET /x HTTP/1.1\r\nHost: t/x\r\n\r\n",
    'Host with a space' => "GET /x HTTP/1.1\r\nHost: t u\r\n\r\n",
    'Host with a comma' => "GET /x HTTP/1.1\r\nHost: t, u\r\n\r\n",
    'Host with a query' => "GET /x HTTP/1.1\r\nHost: t?x\r\n\r\n",
    'Host with a fragment' => "GET /x HTTP/1.1\r\nHost: t#x\r\n\r\n",
    'Host with a backslash' => "GET /x HTTP/1.1\r\nHost: t\\x\r\n\r\n",
    'Host with a letter in the port' => "GET /x HTTP/1.1\r\nHost: t:8x\r\n\r\n",
    'Host with two ports' => "GET /x HTTP/1.1\r\nHost: t:8:8\r\n\r\n",
    'Host with an open bracket' => "GET /x HTTP/1.1\r\nHost: [::1\r\n\r\n",
    'Host with text behind the bracket' => "GET /x HTTP/1.1\r\nHost: [::1]x\r\n\r\n",
    'Host with text in the brackets' => "GET /x HTTP/1.1\r\nHost: [t]\r\n\r\n",
    'Host with a bracket inside' => "GET /x HTTP/1.1\r\nHost: t[::1]\r\n\r\n",
    'Host with brackets in brackets' => "GET /x HTTP/1.1\r\nHost: [[::1]]\r\n\r\n",
    'Host with a high octet' => "GET /x HTTP/1.1\r\nHost: t\xe9\r\n\r\n",
    'Host with NUL' => "GET /x HTTP/1.1\r\nHost: t\0\r\n\r\n",
    'Host with quotes' => "GET /x HTTP/1.1\r\nHost: \"t\"\r\n\r\n",
    'malformed Host beside an absolute target' => "GET http://t/x HTTP/1.1\r\nHost: u\@t\r\n\r\n",
    'two Hosts beside an absolute target' => "GET http://t/x HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n",
    'HTTP/1.0 with two Hosts' => "GET /x HTTP/1.0\r\nHost: t\r\nHost: u\r\n\r\n",
);

# The same in the body: the head is fine, so it may have gone to the server, but nothing that was wrong.
my $chunked = "POST /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
my @chunks = (
    'no size' => "\r\nhello\r\n0\r\n\r\n",
    'size with a sign' => "+5\r\nhello\r\n0\r\n\r\n",
    'negative size' => "-1\r\nhello\r\n0\r\n\r\n",
    'size with 0x' => "0x5\r\nhello\r\n0\r\n\r\n",
    'size with a letter beyond f' => "5g\r\nhello\r\n0\r\n\r\n",
    'size with a space behind' => "5 \r\nhello\r\n0\r\n\r\n",
    'size with a space before' => " 5\r\nhello\r\n0\r\n\r\n",
    'size with a tab behind' => "5\t\r\nhello\r\n0\r\n\r\n",
    'size with an underscore' => "5_0\r\nhello\r\n0\r\n\r\n",
    'size with a comma' => "5,\r\nhello\r\n0\r\n\r\n",
    'size with NUL' => "5\0\r\nhello\r\n0\r\n\r\n",
    'size of 17 digits' => "10000000000000005\r\nhello\r\n0\r\n\r\n",
    'size of 17 digits with zeros' => "00000000000000005\r\nhello\r\n0\r\n\r\n",
    'size of 16 digits that wraps round' => "fffffffffffffffe\r\nhello\r\n0\r\n\r\n",
    'bare LF after the size' => "5\nhello\r\n0\r\n\r\n",
    'bare CR after the size' => "5\rhello\r\n0\r\n\r\n",
    'CR CR LF after the size' => "5\r\r\nhello\r\n0\r\n\r\n",
    'bare LF after the data' => "5\r\nhello\n0\r\n\r\n",
    'bare CR after the data' => "5\r\nhello\r0\r\n\r\n",
    'no line end after the data' => "5\r\nhello0\r\n\r\n",
    'more data than the size' => "5\r\nhello!\r\n0\r\n\r\n",
    'less data than the size' => "6\r\nhello\r\n0\r\n\r\n",
    'bare LF at the end' => "5\r\nhello\r\n0\r\n\n",
    'bare LF after the last size' => "5\r\nhello\r\n0\n\r\n",
    'bare LF in an extension' => "5;a\nb\r\nhello\r\n0\r\n\r\n",
    'bare LF ends an extension' => "5;a\nhello\r\n0\r\n\r\n",
    'bare CR in an extension' => "5;a\rb\r\nhello\r\n0\r\n\r\n",
    'extension without a name' => "5;\r\nhello\r\n0\r\n\r\n",
    'extension with an open quote' => "5;a=\"b\r\nhello\r\n0\r\n\r\n",
    'extension with a quote behind a value' => "5;a=b\"\r\nhello\r\n0\r\n\r\n",
    'extension with a second value' => "5;a=b=c\r\nhello\r\n0\r\n\r\n",
    'extension with a space at its end' => "5;a \r\nhello\r\n0\r\n\r\n",
    'extension with a comma' => "5;a,b\r\nhello\r\n0\r\n\r\n",
    'NUL in an extension' => "5;a\0b\r\nhello\r\n0\r\n\r\n",
    'extension of 5000 bytes' => '5;' . 'a' x 5000 . "\r\nhello\r\n0\r\n\r\n",
    'extension of 5000 bytes at the end' => "5\r\nhello\r\n0;" . 'a' x 5000 . "\r\n\r\n",
    'extensions of 5000 bytes for 10 of data' => ('1;' . 'a' x 500 . "\r\nx\r\n") x 10 . "0\r\n\r\n",
    'trailer without a colon' => "0\r\nXy\r\n\r\n",
    'trailer with a space before the colon' => "0\r\nX : y\r\n\r\n",
    'trailer with an empty name' => "0\r\n: y\r\n\r\n",
    'trailer with a fold' => "0\r\nX: y\r\n z\r\n\r\n",
    'trailer with a bare LF' => "0\r\nX: y\n\r\n",
    'trailer with a bare CR' => "0\r\nX: y\rz\r\n\r\n",
    'trailer with NUL' => "0\r\nX: \0\r\n\r\n",
    'trailers of 30000 bytes' => "0\r\n" . "X: y\r\n" x 10_000 . "\r\n",
    'a second request instead of the end' => "0\r\nGET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n",
);

my $more = "GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n";

# One response, which says that it is the last, then the end of the connection.
sub refuses {
    my ($what, $send) = @_;
    my ($got, $how) = $t->raw_exchange($port, $send, timeout => 5);
    my $ok = $got =~ m{\AHTTP/1\.1 400 Bad Request\r\n} && $got =~ /^Connection: close\r$/m
        && $got =~ /^Proxy-Status: weir; error=http_request_error\r$/m && (() = $got =~ m{HTTP/1\.}g) == 1
        && $how ne 'timeout';
    ok($ok, $what) or diag "$how: " . Weir::Test::Script::shown($got);
    return;
}

while (my ($what, $bytes) = splice @refused, 0, 2) {
    refuses($what, $bytes . $more);
    refuses("$what, in pieces", [ $bytes =~ /(.{1,7})/gs ]) if length $bytes < 1000;
}
is(scalar(my @none = $script->seen), 0, 'the server saw no byte of any of these requests');

while (my ($what, $bytes) = splice @chunks, 0, 2) {
    refuses("$what in a chunked body", $chunked . $bytes . $more);
    refuses("$what in a chunked body behind the head", [ $chunked, $bytes . $more ]);
    refuses("$what in a chunked body, in pieces", [ $chunked, $bytes =~ /(.{1,3})/gs ]) if length $bytes < 1000;
}
my @seen = $script->seen;
is((grep { $_->{saw} =~ /smuggled/ } @seen), 0, 'what stood behind a broken body reached no server');
is((grep { $_->{saw} =~ /[^\r]\n|\r[^\n]|\0/ } @seen), 0, 'no bare line end and no NUL did');

# A valid request, then a bad one in the same segment: the first is answered, nothing behind it is.
my ($got, $how) = $t->raw_exchange($port, "GET /first HTTP/1.1\r\nHost: t\r\n\r\nGET /x HTTP/1.1\r\nHost: t\nX: y\r\n\r\n$more");
like($got, qr{\AHTTP/1\.1 200 OK\r\n.*probeHTTP/1\.1 400 Bad Request\r\n}s, 'a bad request behind a good one: both are answered in order');
is((() = $got =~ m{HTTP/1\.1}g), 2, 'and nothing else');

is($weir->stop, 0, 'weir ends with status 0');
done_testing;
