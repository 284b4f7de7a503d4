//! Chat rooms with authentication. The handshake waits while the server decides whether a user may
//! enter a room.
//!
//! It shows a prefix as a resource, [`Accept::later`] (another task answers, here after asking a
//! simulated user database), a subprotocol, application data in each client, and [`Topics`].
//!
//! Run `cargo run --release -p clws-examples --bin rooms_auth`, and in each of two terminals:
//!
//! ```text
//! cargo run --release -p clws-examples --bin client -- \
//!     ws://127.0.0.1:12345/rooms/lobby --subprotocol rooms.v1 --cookie session=anna-1
//! ```
//!
//! The sessions are `anna-1`, which may enter every room, and `ben-2`, which may enter only
//! `lobby`. A program without cookies can send `Authorization: Bearer anna-1`. Invalid requests get
//! 400, 401 or 403.

use std::time::Duration;

use async_std::task;
use clap::Parser;
use clws_server::{
    Accept, Client, Close, Config, Disconnect, Opening, Origins, Reject, Resource, Server, SharedMessage,
    Text, Topics,
};

const PREFIX: &str = "/rooms/";
const SUBPROTOCOL: &str = "rooms.v1";

/// A user from the database, attached to the client.
#[derive(Clone)]
struct User {
    name: &'static str,
    /// The allowed rooms; `None` means every room.
    rooms: Option<&'static [&'static str]>,
}

/// Looks up a session in the database. The lookup is slow, so no handler may wait for it.
async fn user_of(session: &str) -> Option<User> {
    task::sleep(Duration::from_millis(50)).await;
    match session {
        "anna-1" => Some(User { name: "anna", rooms: None }),
        "ben-2" => Some(User { name: "ben", rooms: Some(&["lobby"]) }),
        _ => None,
    }
}

/// Checks whether the owner of this session may enter the room.
async fn authorize(session: &str, room: &str) -> Result<User, Reject> {
    let user = user_of(session).await.ok_or_else(|| unauthorized("this session is unknown or expired"))?;
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
    fn announce(&self, client: &Client, text: &str) {
        if let (Some(room), Some(user)) = (room(client.resource_name()), client.data::<User>()) {
            let message = SharedMessage::text(format!("{}{text}", user.name));
            let delivery = self.topics.publish(room, &message);
            for (slow, error) in delivery.failed {
                println!("{} misses a message: {error}", slow.peer());
            }
        }
    }
}

/// The room in a path.
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

        // The handshake waits for the decision, without blocking this thread.
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
        self.announce(client, " is here");
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        self.announce(client, &format!(": {text}"));
    }

    fn disconnected(&self, client: &Client, _: &Disconnect) {
        self.announce(client, " has left"); // the client itself has left all topics already
    }
}

/// Chat rooms that require a session
#[derive(Parser)]
struct Flags {
    /// Address to listen on; port 0 selects a free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:12345")]
    listen: String,
}

fn main() -> std::process::ExitCode {
    clws_examples::exit_code("rooms_auth", async_std::task::block_on(run()))
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    clws_examples::return_freed_memory();
    let flags = Flags::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let server = Server::bind(Config::default().listen(flags.listen).protocol_76_00_support(true))?;
    // A browser sends cookies for whatever page connects, so only our own pages may connect. A
    // client without an origin is not a browser.
    let origins = Origins::prefix(["http://localhost", "http://127.0.0.1"]).or_absent(true);
    server.resources().register_prefix(PREFIX, origins, Rooms::default())?;
    clws_examples::drain_on_signal(server.handle())?;
    clws_examples::announce(&server.local_addrs()?);
    clws_examples::say_report(&server.run().await?);
    Ok(())
}
