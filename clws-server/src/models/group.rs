//! Clients that join a group when they may be gone.

use futures::StreamExt;
use shuttle::future::block_on;
use shuttle::thread;

use crate::client::group::Group;
use crate::config::Config;
use crate::handler::mailbox::event::Event;
use crate::handler::mailbox::mailbox;
use crate::models::harness::{Driver, Harness, Then};
use crate::models::{Fault, Model};

/// A client that is gone is in no group, whenever it joined.
fn nobody_stays_in_a_group() {
    let (sender, mut events) = mailbox::<()>();
    let harness = Harness::serve(Driver::Shard, Config::default(), sender, &[], Then::CloseOnDrop);
    let group = Group::new();
    let mut joins = None;
    block_on(async {
        loop {
            match events.next().await.unwrap() {
                Event::Connected(client) => {
                    let group = group.clone();
                    joins = Some(thread::spawn(move || group.join(&client)));
                }
                Event::Disconnected(..) => {
                    // Not even for the moment in which another thread still adds it.
                    assert!(group.is_empty(), "members that are gone");
                    break;
                }
                _ => {}
            }
        }
    });
    joins.unwrap().join().unwrap();
    assert_eq!((group.len(), harness.shared.context.memberships.len()), (0, 0), "members that are gone");
    harness.end();
}

const MODEL: Model = Model("a client that joins and goes", nobody_stays_in_a_group);

#[test]
fn holds() {
    MODEL.holds(1000);
}

#[test]
fn fails_when_a_client_does_not_look() {
    MODEL.fails(Fault::JoinsWithoutLook, "members that are gone");
}
