#!/usr/bin/perl
# Debian's libprotocol-websocket-perl (Protocol::WebSocket 0.26): hixie-75, hybi-00, hybi-08 (hybi-10), rfc6455.
use strict; use warnings;
use IO::Socket::INET; use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Getopt::Long; use FindBin; use Digest::SHA 'sha1'; use MIME::Base64 'encode_base64';
use Protocol::WebSocket::Handshake::Client; use Protocol::WebSocket::Frame;

my ($draft, $origin, $protocol, $cases, $timeout) = ('hybi-00', 'http://client.example', undef, "$FindBin::Bin/cases.tsv", 50);
GetOptions('draft=s' => \$draft, 'origin=s' => \$origin, 'protocol=s' => \$protocol, 'cases=s' => \$cases, 'timeout=i' => \$timeout) or exit 2;
my $url = shift or die "URL\n";
my %v = ('hixie-75' => 'draft-hixie-75', 'hybi-00' => 'draft-ietf-hybi-00', 'hybi-08' => 'draft-ietf-hybi-10', 'rfc6455' => 'draft-ietf-hybi-17');
my $version = $v{$draft} or die "draft?\n";
my $old = $draft eq 'hixie-75' || $draft eq 'hybi-00';
use Protocol::WebSocket;
my $label = 'Protocol::WebSocket-' . Protocol::WebSocket->VERSION;
sub fail { my $m = join ' ', split ' ', shift; print "FAIL $label $draft $m\n"; exit 1 }
$SIG{ALRM} = sub { fail("timed out") }; alarm $timeout;

my ($host, $port) = $url =~ m{^ws://([^:/]+)(?::(\d+))?} or fail("url");
my $s = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port || 80, Proto => 'tcp') or fail("connect: $!");
setsockopt $s, IPPROTO_TCP, TCP_NODELAY, 1; binmode $s;
sub out { my $d = shift; utf8::encode($d) if utf8::is_utf8($d); my $o = 0;
  while ($o < length $d) { my $n = syswrite $s, $d, length($d) - $o, $o; fail("write: $!") unless defined $n; $o += $n } }

my $hs = Protocol::WebSocket::Handshake::Client->new(url => $url, version => $version);
$hs->req->origin($origin) if $origin;
$hs->req->subprotocol($protocol) if defined $protocol;
# the library does not check Sec-WebSocket-Accept, so choose the key here and check it below
my $key = encode_base64(join('', map { chr int rand 256 } 1 .. 16), '');
$hs->req->key($key) unless $old;
out($hs->to_string);
my ($in, $raw) = ('', '');
until ($hs->is_done) {
  sysread($s, my $b, 65536) or fail("closed during the handshake");
  $in .= $b; $raw .= $b;
  $hs->parse($in) or fail("handshake: " . $hs->error);     # parse() eats what it used
}
unless ($old) {
  my ($accept) = $raw =~ /\r\nSec-WebSocket-Accept: *(\S+)\r\n/i;
  my $want = encode_base64(sha1($key . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'), '');
  fail("Sec-WebSocket-Accept is " . ($accept // 'missing') . ", want $want") if ($accept // '') ne $want;
}
my $frame = $hs->build_frame(max_payload_size => 0, max_fragments_amount => 1000);
$frame->append($in);
sub next_frame { my $what = shift;
  while (1) { my $d = $frame->next_bytes; return $d if defined $d;
    sysread($s, my $b, 65536) or fail("$what: connection closed"); $frame->append($b) } }
my @names = ('text', 'binary'); my $n = 0;
sub send_one { my ($type, $data) = @_;
  out(Protocol::WebSocket::Frame->new(buffer => $data, type => $type, masked => !$old, version => $version, max_payload_size => 0)->to_bytes) }
open my $fh, '<', $cases or fail("cases: $!");
while (<$fh>) { chomp; next if /^#/ or /^\s*$/;
  my ($name, $kind, $unit, $rep) = split /\t/;
  next if $old && $kind ne 'text';
  my $data = ($unit eq '-' ? '' : pack 'H*', $unit) x $rep;
  send_one($kind, $data);
  my $got = next_frame($name);
  my $op = $kind eq 'text' ? 1 : $kind eq 'binary' ? 2 : 10;
  fail("$name: opcode " . $frame->opcode . ", want $op") if !$old && $frame->opcode != $op;
  fail("$name: echo differs: " . length($got) . " bytes, want " . length($data)) if $got ne $data;
  $n++ }
my $note;
if ($draft eq 'hixie-75') { close $s; $note = 'no closing handshake in hixie-75' }
else {
  send_one('close', $old ? '' : pack('n', 1000) . 'bye');
  my $got = next_frame('close');
  fail("close: opcode " . $frame->opcode) if $frame->opcode != 8;
  if ($old) { $note = 'FF 00 answered' }
  else { my $code = length $got >= 2 ? unpack 'n', $got : 'none'; fail("close: code back is $code") if $code ne '1000'; $note = "close code back $code" }
  my $rest = sysread $s, my $b, 10; fail("bytes after close") if $rest;
}
print "PASS $label $draft $n cases ($note" . (defined $protocol ? ", subprotocol " . ($hs->res->subprotocol // 'none') : '') . ")\n";
