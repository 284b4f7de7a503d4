//! The names, units and descriptions of all metrics.

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(super) const CONNECTIONS: &str = "clws_connections";
pub(super) const CLIENTS: &str = "clws_clients";
pub(super) const QUEUED: &str = "clws_queued_bytes";
pub(super) const BUFFERED: &str = "clws_buffered_bytes";
pub(super) const BUFFERED_LIMIT: &str = "clws_buffered_limit_bytes";

pub(super) const HANDSHAKES: &str = "clws_handshakes_total";
pub(super) const CLOSES: &str = "clws_closes_total";
pub(super) const RECEIVED_MESSAGES: &str = "clws_received_messages_total";
pub(super) const RECEIVED_BYTES: &str = "clws_received_bytes_total";
pub(super) const SENT_MESSAGES: &str = "clws_sent_messages_total";
pub(super) const SENT_BYTES: &str = "clws_sent_bytes_total";
pub(super) const UNDELIVERED: &str = "clws_undelivered_messages_total";
pub(super) const DROPPED: &str = "clws_dropped_messages_total";
pub(super) const DISCARDED: &str = "clws_discarded_bytes_total";

pub(super) const HANDLER: &str = "clws_handler_seconds";
pub(super) const TURN: &str = "clws_turn_seconds";
pub(super) const RTT: &str = "clws_rtt_seconds";

/// Describes all metrics to the recorder.
pub(super) fn describe() {
    describe_gauge!(CONNECTIONS, Unit::Count, "Connections in any state, without those that get 503.");
    describe_gauge!(CLIENTS, Unit::Count, "Connected clients by registered resource and version.");
    describe_gauge!(QUEUED, Unit::Bytes, "Memory that is queued for clients.");
    describe_gauge!(BUFFERED, Unit::Bytes, "Memory that is held for all clients.");
    describe_gauge!(BUFFERED_LIMIT, Unit::Bytes, "The limit on the memory that is held for all clients.");
    describe_counter!(HANDSHAKES, Unit::Count, "Opening handshakes by outcome and HTTP status.");
    describe_counter!(CLOSES, Unit::Count, "Ended connections of clients by close code and cause.");
    describe_counter!(RECEIVED_MESSAGES, Unit::Count, "Data messages that were delivered to resources.");
    describe_counter!(RECEIVED_BYTES, Unit::Bytes, "Bytes that were read from clients.");
    describe_counter!(SENT_MESSAGES, Unit::Count, "Data messages that were queued for clients.");
    describe_counter!(SENT_BYTES, Unit::Bytes, "Bytes that were written to clients.");
    describe_counter!(UNDELIVERED, Unit::Count, "Data messages that were read and not delivered.");
    describe_counter!(DROPPED, Unit::Count, "Messages to clients that were refused or dropped, by reason.");
    describe_counter!(DISCARDED, Unit::Bytes, "Queued bytes that were not written before the end.");
    describe_histogram!(HANDLER, Unit::Seconds, "The time to handle a message, for a sample of messages.");
    describe_histogram!(TURN, Unit::Seconds, "The time of an event loop turn of a shard.");
    describe_histogram!(RTT, Unit::Seconds, "The time between a ping of the keepalive and its answer.");
}
