use clws_proto::Version;

use crate::extensions::{self, Extension};
use crate::headers::Headers;
use crate::headers::Single;
use crate::http::HttpRequest;
use crate::limits::{HandshakeLimits, Status};
use crate::reject::Reject;
use crate::request_head::RequestHead;
use crate::scan::HeadScanner;
use crate::{hixie, hixie_75, token, version_rules};

/// A valid opening handshake of any draft, borrowed from the bytes it came in.
///
/// What is left to decide is the application's: whether it has such a resource, likes the
/// [`origin`](Self::origin), and which of the [`subprotocols`](Self::subprotocols) it takes. Then
/// [`accept`](Self::accept) writes the answer, or a [`Reject`] refuses.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub(crate) http: HttpRequest<'a>,
    pub(crate) version: Version,
    pub(crate) proof: ChallengeResponse<'a>,
    pub(crate) origin: Option<&'a str>,
    pub(crate) consumed: usize,
}

/// What the answer must prove to have read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChallengeResponse<'a> {
    /// The key of drafts 7, 8 and 13.
    Key(&'a str),
    /// Draft 0's digest, already made.
    Digest([u8; 16]),
    /// hixie-75 has no challenge.
    Nothing,
}

/// Reads an opening handshake from everything received so far: [`HeadScanner`], [`HttpRequest::parse`] and
/// [`HttpRequest::upgrade`] in one, for those who have the bytes at once.
///
/// It starts from the first byte each time; while a head is still arriving, a [`HeadScanner`] is what keeps
/// its cost linear.
///
/// ```
/// use clws_handshake::{parse, HandshakeLimits, Status, Version};
///
/// let bytes = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///     Sec-WebSocket-Version: 13\r\n\r\n";
/// let Status::Complete(request) = parse(bytes, &HandshakeLimits::default())? else { panic!("it is all there") };
/// assert_eq!((request.version(), request.path()), (Version::Rfc6455, "/chat"));
/// # Ok::<(), clws_handshake::Reject>(())
/// ```
///
/// # Errors
/// The answer to send instead, for anything that is not a valid handshake.
pub fn parse<'a>(received: &'a [u8], caps: &HandshakeLimits) -> Result<Status<Request<'a>>, Reject> {
    match HeadScanner::new().scan(received, caps)? {
        Status::Partial => Ok(Status::Partial),
        Status::Complete(head) => {
            let (head, body) = received.split_at_checked(head).unwrap_or((received, &[]));
            HttpRequest::parse(head, caps)?.upgrade(body, caps)
        }
    }
}

impl<'a> HttpRequest<'a> {
    /// Reads the request as an opening handshake. `body` is what has come behind the head so far; draft 0
    /// keeps 8 bytes there, and `Partial` says that they are not all here yet. For the other drafts those
    /// bytes are the connection's first frames, and stay untouched.
    ///
    /// # Errors
    /// 405 for a method other than GET; 426 for a request that does not ask for WebSocket, and for a version
    /// that is not spoken (draft 0 without [`HandshakeLimits::hixie`] among them); 400 for a handshake in HTTP/1.0, for one that
    /// breaks its draft's rules, and for one of hixie-75 without [`HandshakeLimits::hixie_75`].
    pub fn upgrade(self, body: &'a [u8], caps: &HandshakeLimits) -> Result<Status<Request<'a>>, Reject> {
        let headers = self.headers();
        let asks = headers.list_has("Upgrade", "websocket");
        // RFC 6455 §4.2.1: "An HTTP/1.1 or higher GET request". A HEAD that asks for a page hears what a GET would hear.
        if self.method() != "GET" && (asks || self.method() != "HEAD") {
            return Err(Reject::method_not_allowed());
        }
        if !asks {
            return Err(Reject::upgrade_required());
        }
        // RFC 9110 §7.8 has a server ignore Upgrade in HTTP/1.0, so nothing can be opened. Most of these come through a
        // proxy that speaks 1.0 by default, and an error that says so is of more use than the page of that path.
        if self.minor_version() == 0 {
            return Err(Reject::bad_request(
                "a WebSocket handshake is HTTP/1.1 or higher, and this request is HTTP/1.0",
            ));
        }
        // RFC 6455 §4.2.1: "A |Connection| header field that includes the token "Upgrade", treated as an
        // ASCII case-insensitive value."
        if !headers.list_has("Connection", "upgrade") {
            return Err(Reject::bad_request("the Connection header does not list Upgrade"));
        }
        let version = version(headers, caps)?;
        if version == Version::Hybi00 && !caps.hixie {
            return Err(Reject::unsupported_version());
        }
        let origin = origin(headers, version)?;
        if version == Version::Hybi00 {
            return self.upgrade_hixie(body, origin);
        }
        check_no_body(headers)?;
        if version == Version::Hixie75 {
            return hixie_75::read(self, origin).map(Status::Complete);
        }
        let key = required(headers, "Sec-WebSocket-Key")?;
        if !version_rules::is_key(version, key) {
            return Err(Reject::bad_request("the Sec-WebSocket-Key is not base64 of 16 bytes"));
        }
        check_subprotocols(headers)?;
        check_extensions(headers)?;
        Ok(Status::Complete(Request {
            http: self,
            version,
            proof: ChallengeResponse::Key(key),
            origin,
            consumed: self.head_len(),
        }))
    }

    fn upgrade_hixie(self, body: &[u8], origin: Option<&'a str>) -> Result<Status<Request<'a>>, Reject> {
        let headers = self.headers();
        // hixie-76 has no Content-Length, but some of its clients announce the 8 bytes.
        match headers.single("Content-Length") {
            Single::Missing | Single::One("8") => {}
            _ => {
                return Err(Reject::bad_request(
                    "draft 0 has a body of 8 bytes, Content-Length says otherwise",
                ));
            }
        }
        if headers.get_bytes("Transfer-Encoding").is_some() {
            return Err(Reject::bad_request("a WebSocket handshake has no Transfer-Encoding"));
        }
        // hixie-76 §4.1 has every client send its origin, and §5.2 the server give it back: there is nothing
        // to answer to a client that sent none.
        if origin.is_none() {
            return Err(Reject::bad_request("draft 0 requires an Origin"));
        }
        match headers.single("Sec-WebSocket-Protocol") {
            Single::Missing => {}
            // hixie-76 §4.1: one name, of characters in the range U+0020 to U+007E.
            Single::One(name) if !name.is_empty() && name.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
            }
            _ => return Err(Reject::bad_request("the Sec-WebSocket-Protocol header is malformed")),
        }
        let key1 = required(headers, "Sec-WebSocket-Key1")?;
        let key2 = required(headers, "Sec-WebSocket-Key2")?;
        let Some(body) = body.first_chunk::<{ hixie::BODY }>() else {
            // What is wrong with the keys is known before the body comes.
            hixie::answer(key1, key2, &[0; hixie::BODY])?;
            return Ok(Status::Partial);
        };
        let digest = hixie::answer(key1, key2, body)?;
        Ok(Status::Complete(Request {
            http: self,
            version: Version::Hybi00,
            proof: ChallengeResponse::Digest(digest),
            origin,
            consumed: self.head_len() + hixie::BODY,
        }))
    }
}

impl<'a> Request<'a> {
    /// The version that the connection will speak.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The path, beginning with `/`, its percent-encoding untouched.
    #[must_use]
    pub const fn path(&self) -> &'a str {
        self.http.path()
    }

    /// What follows the `?` of the target, if there is one.
    #[must_use]
    pub const fn query(&self) -> Option<&'a str> {
        self.http.query()
    }

    /// The host that was asked for, with its port if there is one; never empty.
    #[must_use]
    pub const fn host(&self) -> &'a str {
        self.http.host()
    }

    /// The origin of the page that connects: the `Origin` header in drafts 0 and 13, in 7 and 8
    /// `Sec-WebSocket-Origin` and, for want of that, `Origin`. Clients other than browsers may send none.
    #[must_use]
    pub const fn origin(&self) -> Option<&'a str> {
        self.origin
    }

    /// The header lines.
    #[must_use]
    pub const fn headers(&self) -> Headers<'a> {
        self.http.headers()
    }

    /// The subprotocols that the client offers, in its order of preference. Draft 0 and hixie-75 offer at most
    /// one, and take the header's whole value as its name.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        subprotocols(self.headers(), self.version)
    }

    /// The extensions that the client offers, in its order of preference; none in draft 0 and hixie-75. The only one
    /// that an answer written here can take up is permessage-deflate, with the feature `deflate` and where the
    /// [`Acceptance`](crate::Acceptance) says so.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'a>> + use<'a> {
        let headers = if self.version.is_hixie() { Headers::default() } else { self.headers() };
        headers.get_all("Sec-WebSocket-Extensions").flat_map(extensions::members).flatten()
    }

    /// How many of the received bytes are the handshake: the head, and draft 0's 8 bytes. What follows are
    /// frames.
    #[must_use]
    pub const fn consumed(&self) -> usize {
        self.consumed
    }

    /// The HTTP request below the handshake.
    #[must_use]
    pub const fn http(&self) -> &HttpRequest<'a> {
        &self.http
    }

    /// A compact owned copy to keep while the connection lives. Without `keep_headers` only path, query and
    /// host are in it, which for most connections is a few dozen bytes.
    #[must_use]
    pub fn to_head(&self, keep_headers: bool) -> RequestHead {
        RequestHead::new(self, if keep_headers { usize::MAX } else { 0 })
    }

    /// A copy like that of [`to_head`](Self::to_head) whose headers have at most `limit` bytes: for each line its name, its
    /// value, and two more.
    ///
    /// All lines of one name are kept, or none. The header of the origin comes first, then each name in the order in which
    /// the names came, if its lines fit into what is left. So a long cookie does not displace the headers behind it.
    /// [`RequestHead::is_truncated`] says whether something was left out.
    #[must_use]
    pub fn to_head_within(&self, limit: usize) -> RequestHead {
        RequestHead::new(self, limit)
    }
}

/// The version that the client announces, spoken here. Draft 0 announces none but has its two keys; hixie-75, where it is
/// spoken, is what has neither.
fn version(headers: Headers<'_>, caps: &HandshakeLimits) -> Result<Version, Reject> {
    match headers.single("Sec-WebSocket-Version") {
        // RFC 6455 §4.2.2: "If this version does not match a version understood by the server, the server
        // MUST abort the WebSocket handshake described in this section and instead send an appropriate HTTP
        // error code (such as 426 Upgrade Required) and a |Sec-WebSocket-Version| header field"
        Single::One(number) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            version_rules::named(number).ok_or_else(Reject::unsupported_version)
        }
        Single::One(_) | Single::NotText => {
            Err(Reject::bad_request("the Sec-WebSocket-Version is not a number"))
        }
        // RFC 6455 §11.3.5: "The |Sec-WebSocket-Version| header field MUST NOT appear more than once in an
        // HTTP request."
        Single::Repeated => Err(Reject::bad_request("the Sec-WebSocket-Version header is there twice")),
        Single::Missing
            if headers.get_bytes("Sec-WebSocket-Key1").is_some()
                || headers.get_bytes("Sec-WebSocket-Key2").is_some() =>
        {
            Ok(Version::Hybi00)
        }
        Single::Missing if caps.hixie_75 && hixie_75::may_be_meant(headers) => Ok(Version::Hixie75),
        // RFC 6455 §4.2.1: to a handshake that does not match its description, "including but not limited to
        // any violations of the ABNF grammar", the server must "return an HTTP response with an appropriate
        // error code (such as 400 Bad Request)". Without version and keys this matches no draft's.
        Single::Missing => Err(Reject::bad_request("the Sec-WebSocket-Version header is missing")),
    }
}

/// The origin, from the header that the draft has for it.
fn origin(headers: Headers<'_>, version: Version) -> Result<Option<&str>, Reject> {
    // hybi-07 and -08 name the header Sec-WebSocket-Origin; hybi-11 and -12, which also announce version 8,
    // and RFC 6455 call it Origin again. ws 0.4 sends both to 7 and 8, and means the first.
    let name = origin_header(headers, version);
    match headers.single(name) {
        Single::Missing => Ok(None),
        Single::One(origin) => Ok(Some(origin)),
        Single::NotText => Err(Reject::bad_request("the origin is not text")),
        // RFC 6454 §7.3: "the user agent MUST NOT include more than one Origin header field in any HTTP
        // request."
        Single::Repeated => Err(Reject::bad_request("the origin is there twice")),
    }
}

/// The name of the header that holds the origin.
pub(crate) fn origin_header(headers: Headers<'_>, version: Version) -> &'static str {
    let own = version_rules::origin_header(version);
    if headers.get_bytes(own).is_some() { own } else { "Origin" }
}

/// The value of a header that must come exactly once.
fn required<'a>(headers: Headers<'a>, name: &str) -> Result<&'a str, Reject> {
    match headers.single(name) {
        Single::One(value) => Ok(value),
        Single::NotText => Err(Reject::bad_request(format!("the {name} header is not text"))),
        Single::Missing => Err(Reject::bad_request(format!("the {name} header is missing"))),
        // RFC 6455 §11.3.1: "The |Sec-WebSocket-Key| header field MUST NOT appear more than once in an HTTP
        // request."
        Single::Repeated => Err(Reject::bad_request(format!("the {name} header is there twice"))),
    }
}

/// Refuses a request body: the bytes behind the head are frames.
fn check_no_body(headers: Headers<'_>) -> Result<(), Reject> {
    let has_length = headers.all_bytes("Content-Length").any(|length| length != b"0");
    if has_length || headers.get_bytes("Transfer-Encoding").is_some() {
        return Err(Reject::bad_request("a WebSocket handshake has no body"));
    }
    Ok(())
}

/// The subprotocols in these headers, as that version writes them.
pub(crate) fn subprotocols<'a>(
    headers: Headers<'a>,
    version: Version,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let name = version_rules::subprotocol_header(version);
    let (whole, list) =
        if version.is_hixie() { (headers.get(name), Headers::default()) } else { (None, headers) };
    whole.into_iter().chain(list.list(name))
}

/// Checks the list of subprotocols in time that is not quadratic in its length.
fn check_subprotocols(headers: Headers<'_>) -> Result<(), Reject> {
    if headers.get_bytes("Sec-WebSocket-Protocol").is_none() {
        return Ok(());
    }
    // RFC 6455 §4.1: "The elements that comprise this value MUST be non-empty strings with characters in the
    // range U+0021 to U+007E not including separator characters as defined in [RFC2616] and MUST all be
    // unique strings."
    //
    // Members that are empty, and a list of no others, are ignored (RFC 9110 §5.6.1.2): nothing is offered then.
    let mut names: Vec<_> = headers.list("Sec-WebSocket-Protocol").collect();
    let all_text = headers.all_bytes("Sec-WebSocket-Protocol").all(|value| value.is_ascii());
    if !all_text || !names.iter().copied().all(token::is_token) {
        return Err(Reject::bad_request("the Sec-WebSocket-Protocol header is malformed"));
    }
    names.sort_unstable();
    if names.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(Reject::bad_request("a subprotocol is offered twice"));
    }
    Ok(())
}

/// Checks the grammar of the offered extensions.
fn check_extensions(headers: Headers<'_>) -> Result<(), Reject> {
    // RFC 6455 §9.1: "If a value is received by either the client or the server during negotiation that does
    // not conform to the ABNF below, the recipient of such malformed data MUST immediately _Fail the
    // WebSocket Connection_."
    let good = headers.all_bytes("Sec-WebSocket-Extensions").all(|value| {
        let Ok(value) = str::from_utf8(value) else { return false };
        // The list needs a member by that ABNF, but there are clients that send an empty one (python's websockets, told
        // to have no extensions), and RFC 9110 §5.6.1.2 asks to "parse and ignore" empty members.
        extensions::members(value).all(|member| member.is_some())
    });
    if good { Ok(()) } else { Err(Reject::bad_request("the Sec-WebSocket-Extensions header is malformed")) }
}
