//! The state of the chat: members and rooms.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use clws_examples::pace::{Excess, Pace};
use clws_server::{ByteString, Client, Close, CloseCode, Disconnect, Group, ResourceListener, SharedMessage};

use crate::event::{self, Event};

/// The maximum length of a message and of a name in characters.
const LONGEST_MESSAGE: usize = 2000;
const LONGEST_NAME: usize = 24;

/// The maximum number of names in an answer.
const LISTED: usize = 100;

/// The maximum age of the list of rooms if it is incomplete.
const LIST_AGE: Duration = Duration::from_secs(1);

struct Member {
    name: String,
    room: String,
    pace: Pace,
}

/// The members of a room. Names are sorted, so that the first ones are found without a full scan.
#[derive(Default)]
struct Room {
    group: Group,
    names: BTreeSet<String>,
}

impl Room {
    /// Sends an event to all members, encoded once. The server closes members whose queue is full.
    fn broadcast(&self, event: &Event<'_>) {
        let _ = self.group.send_text(event.json());
    }

    /// Broadcasts an arrival or departure. Big rooms omit them, as they would dominate the traffic.
    fn notify(&self, event: &Event<'_>) {
        if self.names.len() <= LISTED {
            self.broadcast(event);
        }
    }
}

/// The encoded list of rooms.
struct List {
    message: SharedMessage,
    made_at: Instant,
}

/// The whole state. A listener handles one event at a time, so it needs no lock.
#[derive(Default)]
pub(crate) struct Chat {
    members: HashMap<Client, Member>,
    /// The names of all members in lower case, so that `ada` and `Ada` exclude each other.
    names: HashSet<String>,
    rooms: BTreeMap<String, Room>,
    /// The answer to `/rooms`.
    room_list: Option<List>,
    /// Whether a room has changed since `room_list` was made.
    has_changed: bool,
    /// The last number that was appended to a taken name.
    last_number: u64,
}

impl ResourceListener for Chat {
    type Message = ();

    fn connected(&mut self, client: &Client) -> Result<(), Close> {
        let query = client.query_string().unwrap_or_default().as_bytes();
        let parameter =
            |key| form_urlencoded::parse(query).find_map(|(k, value)| (k == key).then_some(value));
        let wish =
            parameter("name").and_then(|name| parse_name(&name).ok()).unwrap_or_else(|| "guest".to_owned());
        let room =
            parameter("room").and_then(|room| parse_room(&room).ok()).unwrap_or_else(|| "lobby".to_owned());
        let mut name = wish.clone();
        // Small numbers may be in use. Later numbers are unique, so many guests need no search.
        let mut small = 2..10;
        while !self.names.insert(name.to_lowercase()) {
            let number = small.next().unwrap_or_else(|| {
                self.last_number += 1;
                9 + self.last_number
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
            Err(Excess::First) => {
                let text = "you write too fast: messages are dropped until you pause";
                return Event::Error { text }.send(client);
            }
            Err(Excess::Dropped) => return,
            Err(Excess::Closed) => {
                client.close((CloseCode::POLICY, "you write too fast"));
                return;
            }
        }
        if let Err(error) = self.handle_line(client, text.trim()) {
            Event::Error { text: &error }.send(client);
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
    /// Executes one message of a client. The error is shown to the client.
    fn handle_line(&mut self, client: &Client, line: &str) -> Result<(), String> {
        // The length in bytes is known, so the characters of a huge message are not counted.
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
            "/say" if rest.is_empty() => return Err("there is nothing to say in this message".to_owned()),
            "/say" => place.broadcast(&Event::Said { name, text: rest }),
            "/name" => {
                let to = parse_name(rest)?;
                let (old, new) = (name.to_lowercase(), to.to_lowercase());
                if old != new {
                    if !self.names.insert(new) {
                        return Err(format!("the name {to} is already taken"));
                    }
                    self.names.remove(&old);
                }
                place.names.remove(name);
                place.names.insert(to.clone());
                place.broadcast(&Event::Renamed { name, to: &to });
                *name = to;
            }
            "/room" => {
                let to = parse_room(rest)?;
                if to == *room {
                    self.send_room(client);
                } else {
                    self.leave(client);
                    self.enter(client, to);
                }
            }
            "/who" => self.send_room(client),
            "/rooms" => event::send(client, self.room_list(Instant::now())),
            "/ping" => Event::Pong { text: rest }.send(client),
            _ => {
                let command: String = command.chars().take(LONGEST_NAME).collect();
                return Err(format!(
                    "there is no {command}; commands are /say /name /room /who /rooms /ping"
                ));
            }
        }
        Ok(())
    }

    /// The list of rooms, rebuilt if it is out of date.
    fn room_list(&mut self, now: Instant) -> &SharedMessage {
        let few = self.rooms.len() <= LISTED;
        let is_current =
            |list: &List| !self.has_changed || (!few && now.duration_since(list.made_at) < LIST_AGE);
        let list = self.room_list.take().filter(is_current).unwrap_or_else(|| {
            self.has_changed = false;
            let rooms =
                self.rooms.iter().take(LISTED).map(|(name, room)| (&**name, room.names.len())).collect();
            let more = self.rooms.len().saturating_sub(LISTED);
            List { message: SharedMessage::text(Event::Rooms { rooms, more }.json()), made_at: now }
        });
        &self.room_list.insert(list).message
    }

    /// Notifies the members of the room, then adds the client and sends it the state of the room.
    fn enter(&mut self, client: &Client, room: String) {
        let Some(member) = self.members.get_mut(client) else { return };
        member.room.clone_from(&room);
        let place = self.rooms.entry(room).or_default();
        self.has_changed = true;
        place.names.insert(member.name.clone());
        place.notify(&Event::Joined { name: &member.name });
        place.group.join(client);
        self.send_room(client);
    }

    /// Removes the client and notifies the remaining members. An empty room is deleted.
    fn leave(&mut self, client: &Client) {
        let Some(Member { name, room, .. }) = self.members.get(client) else { return };
        let Some(place) = self.rooms.get_mut(room) else { return };
        self.has_changed = true;
        place.group.leave(client);
        let is_notified = place.names.len() <= LISTED;
        place.names.remove(name);
        if place.names.is_empty() {
            self.rooms.remove(room);
        } else if is_notified {
            place.broadcast(&Event::Left { name });
        }
    }

    fn send_room(&self, client: &Client) {
        let Some(Member { name, room, .. }) = self.members.get(client) else { return };
        let Some(place) = self.rooms.get(room) else { return };
        let here: Vec<_> = place.names.iter().map(|name| &**name).take(LISTED).collect();
        let more = place.names.len().saturating_sub(LISTED);
        Event::Room { room, you: name, here, more }.send(client);
    }
}

/// Checks a name. It must be short and visible: no control, zero-width or bidirectional characters.
fn parse_name(text: &str) -> Result<String, String> {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match name.chars().count() {
        1..=LONGEST_NAME if !name.contains(hidden) => Ok(name),
        _ => Err(format!("a name has 1 to {LONGEST_NAME} characters, all of them visible")),
    }
}

/// Checks and normalizes the name of a room: `Tea time` becomes `tea-time`.
fn parse_room(text: &str) -> Result<String, String> {
    parse_name(text.trim_start_matches('#')).map(|name| name.to_lowercase().replace(' ', "-"))
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

    /// Asks for the list at `now`. Returns when the list in the answer was made.
    fn answer_time(chat: &mut Chat, now: Instant, has_changed: bool) -> Option<Instant> {
        chat.has_changed |= has_changed;
        chat.room_list(now);
        chat.room_list.as_ref().map(|list| list.made_at)
    }

    #[test]
    fn a_list_of_rooms_is_reused() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut few = with_rooms(LISTED);
        assert_eq!(answer_time(&mut few, at(0), false), Some(at(0)));
        assert_eq!(answer_time(&mut few, at(5000), false), Some(at(0)), "nothing has changed");
        assert_eq!(
            answer_time(&mut few, at(5001), true),
            Some(at(5001)),
            "a complete list is always current"
        );
        assert_eq!(answer_time(&mut few, at(5002), false), Some(at(5001)));

        let mut many = with_rooms(LISTED + 1);
        assert_eq!(answer_time(&mut many, at(0), false), Some(at(0)));
        assert_eq!(
            answer_time(&mut many, at(999), true),
            Some(at(0)),
            "an incomplete list is made once a second"
        );
        assert_eq!(answer_time(&mut many, at(1000), false), Some(at(1000)), "the change is not forgotten");
    }

    #[test]
    fn a_list_of_rooms_is_short() {
        let longest = "\u{10ffff}".repeat(LONGEST_NAME - 5);
        let mut chat = Chat { has_changed: true, ..Chat::default() };
        for number in 10_000..30_000 {
            chat.rooms.entry(format!("{longest}{number}")).or_default();
        }
        let length = chat.room_list(Instant::now()).len();
        assert!((LISTED * 80..LISTED * 100).contains(&length), "{length}");
    }
}
