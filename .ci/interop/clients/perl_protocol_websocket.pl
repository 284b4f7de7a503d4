#!/usr/bin/perl
# perl_protocol_websocket.pl ws[s]://HOST:PORT/PATH DRAFT
# Debian's libprotocol-websocket-perl against an echo server, with hixie-75, hybi-00, hybi-08 or rfc6455.
# With wss, SSL_CERT_FILE names the authorities.
use strict;
use warnings;
use Digest::SHA 'sha1';
use FindBin;
use IO::Socket::INET;
use MIME::Base64 'encode_base64';
use Protocol::WebSocket::Frame;
use Protocol::WebSocket::Handshake::Client;

my ($url, $draft) = @ARGV;
my %versions = ('hixie-75' => 'draft-hixie-75', 'hybi-00' => 'draft-ietf-hybi-00',
    'hybi-08' => 'draft-ietf-hybi-10', 'rfc6455' => 'draft-ietf-hybi-17');
my $version = $versions{$draft} or die "unknown draft\n";
my $old = $draft eq 'hixie-75' || $draft eq 'hybi-00';
sub fail { die "@_\n" }

my ($secure, $host, $port) = $url =~ m{^ws(s?)://([^:/]+):(\d+)} or fail('URL');
require IO::Socket::SSL if $secure;
my $class = $secure ? 'IO::Socket::SSL' : 'IO::Socket::INET';
my $socket = $class->new(PeerAddr => $host, PeerPort => $port, Proto => 'tcp')
    or fail('connect: ' . ($secure ? IO::Socket::SSL::errstr() : $!));
binmode $socket;
sub output {
    my $data = shift;
    utf8::encode($data) if utf8::is_utf8($data);
    my $at = 0;
    while ($at < length $data) { $at += syswrite($socket, $data, length($data) - $at, $at) // fail("write: $!") }
}

my $handshake = Protocol::WebSocket::Handshake::Client->new(url => $url, version => $version);
$handshake->req->origin('http://client.example');
# The library does not check Sec-WebSocket-Accept.
my $key = encode_base64(join('', map { chr int rand 256 } 1 .. 16), '');
$handshake->req->key($key) unless $old;
output($handshake->to_string);
my ($in, $raw) = ('', '');
until ($handshake->is_done) {
    sysread($socket, my $bytes, 65536) or fail('closed during the handshake');
    $in .= $bytes;
    $raw .= $bytes;
    $handshake->parse($in) or fail('handshake: ' . $handshake->error); # removes the bytes that it has read
}
# The library does not check the location, which has the scheme of the connection.
fail("the location is not $url") unless !$old || $raw =~ /\r\n(Sec-)?WebSocket-Location: *\Q$url\E\r\n/i;
my $accept = encode_base64(sha1($key . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'), '');
fail("Sec-WebSocket-Accept is not $accept") unless $old || $raw =~ /\r\nSec-WebSocket-Accept: *\Q$accept\E\r\n/i;

my $frame = Protocol::WebSocket::Frame->new(version => $version, max_payload_size => 0, max_fragments_amount => 1000);
$frame->append($in);
sub next_frame {
    my $name = shift;
    while (1) {
        my $data = $frame->next_bytes;
        return $data if defined $data;
        sysread($socket, my $bytes, 65536) or fail("$name: connection closed");
        $frame->append($bytes);
    }
}
sub send_frame {
    my ($type, $data) = @_;
    output(Protocol::WebSocket::Frame->new(buffer => $data, type => $type, masked => !$old, version => $version,
        max_payload_size => 0)->to_bytes);
}

my %echoed = (text => 1, binary => 2, ping => 10);
open my $cases, '<', "$FindBin::Bin/cases.tsv" or fail("cases: $!");
while (<$cases>) {
    chomp;
    my ($name, $kind, $unit, $times) = split /\t/;
    next if /^#/ || $old && $kind ne 'text';
    my $data = ($unit eq '-' ? '' : pack 'H*', $unit) x $times;
    send_frame($kind, $data);
    my $got = next_frame($name);
    fail("$name: opcode " . $frame->opcode) if !$old && $frame->opcode != $echoed{$kind};
    fail("$name: " . length($got) . ' bytes differ from ' . length $data) if $got ne $data;
}
exit 0 if $draft eq 'hixie-75'; # it has no closing handshake
send_frame('close', $old ? '' : pack('n', 1000) . 'bye');
my $got = next_frame('close');
fail('close: opcode ' . $frame->opcode) if $frame->opcode != 8;
fail("close: $got") if !$old && unpack('n', $got) != 1000;
fail('bytes after the close') if sysread $socket, my $bytes, 10;
