/* conf: every fault of a file is told with its place, what is wrong and what is allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/conf.h"

/* clang-format off: each finding is one line */

static void
assert_findings(const char *text, const char *expected)
{
	struct diag *diag = diag_new();
	struct config *config = conf_load_text("f", text, strlen(text), diag);
	char *findings = diag_text(diag, "test");

	assert_string_equal(findings, expected);
	assert_true((config == NULL) == (diag_errors(diag) > 0));
	conf_free(config);
	free(findings);
	diag_free(diag);
}

static void
whole_file(void **state)
{
	(void)state;
	assert_findings("",
	    "f: error: the file holds no configuration; \"version: 1\" is the least that is needed\n");
	assert_findings("[]",
	    "f:1:1: error: configuration: a list is given; allowed: a mapping of keys to values\n");
	assert_findings("text",
	    "f:1:1: error: configuration: a scalar is given; allowed: a mapping of keys to values\n");
	assert_findings("a: 1",
	    "f:1:1: error: unknown key \"a\" in configuration; allowed: version, global, acls, bandwidths, listeners, pools\n"
	    "f:1:1: error: key \"version\" is missing in configuration; it must be given\n");
	assert_findings("version: 2",
	    "f:1:10: error: version: \"2\" is a version that this program does not read; allowed: 1\n");
	assert_findings("version: 1\n"
	    "---\n"
	    "version: 1\n",
	    "f:3:1: error: a second document begins here; a configuration is one document\n");
	assert_findings("version: 1\n"
	    "globl: {}\n"
	    "x: 1\n",
	    "f:2:1: error: unknown key \"globl\" in configuration, did you mean \"global\"?; allowed: version, global, acls, bandwidths, listeners, pools\n"
	    "f:3:1: error: unknown key \"x\" in configuration; allowed: version, global, acls, bandwidths, listeners, pools\n");
	assert_findings("version: 1\n"
	    "global: []\n"
	    "acls: 3\n"
	    "listeners: {}\n"
	    "pools: x\n",
	    "f:2:9: error: global: a list is given; allowed: a mapping of keys to values\n"
	    "f:3:7: error: acls: a scalar is given; allowed: a mapping of names to mappings\n"
	    "f:4:12: error: listeners: a mapping is given; allowed: a list of mappings\n"
	    "f:5:8: error: pools: a scalar is given; allowed: a list of mappings\n");
	assert_findings("version: 1\n"
	    "version: 1\n",
	    "f:2:1: error: key \"version\" is given twice; the first is at line 1\n");
	assert_findings("version: 1\n"
	    "global: {user: a, user: b}\n",
	    "f:2:19: error: key \"user\" is given twice; the first is at line 2\n");
	assert_findings("version: 1\n"
	    "a: [\n",
	    "f:3:1: error: not valid YAML: did not find expected node content, while parsing a flow node that starts at line 3\n");
}

static void
global_values(void **state)
{
	(void)state;
	assert_findings("version: 1\n"
	    "global: {workers: 0}\n",
	    "f:2:19: error: workers: \"0\" is too small; allowed: auto, or a whole number from 1 to 120\n");
	assert_findings("version: 1\n"
	    "global: {workers: 121}\n",
	    "f:2:19: error: workers: \"121\" is too big; allowed: auto, or a whole number from 1 to 120\n");
	assert_findings("version: 1\n"
	    "global: {workers: some}\n",
	    "f:2:19: error: workers: \"some\" is not a number; allowed: auto, or a whole number from 1 to 120\n");
	assert_findings("version: 1\n"
	    "global: {workers: -1}\n",
	    "f:2:19: error: workers: \"-1\" is not a number; allowed: auto, or a whole number from 1 to 120\n");
	assert_findings("version: 1\n"
	    "global: {workers: 99999999999999999999}\n",
	    "f:2:19: error: workers: \"99999999999999999999\" is not a number; allowed: auto, or a whole number from 1 to 120\n");
	assert_findings("version: 1\n"
	    "global: {workers: [1]}\n",
	    "f:2:19: error: workers: a list is given; allowed: auto, or a whole number from 1 to 120\n");
	assert_findings("version: 1\n"
	    "global: {workers: ~}\n",
	    "f:2:19: error: workers: nothing is given; allowed: auto, or a whole number from 1 to 120\n");
	assert_findings("version: 1\n"
	    "global: {user: 'a b'}\n",
	    "f:2:16: error: user: \"a b\" has a space; allowed: a text without spaces, 512 bytes at most\n");
	assert_findings("version: 1\n"
	    "global: {user: ''}\n",
	    "f:2:16: error: user: \"\" is empty; allowed: a text without spaces, 512 bytes at most\n");
	assert_findings("version: 1\n"
	    "global: {certificates: {dir: certs}}\n",
	    "f:2:30: error: dir: \"certs\" is not an absolute path; allowed: an absolute path\n");
	assert_findings("version: 1\n"
	    "global: {control: {socket: 5}}\n",
	    "f:2:28: error: socket: \"5\" is not an absolute path; allowed: an absolute path\n");
	assert_findings("version: 1\n"
	    "global: {stats: {listen: 9180}}\n",
	    "f:2:26: error: listen: \"9180\" is not an address with its port; allowed: off, or an IP address with its port, such as 127.0.0.1:9180\n");
	assert_findings("version: 1\n"
	    "global: {stats: {listen: '127.0.0.1:0'}}\n",
	    "f:2:26: error: listen: \"127.0.0.1:0\" has port 0; allowed: off, or an IP address with its port, such as 127.0.0.1:9180\n");
	assert_findings("version: 1\n"
	    "global: {log: {access: sysloq, format: xml, level: loud, error: stdout}}\n",
	    "f:2:24: error: access: \"sysloq\" is not an absolute path; allowed: off, stdout or syslog, or an absolute path\n"
	    "f:2:40: error: format: \"xml\" is not known here; allowed: json, combined or custom\n"
	    "f:2:52: error: level: \"loud\" is not known here; allowed: error, warn, info or debug\n"
	    "f:2:65: error: error: \"stdout\" is not an absolute path; allowed: stderr or syslog, or an absolute path\n");
	assert_findings("version: 1\n"
	    "global: {log: {syslog: {server: example.com, facility: x}}, trace: {spans: /s}}\n",
	    "f:2:33: error: server: \"example.com\" is neither an absolute path nor an IP address; allowed: the path of a socket, or an IP address with its port, such as 192.0.2.1:514\n"
	    "f:2:56: error: facility: \"x\" is not known here; allowed: kern, user, mail, daemon, auth, syslog, lpr, news, uucp, cron, authpriv, ftp, local0, local1, local2, local3, local4, local5, local6 or local7\n"
	    "f:2:76: error: trace: spans needs propagate: on\n");
	assert_findings("version: 1\n"
	    "global: {log: off}\n",
	    "f:2:15: error: log: a scalar is given; allowed: a mapping of keys to values\n");
	assert_findings("version: 1\n"
	    "global: {limits: {request_head: 65k, response_head: 1, headers: 257, drain: 5}}\n",
	    "f:2:33: error: request_head: \"65k\" is too big; allowed: a whole number of bytes, or with a unit (16k, 8m) from 1k to 60k\n"
	    "f:2:53: error: response_head: \"1\" is too small; allowed: a whole number of bytes, or with a unit (16k, 8m) from 1k to 60k\n"
	    "f:2:65: error: headers: \"257\" is too big; allowed: a whole number from 8 to 256\n"
	    "f:2:77: error: drain: \"5\" is not a duration; allowed: a whole number with its unit (500ms, 5s, 30m, 1h) from 10ms to 24h\n");
	assert_findings("version: 1\n"
	    "global: {limits: {drain: 5 s}}\n",
	    "f:2:26: error: drain: \"5 s\" is not a duration; allowed: a whole number with its unit (500ms, 5s, 30m, 1h) from 10ms to 24h\n");
	assert_findings("version: 1\n"
	    "global: {limits: {drain: 25h, sticky_entries: 1.5, idle_upstream: 1k}}\n",
	    "f:2:26: error: drain: \"25h\" is too big; allowed: a whole number with its unit (500ms, 5s, 30m, 1h) from 10ms to 24h\n"
	    "f:2:47: error: sticky_entries: \"1.5\" is not a number; allowed: a whole number from 16 to 4000000\n"
	    "f:2:67: error: idle_upstream: \"1k\" is not a number; allowed: a whole number from 0 to 65536\n");
	assert_findings("version: 1\n"
	    "global: {pid_file: \"/a\\tb\"}\n",
	    "f:2:20: error: pid_file: \"/a\\x09b\" has control characters; allowed: an absolute path\n");
	assert_findings("version: 1\n"
	    "global: {wrkers: 1}\n",
	    "f:2:10: error: unknown key \"wrkers\" in global, did you mean \"workers\"?; allowed: workers, user, certificates, tls, control, stats, log, trace, errors, pid_file, state_dir, state_interval, limits\n");
}

static void
acl_values(void **state)
{
	(void)state;
	assert_findings("version: 1\n"
	    "acls: {a: {networks: [10.0.0.1/8, x, '::/129', 10.0.0.0/8]}}\n",
	    "f:2:23: error: networks: \"10.0.0.1/8\" has bits set behind its prefix; allowed: a list of: networks or addresses, such as 203.0.113.0/24 or 2001:db8::/32\n"
	    "f:2:35: error: networks: \"x\" is not a network; allowed: a list of: networks or addresses, such as 203.0.113.0/24 or 2001:db8::/32\n"
	    "f:2:38: error: networks: \"::/129\" is not a network; allowed: a list of: networks or addresses, such as 203.0.113.0/24 or 2001:db8::/32\n");
	assert_findings("version: 1\n"
	    "acls: {a: {}}\n",
	    "f:2:8: error: key \"networks\" is missing in acl; it must be given\n");
	assert_findings("version: 1\n"
	    "acls: {a b: {networks: []}}\n",
	    "f:2:8: error: acls: name \"a b\" has a space; allowed: a text without spaces, 512 bytes at most\n");
	assert_findings("version: 1\n"
	    "acls: {a: [10.0.0.0/8]}\n",
	    "f:2:8: error: acl: a list is given; allowed: a mapping of keys to values\n");
}

static void
bandwidth_values(void **state)
{
	(void)state;
	assert_findings("version: 1\n"
	    "bandwidths: {a: {in: 10, out: 63k}, b: {out: 31g, in: -1m}, c: {}, d: {in: 10mbit}}\n",
	    "f:2:22: error: in: \"10\" is not a bandwidth; allowed: bits a second, a whole number with its unit (500k, 10m, 1g; 1k is 1,000) from 64k to 30g\n"
	    "f:2:31: error: out: \"63k\" is too small; allowed: bits a second, a whole number with its unit (500k, 10m, 1g; 1k is 1,000) from 64k to 30g\n"
	    "f:2:46: error: out: \"31g\" is too big; allowed: bits a second, a whole number with its unit (500k, 10m, 1g; 1k is 1,000) from 64k to 30g\n"
	    "f:2:55: error: in: \"-1m\" is not a bandwidth; allowed: bits a second, a whole number with its unit (500k, 10m, 1g; 1k is 1,000) from 64k to 30g\n"
	    "f:2:64: error: a bandwidth that limits nothing; in, out or both are needed\n"
	    "f:2:76: error: in: \"10mbit\" is not a bandwidth; allowed: bits a second, a whole number with its unit (500k, 10m, 1g; 1k is 1,000) from 64k to 30g\n");
	assert_findings("version: 1\n"
	    "bandwidths: {cap: {in: 1m}}\n"
	    "listeners: [{name: l, listen: [\"127.0.0.1:1\"], protocol: tcp, bandwidth: cup, pool: p}]\n"
	    "pools: [{name: p, protocol: tcp, servers: [{name: s, address: \"127.0.0.1:2\"}]}]\n",
	    "f:3:74: error: bandwidth: there is no limit \"cup\", did you mean \"cap\"?; a name under bandwidths is needed\n");
}

static void
rate_values(void **state)
{
	(void)state;
	assert_findings("version: 1\n"
	    "listeners:\n"
	    "  - name: l\n"
	    "    listen: [\"127.0.0.1:1\"]\n"
	    "    protocol: tcp\n"
	    "    rate: {requests: 5, connections: 200000/s, ipv6_prefix: 16}\n"
	    "    pool: p\n"
	    "  - {name: m, listen: [\"127.0.0.1:2\"], protocol: tcp, rate: {requests: 5/s}, pool: p}\n"
	    "  - {name: n, listen: [\"127.0.0.1:3\"], protocol: tcp, rate: {burst: 2s}, pool: p}\n"
	    "pools: [{name: p, protocol: tcp, servers: [{name: s, address: \"127.0.0.1:2\"}]}]\n",
	    "f:6:22: error: requests: \"5\" is not a rate; allowed: a whole number with its unit (100/s, 30/m, 10/h) from 1/h to 100000/s\n"
	    "f:6:38: error: connections: \"200000/s\" is too big; allowed: a whole number with its unit (100/s, 30/m, 10/h) from 1/h to 100000/s\n"
	    "f:6:61: error: ipv6_prefix: \"16\" is too small; allowed: a whole number from 32 to 128\n"
	    "f:8:61: error: listener \"m\" has protocol tcp and a rate of requests; allowed: connections, or protocol http or https\n"
	    "f:9:61: error: a rate that limits nothing; connections, requests or both are needed\n");
}

static void
listener_values(void **state)
{
	(void)state;
	assert_findings("version: 1\n"
	    "listeners:\n"
	    "  - {}\n",
	    "f:3:5: error: key \"name\" is missing in listener; it must be given\n"
	    "f:3:5: error: key \"listen\" is missing in listener; it must be given\n"
	    "f:3:5: error: key \"protocol\" is missing in listener; it must be given\n");
	assert_findings("version: 1\n"
	    "listeners: [l]\n",
	    "f:2:13: error: listener: a scalar is given; allowed: a mapping of keys to values\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, listen2: x}\n",
	    "f:4:58: error: unknown key \"listen2\" in listener, did you mean \"listen\"?; allowed: name, listen, protocol, tls, server_names, timeouts, access, bandwidth, rate, proxy_protocol, http2, splice, compression, forwarded, request_id, log, request_headers, response_headers, redirect, routes, pool\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, http2: {cleartext: on}}\n",
	    "");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, proxy_protocol: off}\n",
	    "f:4:74: error: proxy_protocol: a scalar is given; allowed: a mapping of keys to values\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, compression: {gzip: on, types: [text, text/plain], min_size: -1, level: 10}}\n",
	    "f:4:90: error: types: \"text\" is not a media type; allowed: a list of: a media type such as text/plain\n"
	    "f:4:119: error: min_size: \"-1\" is not a size; allowed: a whole number of bytes, or with a unit (16k, 8m) from 0 to 1g\n"
	    "f:4:130: error: level: \"10\" is too big; allowed: a whole number from 1 to 9\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: udp}\n",
	    "f:4:5: error: listener \"l\" has no target; a pool is needed\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: smtp, routes: []}\n",
	    "f:4:5: error: listener \"l\" has no target; a pool is needed\n"
	    "f:4:43: error: protocol: \"smtp\" is not known here; allowed: tcp, http, https, tls or udp\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, timeouts: {connect: 1ms, idle: 169h, tunel: 5s}}\n",
	    "f:4:78: error: connect: \"1ms\" is too small; allowed: a whole number with its unit (500ms, 5s, 30m, 1h) from 10ms to 168h\n"
	    "f:4:89: error: idle: \"169h\" is too big; allowed: a whole number with its unit (500ms, 5s, 30m, 1h) from 10ms to 168h\n"
	    "f:4:95: error: unknown key \"tunel\" in timeouts, did you mean \"tunnel\"?; allowed: client_head, client_body, client_idle, connect, handshake, response, idle, tunnel, flow\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, access: {acl: a}}\n",
	    "f:4:72: error: acl: there is no access list \"a\"; a name under acls is needed\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, access: {mode: allow}}\n",
	    "f:4:66: error: key \"acl\" is missing in access; it must be given\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, access: {acl: a, mode: permit}}\n",
	    "f:4:72: error: acl: there is no access list \"a\"; a name under acls is needed\n"
	    "f:4:81: error: mode: \"permit\" is not known here; allowed: allow or deny\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, forwarded: {for: maybe, proto: 1, port: on}}\n",
	    "f:4:75: error: for: \"maybe\" is not known here; allowed: append, replace or off\n"
	    "f:4:89: error: proto: \"1\" is neither on nor off; allowed: on or off (also true, false, yes, no)\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, redirect: {}}\n",
	    "f:4:55: error: listener \"l\" has both a redirect and a pool; one of them is allowed\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, redirect: {scheme: ftp, port: 0, status: 300}}\n",
	    "f:4:68: error: scheme: \"ftp\" is not known here; allowed: http or https\n"
	    "f:4:79: error: port: \"0\" is too small; allowed: a port from 1 to 65535\n"
	    "f:4:90: error: status: \"300\" is not known here; allowed: 301, 302, 303, 307 or 308\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, routes: [{host: 'a b'}]}\n",
	    "f:4:67: error: route: there is no target; pool, split, redirect or respond is needed\n"
	    "f:4:74: error: host: \"a b\" is not a host name; allowed: a host name such as www.example.com, or *.example.com for one more label\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, routes: [{host: a..b, pool: p}, {host: '*.*.a', pool: p}, {host: '*', pool: p}, {host: A.example, pool: p}]}\n",
	    "f:4:74: error: host: \"a..b\" is not a host name; allowed: a host name such as www.example.com, or *.example.com for one more label\n"
	    "f:4:97: error: host: \"*.*.a\" is not a host name; allowed: a host name such as www.example.com, or *.example.com for one more label\n"
	    "f:4:123: error: host: \"*\" is not a host name; allowed: a host name such as www.example.com, or *.example.com for one more label\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, routes: [{path: /a, pool: p}, {path: {}, pool: p}, {path: {exact: /a, prefix: /b}, pool: p}, {path: {exact: a}, pool: p}, {path: {prefix: '/a b'}, pool: p}]}\n",
	    "f:4:74: error: path: a scalar is given; allowed: a mapping of keys to values\n"
	    "f:4:95: error: path: nothing is given; exact, prefix, starts_with or regex is needed\n"
	    "f:4:116: error: path: both exact and prefix are given; one of them is allowed\n"
	    "f:4:166: error: exact: \"a\" does not start with a slash; allowed: a path that starts with a slash, as in a request\n"
	    "f:4:196: error: prefix: \"/a b\" has characters that a path on the wire cannot have (write them as %XX); allowed: a path that starts with a slash, as in a request\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, routes: [{path: {regex: '^a(b'}, pool: p}, {path: {starts_with: /a}, pool: p}, {path: {starts_with: /a}, respond: {}}]}\n",
	    "f:4:82: error: regex: \"^a(b\" is not an expression (at byte 4: missing closing parenthesis); allowed: a regular expression (PCRE2), 1024 bytes at most\n"
	    "f:4:137: error: this route has the host and path of that at line 4; each needs its own\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - name: l\n"
	    "    listen: ['*:80']\n"
	    "    protocol: http\n"
	    "    pool: p\n"
	    "    forwarded: {proto: on}\n"
	    "    request_id: {header: 'a b'}\n"
	    "    request_headers: {set: {X A: 1, X-B: \"a\\nb\", Host: /, X-Forwarded-For: y, X-Forwarded-Proto: z}, remove: [connection, X-C]}\n"
	    "    response_headers: {add: {Content-Length: 1, content-encoding: gzip, X-D: '${nothing}', X-E: '$1 $$ ${host}'}, remove: ['a:']}\n",
	    "f:9:26: error: header: \"a b\" is not the name of a field; allowed: names of fields such as X-Tenant\n"
	    "f:10:22: error: X-Forwarded-Proto is changed here and by forwarded.proto; one of them is allowed\n"
	    "f:10:29: error: set: \"X A\" is not the name of a field; allowed: 1 to 64 letters, digits and !#$%&'*+-.^_`|~\n"
	    "f:10:42: error: X-B: the value has control characters\n"
	    "f:10:56: error: Host: the value is not a host; allowed: a host name or an address, with or without a port\n"
	    "f:10:59: error: set: X-Forwarded-For is changed with forwarded.for\n"
	    "f:10:111: error: remove: connection is set by weir itself and cannot be changed\n"
	    "f:11:30: error: add: Content-Length is set by weir itself and cannot be changed\n"
	    "f:11:49: error: add: content-encoding cannot be changed\n"
	    "f:11:78: error: X-D: the value has an unknown variable (write $$ for a dollar sign)\n"
	    "f:11:124: error: remove: \"a:\" is not the name of a field; allowed: a list of: names of fields such as X-Tenant\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, routes: [{host: a, pool: x}, {host: a, pool: p}]}\n",
	    "f:4:83: error: pool: there is no pool \"x\"; a name under pools is needed\n"
	    "f:4:87: error: this route has the host and path of that at line 4; each needs its own\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http}\n",
	    "f:4:5: error: listener \"l\" has no target; a pool, routes or a redirect is needed\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: tcp}\n",
	    "f:4:5: error: listener \"l\" has no target; a pool is needed\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: https, pool: p}\n",
	    "f:4:5: error: listener \"l\" has protocol https and no tls; tls with a certificate is needed\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: http, pool: p, tls: {certificate: c}}\n",
	    "f:4:58: error: tls has no meaning here; it is allowed with protocol https or tls\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: https, pool: p, tls: {}}\n",
	    "f:4:64: error: key \"certificate\" is missing in tls; it must be given\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: https, pool: p, tls: {certificate: .., policy: tls-1-3, alpn: [h2, http/1.0]}}\n",
	    "f:4:78: error: certificate: \"..\" is not the ID of a certificate; allowed: 1 to 128 letters, digits and _.-, not starting with a dot\n"
	    "f:4:90: error: policy: \"tls-1-3\" is not a policy (did you mean tls-1-0?); allowed: intermediate, modern, old, tls-1-0, tls-1-1, tls-1-2, tls-1-2-strict, tls-1-0-inherit, tls-1-0-with-1-3, tls-1-2-fs, tls-1-2-fs-with-1-3, hybrid-policy-1-0, tls-1-2-strict-no-cbc, tls_cipher_policy_1_0, tls_cipher_policy_1_1, tls_cipher_policy_1_2, tls_cipher_policy_1_2_strict or tls_cipher_policy_1_2_strict_with_1_3\n"
	    "f:4:110: error: alpn: \"http/1.0\" is not known here; allowed: a list of: h2 or http/1.1 (at least 1)\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: https, pool: p, tls: {certificate: c, alpn: []}}\n",
	    "f:4:87: error: alpn: the list is too short; allowed: a list of: h2 or http/1.1 (at least 1)\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: https, pool: p, tls: {certificate: c, server_names: [{name: a, certificate: b}, {name: A, certificate: c}, {name: b}, {name: x y, certificate: c}]}}\n",
	    "f:4:123: error: server name \"a\" has two certificates, the other at line 4; one is allowed\n"
	    "f:4:150: error: key \"certificate\" is missing in server_name; it must be given\n"
	    "f:4:168: error: name: \"x y\" is not a host name; allowed: a host name such as www.example.com, or *.example.com for one more label\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: tcp, pool: p}\n",
	    "f:4:54: error: pool: pool \"p\" has protocol http; this listener needs one with protocol tcp\n");
	assert_findings("version: 1\n"
	    "pools: [{name: p, servers: [{name: s, address: '10.0.0.1:80'}]}]\n"
	    "listeners:\n"
	    "  - {name: l, listen: ['*:80'], protocol: tcp, forwarded: {}, redirect: {}, routes: []}\n",
	    "f:4:48: error: forwarded has no meaning here; it is allowed with protocol http or https\n"
	    "f:4:63: error: redirect has no meaning here; it is allowed with protocol http or https\n"
	    "f:4:77: error: routes has no meaning here; it is allowed with protocol http or https\n");
}

static void
listener_addresses(void **state)
{
	(void)state;
	assert_findings("version: 1\n"
	    "listeners:\n"
	    "  - {name: l, listen: [], protocol: http, redirect: {}}\n",
	    "f:3:23: error: listen: the list is too short; allowed: a list of: IP addresses with their ports, such as 0.0.0.0:80, [::]:80 or *:80 (at least 1)\n");
	assert_findings("version: 1\n"
	    "listeners:\n"
	    "  - {name: l, listen: [80, '1.2.3.4', 'localhost:80', '[::1]:0', '::1:80', '1.2.3.4:65536', {a: b}], protocol: http, redirect: {}}\n",
	    "f:3:24: error: listen: \"80\" is not an address with its port; allowed: a list of: IP addresses with their ports, such as 0.0.0.0:80, [::]:80 or *:80 (at least 1)\n"
	    "f:3:28: error: listen: \"1.2.3.4\" is not an address with its port; allowed: a list of: IP addresses with their ports, such as 0.0.0.0:80, [::]:80 or *:80 (at least 1)\n"
	    "f:3:39: error: listen: \"localhost:80\" is not an address with its port; allowed: a list of: IP addresses with their ports, such as 0.0.0.0:80, [::]:80 or *:80 (at least 1)\n"
	    "f:3:55: error: listen: \"[::1]:0\" has port 0; allowed: a list of: IP addresses with their ports, such as 0.0.0.0:80, [::]:80 or *:80 (at least 1)\n"
	    "f:3:66: error: listen: \"::1:80\" is not an address with its port; allowed: a list of: IP addresses with their ports, such as 0.0.0.0:80, [::]:80 or *:80 (at least 1)\n"
	    "f:3:76: error: listen: \"1.2.3.4:65536\" is not an address with its port; allowed: a list of: IP addresses with their ports, such as 0.0.0.0:80, [::]:80 or *:80 (at least 1)\n"
	    "f:3:93: error: listen: a mapping is given; allowed: a list of: IP addresses with their ports, such as 0.0.0.0:80, [::]:80 or *:80 (at least 1)\n");
	assert_findings("version: 1\n"
	    "listeners:\n"
	    "  - {name: l, listen: '1.2.3.4:80', protocol: http, redirect: {}}\n"
	    "  - {name: l, listen: ['1.2.3.4:81', '1.2.3.4:80'], protocol: http, redirect: {}}\n",
	    "f:4:5: error: there are two listeners \"l\", the first at line 3; each needs its own name\n"
	    "f:4:38: error: address 1.2.3.4:80 is taken already by listener \"l\" at line 3; each listener needs its own\n");
	assert_findings("version: 1\n"
	    "listeners:\n"
	    "  - {name: a, listen: ['[::]:80', '0.0.0.0:80'], protocol: http, redirect: {}}\n",
	    "");
	assert_findings("version: 1\n"
	    "listeners:\n"
	    "  - {name: a, listen: ['*:80', '[::]:80'], protocol: http, redirect: {}}\n",
	    "f:3:32: error: address [::]:80 is taken already by listener \"a\" at line 3; each listener needs its own\n");
	assert_findings("version: 1\n"
	    "listeners:\n"
	    "  - {name: a, listen: '*:80', protocol: http, redirect: {}}\n"
	    "  - {name: b, listen: '0.0.0.0:80', protocol: http, redirect: {}}\n",
	    "f:3:23: error: address *:80 takes 0.0.0.0:80 too, which listener \"b\" has at line 4; write [::]:80 for IPv6 alone\n");
	assert_findings("version: 1\n"
	    "listeners:\n"
	    "  - {name: a, listen: '*:80', protocol: http, redirect: {}}\n"
	    "  - {name: b, listen: '127.0.0.1:80', protocol: http, redirect: {}}\n",
	    "");
	assert_findings("version: 1\n"
	    "listeners:\n"
	    "  - {name: a, listen: '127.0.0.1:9180', protocol: http, redirect: {}}\n"
	    "  - {name: b, listen: '0.0.0.0:9180', protocol: http, redirect: {}}\n"
	    "  - {name: c, listen: '[::]:9180', protocol: http, redirect: {}}\n"
	    "  - {name: d, listen: '127.0.0.2:9180', protocol: http, redirect: {}}\n",
	    "f:3:23: error: listener \"a\" takes the address of the statistics endpoint (127.0.0.1:9180); change the port here or in global.stats.listen\n"
	    "f:4:23: error: listener \"b\" takes the address of the statistics endpoint (127.0.0.1:9180); change the port here or in global.stats.listen\n"
	    "f:5:23: error: listener \"c\" takes the address of the statistics endpoint (127.0.0.1:9180); change the port here or in global.stats.listen\n");
}

static void
pool_values(void **state)
{
	(void)state;
	assert_findings("version: 1\n"
	    "pools: [{}, {name: p}, {name: p, protocol: tcp}, {name: [p]}]\n",
	    "f:2:9: error: key \"name\" is missing in pool; it must be given\n"
	    "f:2:13: warning: pool \"p\" has no servers; requests are answered with 503\n"
	    "f:2:24: error: there are two pools \"p\", the first at line 2; each needs its own name\n"
	    "f:2:24: warning: pool \"p\" has no servers; connections are closed\n"
	    "f:2:57: error: name: a list is given; allowed: a text without spaces, 512 bytes at most\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], tls: {verify: no}}\n",
	    "f:3:61: error: tls has no meaning here; it is allowed with protocol https or h2\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], protocol: udp, sticky: {by: cookie_insert}}\n",
	    "f:3:5: error: pool \"p\" has protocol udp and is sticky by cookie; allowed: source_ip, or protocol http\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], balance: rr}\n",
	    "f:3:70: error: balance: \"rr\" is not known here; allowed: weighted_round_robin, weighted_least_connections, source_hash, tuple_hash or power_of_two\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], proxy_protocol: v2, drain: {timeout: 30s}}\n",
	    "f:3:5: error: pool \"p\" has protocol http and a proxy_protocol; allowed: off, or protocol tcp or udp\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], proxy_protocol: off}\n",
	    "");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], sticky: {by: cookie_prefix}}\n",
	    "");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], sticky: {by: cookie_insert, name: 'a b', timeout: 25h}}\n",
	    "f:3:95: error: name: \"a b\" has characters that a cookie's name cannot have; allowed: letters, digits and !#$%&'*+-.^_`|~, 128 bytes at most\n"
	    "f:3:111: error: timeout: \"25h\" is too big; allowed: a whole number with its unit (500ms, 5s, 30m, 1h) from 1s to 24h\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], sticky: {by: cookie_insert, path: '/a;b', domain: '*.x.test', same_site: none, secure: off}}\n",
	    "f:3:5: error: pool \"p\": the path of its cookie has a semicolon, which cookies cannot have\n"
	    "f:3:5: error: pool \"p\": the domain of its cookie begins with *; allowed: a host name, which stands for all hosts in it\n"
	    "f:3:5: error: pool \"p\": its cookie has same_site none and secure off; allowed: secure on or auto, as browsers take no other\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], sticky: {by: cookie_insert, path: /0123456789012345678901234567890123456789012345678901234567890123456789/012345678901234567890123456789012345678901234567890123456789/"
	    "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789}}\n",
	    "f:3:5: error: pool \"p\": name, path and domain of its cookie have more than 256 bytes\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], sticky: {by: cookie_insert, same_site: sometimes, secure: perhaps, domain: 'a b'}}\n",
	    "f:3:100: error: same_site: \"sometimes\" is not known here; allowed: off, lax, strict or none\n"
	    "f:3:119: error: secure: \"perhaps\" is not known here; allowed: auto, on or off\n"
	    "f:3:136: error: domain: \"a b\" is not a host name; allowed: a host name such as www.example.com, or *.example.com for one more label\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], sticky: {by: source_ip, http_only: off}}\n",
	    "f:3:85: error: http_only has no meaning here; it is allowed with by cookie_insert\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], sticky: {timeout: 5m, name: x}}\n",
	    "f:3:70: error: timeout has no meaning here; it is allowed with by cookie_insert or source_ip\n"
	    "f:3:83: error: name has no meaning here; it is allowed with by cookie_insert or cookie_prefix\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], sticky: {by: source_ip, name: x}}\n",
	    "f:3:85: error: name has no meaning here; it is allowed with by cookie_insert or cookie_prefix\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], protocol: tcp, sticky: {by: cookie_insert}}\n",
	    "f:3:5: error: pool \"p\" has protocol tcp and is sticky by cookie; allowed: source_ip, or protocol http\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], health: {type: icmp, path: /}}\n",
	    "f:3:76: error: type: \"icmp\" is not known here; allowed: off, tcp, http, udp or grpc\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], health: {path: /}}\n",
	    "f:3:70: error: path has no meaning here; it is allowed with type http\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], health: {type: tcp, path: /, host: x, method: GET, status: [2xx]}}\n",
	    "f:3:81: error: path has no meaning here; it is allowed with type http\n"
	    "f:3:90: error: host has no meaning here; it is allowed with type http or grpc\n"
	    "f:3:99: error: method has no meaning here; it is allowed with type http\n"
	    "f:3:112: error: status has no meaning here; it is allowed with type http\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], health: {type: http, interval: 50ms, timeout: 301s, rise: 0, fall: 11, port: 65536, path: x, host: 'a b', method: POST, status: [6xx, 20x, 99, 300-200, 200-600]}}\n",
	    "f:3:92: error: interval: \"50ms\" is too small; allowed: a whole number with its unit (500ms, 5s, 30m, 1h) from 100ms to 300s\n"
	    "f:3:107: error: timeout: \"301s\" is too big; allowed: a whole number with its unit (500ms, 5s, 30m, 1h) from 10ms to 300s\n"
	    "f:3:119: error: rise: \"0\" is too small; allowed: a whole number from 1 to 10\n"
	    "f:3:128: error: fall: \"11\" is too big; allowed: a whole number from 1 to 10\n"
	    "f:3:138: error: port: \"65536\" is too big; allowed: a port from 1 to 65535\n"
	    "f:3:151: error: path: \"x\" does not start with a slash; allowed: a path that starts with a slash, as in a request\n"
	    "f:3:160: error: host: \"a b\" is not a host; allowed: a host name or an address, with or without a port\n"
	    "f:3:175: error: method: \"POST\" is not known here; allowed: GET or HEAD\n"
	    "f:3:190: error: status: \"6xx\" is not a status or a range of them; allowed: a list of: statuses from 100 to 599, such as 2xx, 301 or 200-204 (at least 1)\n"
	    "f:3:195: error: status: \"20x\" is not a status or a range of them; allowed: a list of: statuses from 100 to 599, such as 2xx, 301 or 200-204 (at least 1)\n"
	    "f:3:200: error: status: \"99\" is not a status or a range of them; allowed: a list of: statuses from 100 to 599, such as 2xx, 301 or 200-204 (at least 1)\n"
	    "f:3:204: error: status: \"300-200\" is not a status or a range of them; allowed: a list of: statuses from 100 to 599, such as 2xx, 301 or 200-204 (at least 1)\n"
	    "f:3:213: error: status: \"200-600\" is not a status or a range of them; allowed: a list of: statuses from 100 to 599, such as 2xx, 301 or 200-204 (at least 1)\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, health: {type: http, version: 2, method: HEAD, body: up}, servers: [{name: s, address: '10.0.0.1:80'}]}\n"
	    "  - {name: q, protocol: udp, health: {type: udp, expect: x, payload: 0x1}, servers: [{name: s, address: '10.0.0.1:80'}]}\n"
	    "  - {name: r, protocol: udp, health: {type: udp, expect: '', body: x}, servers: [{name: s, address: '10.0.0.1:80'}]}\n",
	    "f:3:5: error: pool \"p\" has a health check by HEAD that looks for a body; allowed: method GET\n"
	    "f:3:45: error: version: \"2\" is not known here; allowed: 1.0 or 1.1\n"
	    "f:4:70: error: payload: \"0x1\" starts with 0x, but is not pairs of hexadecimal digits; allowed: a text, or 0x and pairs of hexadecimal digits; 1024 bytes at most\n"
	    "f:5:58: error: expect: \"\" is empty; allowed: a text, or 0x and pairs of hexadecimal digits; 1024 bytes at most\n"
	    "f:5:62: error: body has no meaning here; it is allowed with type http\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: q, protocol: udp, health: {type: udp, expect: x}, servers: [{name: s, address: '10.0.0.1:80'}]}\n",
	    "f:3:5: error: pool \"q\" has a health check that expects an answer to an empty datagram; add a payload\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], health: {type: http, status: []}}\n",
	    "f:3:90: error: status: the list is too short; allowed: a list of: statuses from 100 to 599, such as 2xx, 301 or 200-204 (at least 1)\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], health: {}\n"
	    "    }\n",
	    "");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], meta: {a: [1]}}\n",
	    "f:3:71: error: a: a list is given; allowed: a text\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - {name: p, servers: [{name: s, address: '10.0.0.1:80'}], meta: x}\n",
	    "f:3:67: error: meta: a scalar is given; allowed: a mapping of names to texts\n");
	assert_findings("version: 1\n"
	    "pools:\n"
	    "  - name: p\n"
	    "    servers:\n"
	    "      - {name: a, address: '10.0.0.1'}\n"
	    "      - {name: a, address: '*:80'}\n"
	    "      - {name: b, address: 'x:80', weight: 257}\n"
	    "      - {address: '[::1]:80', wait: 1}\n",
	    "f:5:28: error: address: \"10.0.0.1\" is not an address with its port; allowed: an IP address with its port, such as 192.0.2.1:80 or [2001:db8::1]:80\n"
	    "f:6:9: error: there are two servers \"a\", the first at line 5; each needs its own name\n"
	    "f:6:28: error: address: \"*:80\" is no address of a server; allowed: an IP address with its port, such as 192.0.2.1:80 or [2001:db8::1]:80\n"
	    "f:7:28: error: address: \"x:80\" is not an address with its port; allowed: an IP address with its port, such as 192.0.2.1:80 or [2001:db8::1]:80\n"
	    "f:7:44: error: weight: \"257\" is too big; allowed: a whole number from 0 to 256\n"
	    "f:8:9: error: key \"name\" is missing in server; it must be given\n"
	    "f:8:31: error: unknown key \"wait\" in server; allowed: name, address, weight, backup, "
	    "max_connections\n");
}
static void
missing_file(void **state)
{
	struct diag *diag = diag_new();
	char *findings;

	(void)state;
	assert_null(conf_load("/nonexistent/weir.yaml", diag));
	findings = diag_text(diag, "test");
	assert_string_equal(findings, "/nonexistent/weir.yaml: error: cannot read the file: No such file or directory\n");
	free(findings);
	diag_free(diag);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_file),
		cmocka_unit_test(global_values),
		cmocka_unit_test(acl_values),
		cmocka_unit_test(bandwidth_values),
		cmocka_unit_test(rate_values),
		cmocka_unit_test(listener_values),
		cmocka_unit_test(listener_addresses),
		cmocka_unit_test(pool_values),
		cmocka_unit_test(missing_file),
	};

	return cmocka_run_group_tests_name("conf_faults", tests, NULL, NULL);
}
