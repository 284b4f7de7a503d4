# ruby_websocket.rb ws[s]://HOST:PORT/PATH DRAFT
# Debian's ruby-websocket against an echo server, with hixie-75, hybi-00, hybi-07, hybi-08 or rfc6455.
# With wss, SSL_CERT_FILE names the authorities.
require 'openssl'
require 'socket'
require 'uri'
require 'websocket'

url, draft = ARGV
version = { 'hixie-75' => 75, 'hybi-00' => 0, 'hybi-07' => 7, 'hybi-08' => 8, 'rfc6455' => 13 }.fetch(draft)
old = [75, 0].include?(version)
WebSocket.max_frame_size = 1 << 21

uri = URI.parse(url)
socket = TCPSocket.new(uri.host, uri.port)
if uri.scheme == 'wss'
  context = OpenSSL::SSL::SSLContext.new
  context.set_params # verifies the certificate
  socket = OpenSSL::SSL::SSLSocket.new(socket, context)
  socket.sync_close = true
  socket.connect
  socket.post_connection_check(uri.host)
end
handshake = WebSocket::Handshake::Client.new(url: url, origin: 'http://client.example', version: version)
socket.write(handshake.to_s)
# The library judges an answer of hybi-00 at the end of the head, so it gets the digest in the same piece.
got = ''.b
digest = version.zero? ? 16 : 0
until (head = got.index("\r\n\r\n")) && (got.bytesize >= head + 4 + digest || got !~ %r{\AHTTP/1.1 101})
  got << socket.readpartial(65536)
end
handshake << got
# The library does not check the location, which has the scheme of the connection.
abort "the location is not #{url}" if old && got !~ /\r\n(Sec-)?WebSocket-Location: *#{Regexp.escape(url)}\r\n/i
abort "handshake: #{handshake.error.inspect}: #{got.lines.first}" unless handshake.finished? && handshake.valid?

# The leftovers of hybi-00 are the digest.
rest = version.zero? ? '' : handshake.leftovers.to_s
incoming = WebSocket::Frame::Incoming::Client.new(version: handshake.version, data: rest.b)
next_frame = lambda do |name|
  loop do
    frame = incoming.next
    abort "#{name}: #{incoming.error}" if incoming.error?
    return frame if frame
    incoming << socket.readpartial(65536)
  end
end
send_frame = lambda do |type, data, code = nil|
  frame = WebSocket::Frame::Outgoing::Client.new(version: handshake.version, type: type, data: data, code: code)
  socket.write(frame.to_s || abort("#{type}: #{frame.error}"))
end

File.foreach(File.join(__dir__, 'cases.tsv')) do |line|
  name, kind, unit, times = line.chomp.split("\t")
  next if line.start_with?('#') || (old && kind != 'text')
  data = (unit == '-' ? '' : [unit].pack('H*')) * times.to_i
  send_frame.call(kind.to_sym, kind == 'text' ? data.dup.force_encoding('UTF-8') : data.b)
  frame = next_frame.call(name)
  abort "#{name}: #{frame.type}" unless frame.type == (kind == 'ping' ? :pong : kind.to_sym)
  echo = frame.data.to_s.b
  abort "#{name}: #{echo.bytesize} bytes differ from #{data.bytesize}" unless echo == data.b
end
exit if version == 75 # it has no closing handshake
old ? send_frame.call(:close, '') : send_frame.call(:close, 'bye', 1000)
frame = next_frame.call('close')
abort "close: #{frame.type} #{frame.code}" unless frame.type == :close && (old || frame.code == 1000)
abort 'bytes after the close' unless socket.read.empty?
