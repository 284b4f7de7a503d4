//! The cost of an idle connection: a receiver and a sender, and no buffer.

use clws_proto::{Event, Limits, Receiver, Role, Sender, Version};

#[test]
fn an_idle_connection_is_small() {
    println!(
        "Receiver {}, Sender {}, Event {}",
        size_of::<Receiver>(),
        size_of::<Sender>(),
        size_of::<Event<'_>>()
    );
    if size_of::<usize>() == 8 {
        assert!(size_of::<Receiver>() <= 32, "{}", size_of::<Receiver>());
        assert!(size_of::<Sender>() <= 24, "{}", size_of::<Sender>());
    }
    for version in Version::ALL {
        assert_eq!(Receiver::new(version, Role::Server, Limits::default()).held(), 0);
        assert!(Sender::server(version).take_buffer().is_none());
    }
}

#[test]
fn receivers_and_senders_can_move_between_threads() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Receiver>();
    send::<Sender>();
    sync::<Receiver>();
}
