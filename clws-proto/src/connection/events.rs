//! The events of one read, with the reactions to them.

use crate::connection::end::End;
use crate::message::event::Event;
use crate::message::reaction::Reaction;
use crate::receive;
use crate::send::Sender;

/// The events of one read. Dropping it keeps the events that were not pulled.
#[derive(Debug)]
pub struct Events<'a> {
    events: receive::Events<'a>,
    sender: &'a mut Sender,
    end: &'a mut Option<End>,
}

impl<'a> Events<'a> {
    pub(super) const fn new(
        events: receive::Events<'a>,
        sender: &'a mut Sender,
        end: &'a mut Option<End>,
    ) -> Self {
        Self { events, sender, end }
    }

    /// The next event, with the sender to answer it.
    ///
    /// The required reaction is queued already. A [`Ping`](Event::Ping) is for information only,
    /// and a [`Close`](Event::Close) is the last event. `None` means that all input is processed or
    /// that the connection is closed. [`Connection::end`](crate::Connection::end) reports a
    /// failure.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it lends from itself, which an Iterator cannot")]
    pub fn next(&mut self) -> Option<(Event<'_>, &mut Sender)> {
        match self.events.next() {
            Ok(Some(event)) => {
                match event.reaction() {
                    Reaction::Deliver => {}
                    reaction => {
                        self.sender.react(&reaction);
                        if let Reaction::AnswerClose(frame) = reaction {
                            *self.end = Some(End::closed(frame));
                        }
                    }
                }
                Some((event, self.sender))
            }
            Ok(None) => None,
            Err(error) => {
                self.sender.react(&error.into());
                *self.end = Some(End::failed(error));
                None
            }
        }
    }
}
