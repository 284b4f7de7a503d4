//! Clients that join a group while they disconnect.

use futures::StreamExt;
use shuttle::future::block_on;
use shuttle::thread;

use crate::client::group::Group;
use crate::config::Config;
use crate::handler::mailbox::event::Event;
use crate::handler::mailbox::mailbox;
use crate::models::harness::{AfterTexts, Driver, Harness};
use crate::models::{Fault, Model};

/// A disconnected client is in no group, whenever it joined.
fn disconnected_clients_leave_their_group() {
    let (sender, mut events) = mailbox::<()>();
    let harness = Harness::serve(Driver::Shard, Config::default(), sender, &[], AfterTexts::End);
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
                    assert!(group.is_empty(), "disconnected members are left");
                    break;
                }
                _ => {}
            }
        }
    });
    joins.unwrap().join().unwrap();
    assert_eq!(
        (group.len(), harness.shared.context.shared.memberships.len()),
        (0, 0),
        "disconnected members are left"
    );
    harness.end();
}

const MODEL: Model = Model("a client that joins and disconnects", disconnected_clients_leave_their_group);

#[test]
fn holds() {
    MODEL.holds(1000);
}

#[test]
fn fails_when_join_does_not_check_for_the_disconnect() {
    MODEL.fails(Fault::JoinsWithoutLook, "disconnected members are left");
}
