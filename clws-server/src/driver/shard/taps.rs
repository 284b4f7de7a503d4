//! The recordings of a shard's connections. Without the feature `capture` there are none.

use std::io::IoSlice;

use crate::driver::shard::flags::Flags;

#[cfg(feature = "capture")]
use {crate::capture::recording::Side, crate::capture::tap::Tap, std::collections::HashMap};

/// The recordings, by the slots of their connections.
#[derive(Debug, Default)]
pub(super) struct Taps {
    #[cfg(feature = "capture")]
    taps: HashMap<u32, Tap>,
}

/// The recording of one slot. There is one if the flag [`Flags::CAPTURED`] is set.
#[cfg_attr(not(feature = "capture"), expect(dead_code, reason = "nothing is recorded"))]
pub(super) struct SlotTap<'a> {
    taps: &'a mut Taps,
    slot: u32,
}

impl Taps {
    #[inline]
    pub(super) const fn of(&mut self, slot: u32) -> SlotTap<'_> {
        SlotTap { taps: self, slot }
    }

    /// Forgets a slot whose connection is dropped.
    #[inline]
    pub(super) fn remove(&mut self, slot: u32, flags: Flags) {
        #[cfg(feature = "capture")]
        if flags.has(Flags::CAPTURED) {
            self.taps.remove(&slot);
        }
        #[cfg(not(feature = "capture"))]
        let _ = (slot, flags);
    }
}

impl SlotTap<'_> {
    /// Records bytes that were read.
    #[inline]
    pub(super) fn read(&mut self, flags: Flags, bytes: &[u8]) {
        #[cfg(feature = "capture")]
        self.with(flags, |tap| if bytes.is_empty() { tap.end(Side::Client) } else { tap.read(bytes) });
        #[cfg(not(feature = "capture"))]
        let _ = (flags, bytes);
    }

    /// Records bytes that were read, if there are any.
    #[cfg(feature = "__tls")]
    pub(super) fn read_some(&mut self, flags: Flags, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.read(flags, bytes);
        }
    }

    /// Records the first `count` bytes of slices, which were written.
    #[inline]
    pub(super) fn written(&mut self, flags: Flags, slices: &[IoSlice<'_>], count: usize) {
        #[cfg(feature = "capture")]
        self.with(flags, |tap| tap.written(slices, count));
        #[cfg(not(feature = "capture"))]
        let _ = (flags, slices, count);
    }

    /// Records that reading has failed.
    pub(super) fn reset(&mut self, flags: Flags) {
        #[cfg(feature = "capture")]
        self.with(flags, Tap::reset);
        #[cfg(not(feature = "capture"))]
        let _ = flags;
    }

    /// Records that our side has ended.
    pub(super) fn end(&mut self, flags: Flags) {
        #[cfg(feature = "capture")]
        self.with(flags, |tap| tap.end(Side::Server));
        #[cfg(not(feature = "capture"))]
        let _ = flags;
    }

    /// Begins a recording, unless there is one.
    #[cfg(feature = "capture")]
    pub(super) fn attach(&mut self, flags: &mut Flags, begin: impl FnOnce() -> Option<Tap>) {
        if !flags.has(Flags::CAPTURED)
            && let Some(tap) = begin()
        {
            flags.set(Flags::CAPTURED, true);
            self.taps.taps.insert(self.slot, tap);
        }
    }

    #[cfg(feature = "capture")]
    #[inline]
    fn with(&mut self, flags: Flags, call: impl FnOnce(&mut Tap)) {
        if flags.has(Flags::CAPTURED) {
            self.cold(call);
        }
    }

    #[cfg(feature = "capture")]
    #[cold]
    fn cold(&mut self, call: impl FnOnce(&mut Tap)) {
        if let Some(tap) = self.taps.taps.get_mut(&self.slot) {
            call(tap);
        }
    }
}
