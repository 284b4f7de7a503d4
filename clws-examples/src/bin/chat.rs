//! A chat with rooms: one listener, one group for each room, and a page that the same port serves.
//!
//! `cargo run --release -p clws-examples --bin chat`, then open the address that it prints, in two windows. Plain
//! clients do as well, draft 0's too with `--hixie` and hixie-75's with `--hixie-75`: `python3 -m websockets "ws://127.0.0.1:12345/?name=Ada&room=tea"`.
//!
//! # What goes over the wire
//!
//! A client writes text, each message one of these. `name` and `room` in the query say who comes and whereto; without
//! them one is a guest, in the lobby.
//!
//! | message | does |
//! |---|---|
//! | `hello everybody` | says it in the room |
//! | `/say /etc is a folder` | says it, whatever it begins with |
//! | `/name Ada` | takes that name, if nobody has it |
//! | `/room tea` | goes to that room; there is one as long as somebody is in it |
//! | `/who` | asks who is here |
//! | `/rooms` | asks which rooms there are: those with the first 100 names |
//! | `/ping 17` | asks for that text back, to measure the time |
//!
//! The server writes JSON, an object each message:
//!
//! ```json
//! {"type":"room","room":"tea","you":"Ada","here":["Ada","Grace"]}
//! {"type":"rooms","rooms":{"lobby":1,"tea":2}}
//! {"type":"joined","name":"Grace"}
//! {"type":"left","name":"Grace"}
//! {"type":"renamed","name":"guest-1","to":"Grace"}
//! {"type":"said","name":"Grace","text":"hello everybody"}
//! {"type":"pong","text":"17"}
//! {"type":"error","text":"somebody is called Ada already"}
//! ```
//!
//! # What a client can cause
//!
//! No short message has a long answer: `here` and `rooms` list at most 100 names, and `"more":7` says how many they leave
//! out. In a room with more people than that nobody is told of those who come and go.
//!
//! A client has 60 messages at once and 10 more each second. Those beyond it are dropped, of which the client is told. One
//! that goes on for 100 of them is closed with 1008.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use clap::Parser;
use clws_examples::pace::{Excess, Pace};
use clws_server::{
    Accept, ByteString, Client, Close, CloseCode, Config, Disconnect, Group, HttpRequest, HttpResponse,
    Listen, Opening, Origins, Payload, Reject, Resource, ResourceListener, SendError, Server, SharedMessage,
    Text,
};
use serde::Serialize;

/// Characters of a message, and of a name.
const LONGEST_MESSAGE: usize = 2000;
const LONGEST_NAME: usize = 24;

/// Names that a message lists at most.
const LISTED: usize = 100;

/// How old the list of rooms may be, where there are more of them than it lists.
const LIST_AGE: Duration = Duration::from_secs(1);

/// What a client is told.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Event<'a> {
    Room {
        room: &'a str,
        you: &'a str,
        here: Vec<&'a str>,
        #[serde(skip_serializing_if = "is_zero")]
        more: usize,
    },
    Rooms {
        rooms: BTreeMap<&'a str, usize>,
        #[serde(skip_serializing_if = "is_zero")]
        more: usize,
    },
    Joined {
        name: &'a str,
    },
    Left {
        name: &'a str,
    },
    Renamed {
        name: &'a str,
        to: &'a str,
    },
    Said {
        name: &'a str,
        text: &'a str,
    },
    Pong {
        text: &'a str,
    },
    Error {
        text: &'a str,
    },
}

impl Event<'_> {
    fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // strings and numbers: nothing in it can fail
    }

    fn tell(&self, client: &Client) {
        tell(client, &SharedMessage::text(self.json()));
    }

    /// Encodes it once for all of the room. The server closes a member that has no room for it, so there is nothing to do
    /// about those in the report.
    fn tell_all(&self, room: &Room) {
        let _ = room.group.send_text(self.json());
    }

    /// The same for those who come and go. In a big room, most of what is said would be that.
    fn tell_all_of_few(&self, room: &Room) {
        if room.names.len() <= LISTED {
            self.tell_all(room);
        }
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Closes a client that reads so little that an answer has no room. One that is gone needs nothing.
fn tell(client: &Client, message: &SharedMessage) {
    if client.send(message) == Err(SendError::Full) {
        client.close((CloseCode::TRY_AGAIN_LATER, "you do not read your messages"));
    }
}

struct Member {
    name: String,
    room: String,
    pace: Pace,
}

/// The people in a room. Their names are in order, so that the first ones are found without looking at all of them.
#[derive(Default)]
struct Room {
    group: Group,
    names: BTreeSet<String>,
}

/// The list of rooms, encoded.
struct List {
    message: SharedMessage,
    made_at: Instant,
}

/// Everything the chat knows. Its events come one after the other, so there is nothing to lock.
#[derive(Default)]
struct Chat {
    members: HashMap<Client, Member>,
    /// The names of all members in lower case: `ada` is not to be mistaken for `Ada`.
    names: HashSet<String>,
    rooms: BTreeMap<String, Room>,
    /// The answer to `/rooms`.
    list: Option<List>,
    /// Whether somebody has come or gone since `list` was made.
    has_changed: bool,
    /// Names that were given to people whose wish was taken.
    numbers: u64,
}

impl ResourceListener for Chat {
    type Message = ();

    fn connected(&mut self, client: &Client) -> Result<(), Close> {
        let query = client.query_string().unwrap_or_default().as_bytes();
        let asked = |key| form_urlencoded::parse(query).find_map(|(k, value)| (k == key).then_some(value));
        let wish = asked("name").and_then(|name| name_of(&name).ok()).unwrap_or_else(|| "guest".to_owned());
        let room = asked("room").and_then(|room| room_of(&room).ok()).unwrap_or_else(|| "lobby".to_owned());
        let mut name = wish.clone();
        // A small number if there is one; then one that nobody was given, or thousands of guests would try thousands of names.
        let mut small = 2..10;
        while !self.names.insert(name.to_lowercase()) {
            let number = small.next().unwrap_or_else(|| {
                self.numbers += 1;
                9 + self.numbers
            });
            name = format!("{wish}-{number}");
        }
        let pace = Pace::new(Instant::now());
        self.members.insert(client.clone(), Member { name, room: String::new(), pace });
        self.enter(client, room);
        Ok(())
    }

    fn text(&mut self, client: &Client, text: ByteString) {
        let Some(member) = self.members.get_mut(client) else { return };
        match member.pace.take(Instant::now()) {
            Ok(()) => {}
            Err(Excess::Told) => {
                let text =
                    "you write too fast: this message is dropped, and so are all until you have paused";
                return Event::Error { text }.tell(client);
            }
            Err(Excess::Dropped) => return,
            Err(Excess::Closed) => {
                client.close((CloseCode::POLICY, "you write too fast"));
                return;
            }
        }
        if let Err(trouble) = self.obey(client, text.trim()) {
            Event::Error { text: &trouble }.tell(client);
        }
    }

    fn disconnected(&mut self, client: &Client, _: &Disconnect) {
        self.leave(client);
        if let Some(member) = self.members.remove(client) {
            self.names.remove(&member.name.to_lowercase());
        }
    }
}

impl Chat {
    /// Does what one message asks for, or tells why not.
    fn obey(&mut self, client: &Client, line: &str) -> Result<(), String> {
        // The length in bytes is known: a message of megabytes is not counted.
        if line.len() > 4 * LONGEST_MESSAGE || line.chars().count() > LONGEST_MESSAGE {
            return Err(format!("a message has at most {LONGEST_MESSAGE} characters"));
        }
        let (command, rest) = match line.split_once(char::is_whitespace).unwrap_or((line, "")) {
            (command, rest) if command.starts_with('/') => (command, rest.trim()),
            _ => ("/say", line),
        };
        let Some(Member { name, room, .. }) = self.members.get_mut(client) else { return Ok(()) };
        let Some(place) = self.rooms.get_mut(room) else { return Ok(()) };
        match command {
            "/say" if rest.is_empty() => return Err("there is nothing to say in that message".to_owned()),
            "/say" => Event::Said { name, text: rest }.tell_all(place),
            "/name" => {
                let to = name_of(rest)?;
                let (old, new) = (name.to_lowercase(), to.to_lowercase());
                if old != new {
                    if !self.names.insert(new) {
                        return Err(format!("somebody is called {to} already"));
                    }
                    self.names.remove(&old);
                }
                place.names.remove(name);
                place.names.insert(to.clone());
                Event::Renamed { name, to: &to }.tell_all(place);
                *name = to;
            }
            "/room" => {
                let to = room_of(rest)?;
                if to == *room {
                    self.tell_where(client);
                } else {
                    self.leave(client);
                    self.enter(client, to);
                }
            }
            "/who" => self.tell_where(client),
            "/rooms" => tell(client, self.list(Instant::now())),
            "/ping" => Event::Pong { text: rest }.tell(client),
            _ => {
                let command: String = command.chars().take(LONGEST_NAME).collect();
                return Err(format!("there is no {command}; there are /say /name /room /who /rooms /ping"));
            }
        }
        Ok(())
    }

    /// The list of rooms, made again if it is out of date.
    fn list(&mut self, now: Instant) -> &SharedMessage {
        let few = self.rooms.len() <= LISTED;
        let is_good =
            |list: &List| !self.has_changed || (!few && now.duration_since(list.made_at) < LIST_AGE);
        let list = self.list.take().filter(is_good).unwrap_or_else(|| {
            self.has_changed = false;
            let rooms =
                self.rooms.iter().take(LISTED).map(|(name, room)| (&**name, room.names.len())).collect();
            let more = self.rooms.len().saturating_sub(LISTED);
            List { message: SharedMessage::text(Event::Rooms { rooms, more }.json()), made_at: now }
        });
        &self.list.insert(list).message
    }

    /// Tells those who are in the room, then lets the client in and tells it where it is.
    fn enter(&mut self, client: &Client, room: String) {
        let Some(member) = self.members.get_mut(client) else { return };
        member.room.clone_from(&room);
        let place = self.rooms.entry(room).or_default();
        self.has_changed = true;
        place.names.insert(member.name.clone());
        Event::Joined { name: &member.name }.tell_all_of_few(place);
        place.group.join(client);
        self.tell_where(client);
    }

    /// Tells those who stay; nobody is left in a room that is empty, and then there is none.
    fn leave(&mut self, client: &Client) {
        let Some(Member { name, room, .. }) = self.members.get(client) else { return };
        let Some(place) = self.rooms.get_mut(room) else { return };
        self.has_changed = true;
        place.group.leave(client);
        let was_told = place.names.len() <= LISTED;
        place.names.remove(name);
        if place.names.is_empty() {
            self.rooms.remove(room);
        } else if was_told {
            Event::Left { name }.tell_all(place);
        }
    }

    fn tell_where(&self, client: &Client) {
        let Some(Member { name, room, .. }) = self.members.get(client) else { return };
        let Some(place) = self.rooms.get(room) else { return };
        let here: Vec<_> = place.names.iter().map(|name| &**name).take(LISTED).collect();
        let more = place.names.len().saturating_sub(LISTED);
        Event::Room { room, you: name, here, more }.tell(client);
    }
}

/// A name is short, and all of it can be seen: no controls, no signs without a width, none that turn the direction.
fn name_of(text: &str) -> Result<String, String> {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match name.chars().count() {
        1..=LONGEST_NAME if !name.contains(hidden) => Ok(name),
        _ => Err(format!("a name has 1 to {LONGEST_NAME} characters that can be seen")),
    }
}

/// The same for a room: `Tea time` is `tea-time`.
fn room_of(text: &str) -> Result<String, String> {
    name_of(text.trim_start_matches('#')).map(|name| name.to_lowercase().replace(' ', "-"))
}

/// Sends each message back, for the page at `/echo.html`.
struct Echo;

impl Resource for Echo {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let offered = opening.subprotocols().any(|name| name == "echo");
        Ok(if offered { Accept::new().subprotocol("echo") } else { Accept::new() })
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send(text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.send(payload);
    }
}

/// What the pages may load: what is served here, and no text of a user's becomes markup or script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// The methods of every page.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// The pages, for requests that ask for no WebSocket.
fn page(request: &HttpRequest<'_>) -> HttpResponse {
    let (content_type, body) = match request.path() {
        "/" => ("text/html; charset=utf-8", include_str!("../../assets/chat.html")),
        "/chat.js" => ("text/javascript; charset=utf-8", include_str!("../../assets/chat.js")),
        "/echo.html" => ("text/html; charset=utf-8", include_str!("../../assets/echo.html")),
        "/echo.js" => ("text/javascript; charset=utf-8", include_str!("../../assets/echo.js")),
        "/style.css" => ("text/css; charset=utf-8", include_str!("../../assets/style.css")),
        "/icon.svg" => ("image/svg+xml", include_str!("../../assets/icon.svg")),
        "*" => ("", ""), // OPTIONS alone has this target
        _ => return HttpResponse::not_found(),
    };
    match request.method() {
        "GET" | "HEAD" => {}
        // What haproxy's checks ask by default.
        "OPTIONS" => {
            return HttpResponse::new(204)
                .with_header("Allow", METHODS)
                .unwrap_or_else(|_| HttpResponse::new(500));
        }
        _ => return HttpResponse::method_not_allowed(METHODS),
    }
    let answer = HttpResponse::new(200).with_body(content_type, body.as_bytes());
    let answer = answer.with_header("Content-Security-Policy", POLICY);
    let answer = answer.and_then(|it| it.with_header("X-Content-Type-Options", "nosniff"));
    answer.unwrap_or_else(|_| HttpResponse::new(500))
}

/// A chat server with its page. Flags override what its configuration file says.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Configuration in TOML; clws.toml beside this example's manifest lists every setting and its default.
    #[arg(long, value_name = "FILE", value_parser = read)]
    config: Option<Config>,
    /// Address to listen on; may be repeated. Port 0 takes a free one. [default: 127.0.0.1:12345]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Speak draft 0 (hixie-76, hybi-00) too.
    #[arg(long)]
    hixie: bool,
    /// Speak hixie-75 too, as Chrome 4 and Safari 5.0.0 do. Its handshake is open to cross-protocol attacks.
    #[arg(long = "hixie-75")]
    hixie_75: bool,
}

fn read(path: &str) -> Result<Config, Box<dyn Error + Send + Sync>> {
    Ok(toml::from_str(&fs::read_to_string(path)?)?)
}

#[async_std::main]
async fn main() -> Result<(), Box<dyn Error>> {
    clws_examples::return_freed_memory();
    let flags = Flags::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let mut config = flags.config.unwrap_or_default();
    if !flags.listen.is_empty() {
        config.listen = flags.listen.into_iter().map(Listen::from).collect();
    }
    config.protocol_76_00_support |= flags.hixie;
    config.protocol_75_support |= flags.hixie_75;
    let server = Server::bind(config)?;
    server.resources().run_resource_listener("/", Origins::any(), Chat::default())?;
    server.resources().register("/echo", Origins::any(), Echo)?;
    server.resources().http(page);
    let handle = server.handle();
    clws_examples::on_stop_signal(move || handle.stop())?;
    for address in server.local_addrs()? {
        match &address {
            Listen::Tcp(address) => println!("listening on ws://{address}/"),
            other => println!("listening on {other}"),
        }
        if let Some(url) = address.url() {
            println!("open {}", url.replacen("ws", "http", 1));
        }
    }
    server.run().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_rooms(count: usize) -> Chat {
        let mut chat = Chat { has_changed: true, ..Chat::default() };
        for number in 0..count {
            chat.rooms.entry(format!("room-{number}")).or_default().names.insert("Ada".to_owned());
        }
        chat
    }

    /// When the list was made that somebody gets who asks at that time, after a change or without one.
    fn asked(chat: &mut Chat, now: Instant, has_changed: bool) -> Option<Instant> {
        chat.has_changed |= has_changed;
        chat.list(now);
        chat.list.as_ref().map(|list| list.made_at)
    }

    #[test]
    fn a_list_of_rooms_is_made_for_many_answers() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut few = with_rooms(LISTED);
        assert_eq!(asked(&mut few, at(0), false), Some(at(0)));
        assert_eq!(asked(&mut few, at(5000), false), Some(at(0)), "nothing has changed");
        assert_eq!(asked(&mut few, at(5001), true), Some(at(5001)), "with few rooms it is up to date");
        assert_eq!(asked(&mut few, at(5002), false), Some(at(5001)));

        let mut many = with_rooms(LISTED + 1);
        assert_eq!(asked(&mut many, at(0), false), Some(at(0)));
        assert_eq!(asked(&mut many, at(999), true), Some(at(0)), "it is made once a second");
        assert_eq!(asked(&mut many, at(1000), false), Some(at(1000)), "the change is not forgotten");
    }

    #[test]
    fn a_list_is_short_however_many_rooms_there_are() {
        let longest = "\u{10ffff}".repeat(LONGEST_NAME - 5);
        let mut chat = Chat { has_changed: true, ..Chat::default() };
        for number in 10_000..30_000 {
            chat.rooms.entry(format!("{longest}{number}")).or_default();
        }
        let length = chat.list(Instant::now()).len();
        assert!((LISTED * 80..LISTED * 100).contains(&length), "{length}");
    }
}
