//! Rooms behind a login: who may enter which is decided while the handshake waits. It shows a prefix as a resource,
//! [`Accept::later`] (the answer comes from another task, here from a pretended database of users), a subprotocol, data of
//! one's own in each client, and [`Topics`].
//!
//! `cargo run --release -p clws-examples --bin rooms_auth`, then, for each of two terminals,
//! `cargo run --release -p clws-examples --bin client -- ws://127.0.0.1:12345/rooms/lobby --subprotocol rooms.v1 --cookie session=anna-1`
//!
//! Sessions are `anna-1`, who may enter every room, and `ben-2`, who may enter only `lobby`. A program that has no cookies
//! may say `Authorization: Bearer anna-1`. What is wrong is answered with 400, 401 or 403 in place of a connection.

use std::time::Duration;

use async_std::task;
use clap::Parser;
use clws_server::{
    Accept, Client, Close, Config, Disconnect, Opening, Origins, Reject, Resource, Server, SharedMessage,
    Text, Topics,
};

const PREFIX: &str = "/rooms/";
const SUBPROTOCOL: &str = "rooms.v1";

/// What stands in the database, and goes with the client from then on.
#[derive(Clone)]
struct User {
    name: &'static str,
    /// `None`: every room.
    rooms: Option<&'static [&'static str]>,
}

/// The database: it takes its time, so no handler may wait for it.
async fn user_of(session: &str) -> Option<User> {
    task::sleep(Duration::from_millis(50)).await;
    match session {
        "anna-1" => Some(User { name: "anna", rooms: None }),
        "ben-2" => Some(User { name: "ben", rooms: Some(&["lobby"]) }),
        _ => None,
    }
}

/// Whether the holder of this session may enter that room.
async fn authorize(session: &str, room: &str) -> Result<User, Reject> {
    let user = user_of(session).await.ok_or_else(|| unauthorized("this session is unknown or over"))?;
    match user.rooms {
        Some(rooms) if !rooms.contains(&room) => Err(Reject::forbidden("this room is not open to you")),
        _ => Ok(user),
    }
}

fn unauthorized(why: &'static str) -> Reject {
    Reject::unauthorized("Bearer", why)
}

#[derive(Default)]
struct Rooms {
    topics: Topics,
}

impl Rooms {
    fn tell(&self, client: &Client, what: &str) {
        if let (Some(room), Some(user)) = (room(client.resource_name()), client.data::<User>()) {
            let message = SharedMessage::text(format!("{}{what}", user.name));
            let delivery = self.topics.publish(room, &message);
            for (slow, error) in delivery.failed {
                println!("{} misses a message: {error}", slow.peer());
            }
        }
    }
}

/// The room that a path names.
fn room(path: &str) -> Option<&str> {
    let room = path.strip_prefix(PREFIX)?;
    let good = !room.is_empty() && room.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    good.then_some(room)
}

impl Resource for Rooms {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        if !opening.subprotocols().any(|name| name == SUBPROTOCOL) {
            return Err(Reject::bad_request("offer the subprotocol rooms.v1"));
        }
        let room = room(opening.resource_name())
            .ok_or_else(|| Reject::bad_request("a room's name is letters, digits and hyphens"))?
            .to_owned();
        let bearer = || opening.headers().get("Authorization")?.strip_prefix("Bearer ");
        let session = opening
            .cookie("session")
            .or_else(bearer)
            .ok_or_else(|| unauthorized("log in first: there is no cookie `session`"))?
            .to_owned();

        // The handshake waits for the decision; neither this thread nor its other clients do.
        let (accept, decision) = Accept::later();
        task::spawn(async move {
            let user = authorize(&session, &room).await;
            decision.decide(user.map(|user| Accept::new().subprotocol(SUBPROTOCOL).data(user)));
        });
        Ok(accept)
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        let room = room(client.resource_name()).ok_or_else(Close::default)?;
        self.topics.subscribe(room, client);
        self.tell(client, " is here");
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        self.tell(client, &format!(": {text}"));
    }

    fn disconnected(&self, client: &Client, _: &Disconnect) {
        self.tell(client, " has left"); // who has left is in no topic any more
    }
}

/// Rooms that only those with a session enter.
#[derive(Parser)]
struct Flags {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:12345")]
    listen: String,
}

#[async_std::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    clws_examples::return_freed_memory();
    let flags = Flags::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let server = Server::bind(Config::default().listen(flags.listen).protocol_76_00_support(true))?;
    // A browser sends its cookies along whatever page asks it to connect: only our own pages may. Who sends no origin is
    // no browser.
    let origins = Origins::prefix(["http://localhost", "http://127.0.0.1"]).or_absent(true);
    server.resources().register_prefix(PREFIX, origins, Rooms::default())?;
    let handle = server.handle();
    clws_examples::on_stop_signal(move || handle.stop())?;
    for address in server.local_addrs()? {
        println!("listening on ws://{address}/");
    }
    server.run().await?;
    Ok(())
}
