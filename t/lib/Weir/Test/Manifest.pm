package Weir::Test::Manifest;

=head1 NAME

Weir::Test::Manifest - manifests for weirgen, and what it says of them

=head1 SYNOPSIS

    my $g = Weir::Test::Manifest->new($t, '-s', $site);
    $g->accepts('a path', ingress('i', [qq{kubernetes.io/elb.id: "lb-1"}], [ [ 'a.example', path('/', 'web') ] ])
        . backend('web', '127.0.1.11', 8080), qr/host: a\.example/);

    gen(TEXT, ARGS...)              (exit status, configuration, diagnostics in which the file is called "in")
    accepts(WHAT, TEXT, RE, ARGS...)    exit status 0, and the configuration is like RE (or each of a list); returns
                                    the diagnostics
    refuses(WHAT, TEXT, RE, ARGS...)    exit status 1, no output, and the diagnostics are like RE

Exported functions: ingress(NAME, [ANNOTATIONS], [[HOST, PATHS...]...], class =>, created =>, spec => [LINES]),
path(PATH, SERVICE[:PORT], TYPE, MORE), mode(URL_MATCH_MODE), backend(NAME, IP, PORT, type =>, annotations => [],
spec => MORE): a Service with its EndpointSlice; free_offset(TEST): what --port-offset makes 80 and 443 free ports.

=cut

use strict;
use warnings;
use Exporter qw(import);
use IO::Socket::IP;
use Test::More ();

our @EXPORT = qw(backend free_offset ingress mode path);

sub new {
    my ($class, $t, @args) = @_;
    return bless { t => $t, args => \@args }, $class;
}

sub gen {
    my ($self, $text, @args) = @_;
    my $file = $self->{t}->write('in.yaml', $text);
    my ($exit, $out, $err) = $self->{t}->weirgen(@{ $self->{args} }, @args, $file);
    $err =~ s/\Q$file\E:/in:/g;
    return ($exit, $out, $err);
}

sub accepts {
    my ($self, $what, $text, $like, @args) = @_;
    my ($exit, $out, $err) = $self->gen($text, @args);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::is($exit, 0, "$what: accepted") or Test::More::diag($err);
    Test::More::like($out, $_, $what) for ref $like eq 'ARRAY' ? @$like : $like;
    return $err;
}

sub refuses {
    my ($self, $what, $text, $like, @args) = @_;
    my ($exit, $out, $err) = $self->gen($text, @args);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::is($exit, 1, "$what: refused");
    Test::More::is($out, '', "$what: nothing is generated");
    Test::More::like($err, $_, $what) for ref $like eq 'ARRAY' ? @$like : $like;
    return $err;
}

sub free_offset {
    my ($t) = @_;
    for (1 .. 50) {
        my $http = $t->port;
        my $https = $http - 80 + 443;
        next if $https > 65535;
        my $probe = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $https, Listen => 1) or next;
        close $probe;
        return $http - 80;
    }
    die 'no two free ports that are 363 apart';
}

sub path {
    my ($path, $to, $kind, $more) = @_;
    my ($name, $port) = split /:/, $to;
    $port = ($port // 80) =~ /^\d/ ? 'number: ' . ($port // 80) : "name: $port";
    return "{path: '$path', pathType: " . ($kind // 'Prefix') . ($more ? ", $more" : '')
        . ", backend: {service: {name: $name, port: {$port}}}}";
}

sub mode { return 'property: {ingress.beta.kubernetes.io/url-match-mode: ' . $_[0] . '}' }

sub ingress {
    my ($name, $annotations, $rules, %o) = @_;
    my $text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: $name\n";
    $text .= "  creationTimestamp: \"$o{created}\"\n" if $o{created};
    $text .= "  annotations:\n" . join '', map { "    $_\n" } @$annotations if @$annotations;
    $text .= "spec:\n  ingressClassName: " . ($o{class} // 'cce') . "\n" if ($o{class} // 'cce') ne 'none';
    $text .= "spec:\n" if ($o{class} // '') eq 'none';
    $text .= "  $_\n" for @{ $o{spec} // [] };
    $text .= "  rules:\n" if @$rules;
    for my $rule (@$rules) {
        my ($host, @paths) = @$rule;
        $text .= "    - host: '$host'\n      http:\n        paths:\n" . join '', map { "          - $_\n" } @paths;
    }
    return "$text---\n";
}

sub backend {
    my ($name, $ip, $port, %o) = @_;
    my $annotations = join ', ', @{ $o{annotations} // [] };
    my $type = $o{type} // 'ClusterIP';
    my $more = $o{spec} // '';
    return <<"YAML";
apiVersion: v1
kind: Service
metadata: {name: $name, annotations: {$annotations}}
spec: {type: $type, selector: {app: $name}, ports: [{name: web, port: 80, targetPort: $port}]$more}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: $name-1, labels: {kubernetes.io/service-name: $name}}
ports: [{name: web, port: $port}]
endpoints: [{addresses: [$ip], targetRef: {kind: Pod, name: $name-pod}}]
---
YAML
}

1;
