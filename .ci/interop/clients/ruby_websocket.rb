# Debian's ruby-websocket 1.2.9: hixie-75, hixie-76, hybi-00 .. hybi-13 (client handshake and frames).
require 'websocket'
require 'socket'
require 'optparse'
require 'timeout'
require 'uri'

draft, origin, protocol, cases = 'hybi-00', 'http://client.example', nil, File.join(__dir__, 'cases.tsv')
OptionParser.new do |o|
  o.on('--draft D') { |v| draft = v }
  o.on('--origin O') { |v| origin = v }
  o.on('--protocol P') { |v| protocol = v }
  o.on('--cases F') { |v| cases = v }
end.parse!
url = ARGV[0]
# hybi-08 = wire version 8 (drafts 08..12); the library takes the number as the wire version too
VERSION = { 'hixie-75' => 75, 'hixie-76' => 76, 'hybi-00' => 0, 'hybi-07' => 7, 'hybi-08' => 8, 'rfc6455' => 13 }.fetch(draft)
OLD = [75, 76, 0].include?(VERSION)
LABEL = "ruby-websocket-#{Gem.loaded_specs['websocket']&.version || Gem::Specification.find_by_name('websocket').version} #{draft}"
WebSocket.max_frame_size = 1 << 20
class Fail < StandardError; end

begin
  Timeout.timeout(50) do
    u = URI.parse(url)
    s = TCPSocket.new(u.host, u.port || 80)
    s.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
    hs = WebSocket::Handshake::Client.new(url: url, origin: origin, version: VERSION, protocols: [protocol].compact)
    s.write(hs.to_s)
    # the library judges a hixie-76 answer as soon as the header block is there, so it must
    # be handed the 16-byte digest in the same piece
    got = ''.b
    until (i = got.index("\r\n\r\n")) && (got.bytesize >= i + 4 + (OLD && VERSION != 75 ? 16 : 0) || got !~ %r{\AHTTP/1.1 101})
      got << s.readpartial(65536)
    end
    hs << got
    raise Fail, "handshake: #{hs.error.inspect}: #{got.lines.first}" unless hs.finished?
    raise Fail, "handshake not valid: #{hs.error.inspect}" unless hs.valid?
    # for hixie-76 the library keeps the 16-byte answer in leftovers
    left = hs.leftovers.to_s
    left = '' if OLD && VERSION != 75
    inc = WebSocket::Frame::Incoming::Client.new(version: hs.version, data: left.b)
    nextf = lambda do |what|
      loop do
        f = inc.next
        raise Fail, "#{what}: frame error #{inc.error}" if inc.error?
        return f if f
        begin
          inc << s.readpartial(65536)
        rescue EOFError
          raise Fail, "#{what}: connection closed"
        end
      end
    end
    send1 = lambda do |type, data, code = nil|
      f = WebSocket::Frame::Outgoing::Client.new(version: hs.version, type: type, data: data, code: code)
      raw = f.to_s
      raise Fail, "outgoing #{type}: #{f.error}" if raw.nil? || f.error?
      s.write(raw)
    end
    n = 0
    File.foreach(cases) do |line|
      next if line.start_with?('#') || line.strip.empty?
      name, kind, unit, rep = line.chomp.split("\t")
      next if OLD && kind != 'text'
      data = (unit == '-' ? '' : [unit].pack('H*')) * rep.to_i
      send1.call(kind.to_sym, kind == 'text' ? data.dup.force_encoding('UTF-8') : data.b)
      f = begin; nextf.call(name); end
      want = kind == 'ping' ? :pong : kind.to_sym
      raise Fail, "#{name}: got #{f.type}, want #{want}" unless f.type == want
      got = f.data.to_s.b
      raise Fail, "#{name}: echo differs: #{got.bytesize} bytes, want #{data.bytesize}" unless got == data.b
      n += 1
    end
    note = 'no closing handshake in hixie-75'
    if VERSION != 75
      OLD ? send1.call(:close, '') : send1.call(:close, 'bye', 1000)
      f = nextf.call('close')
      raise Fail, "close: got #{f.type}" unless f.type == :close
      raise Fail, "close: code back is #{f.code.inspect}" if !OLD && f.code != 1000
      note = OLD ? 'FF 00 answered' : "close code back #{f.code}"
      rest = s.read
      raise Fail, "bytes after close #{rest.inspect}" unless rest.nil? || rest.empty?
    end
    puts "PASS #{LABEL} #{n} cases (#{note})"
  end
rescue StandardError, Timeout::Error => e
  warn e.backtrace.first(5) if ENV['OLDCLIENTS_TRACE']
  puts "FAIL #{LABEL} #{e.class}: #{e.message.split.join(' ')}"
  exit 1
end
