//! What a server has done so far: counters, and the snapshot that sums them.
//!
//! Each shard has a set of [counters](counters::Counters) that only its own thread changes, with a
//! plain load and a plain store. So counting touches no memory that another processor writes. All
//! other threads share one set, which they change with atomic additions.
//!
//! Nothing is decided by a statistic, so its atomics are those of the standard library and not of
//! [`sync`](crate::sync): the models need no interleavings of them.

pub(crate) mod counter;
pub(crate) mod counters;
pub(crate) mod histogram;
pub(crate) mod kinds;
pub(crate) mod per_resource;
pub(crate) mod snapshot;
