//! The locks, atomics, thread-locals and wakers that threads share, from the standard library and
//! `futures`.
//!
//! In tests with `--cfg shuttle` they come from the crate `shuttle`, which decides at each use
//! which thread runs next. So the models (`models/`) run the real code in many interleavings.
//!
//! Data that no other thread reads, and numbers that only have to be unique, may use the standard
//! library.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic},
    thread_local,
};

#[cfg(not(all(test, shuttle)))]
pub(crate) use futures::task::AtomicWaker;

#[cfg(all(test, shuttle))]
pub(crate) use self::modelled::{AtomicWaker, Bell};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{
    sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic},
    thread_local,
};

/// Runs faulty code if a model asks for that fault, to show that the model detects it. Ordinary
/// builds do not contain the code.
macro_rules! broken {
    ($fault:ident, $wrong:expr) => {
        #[cfg(all(test, shuttle))]
        if $crate::models::is_broken($crate::models::Fault::$fault) {
            $wrong;
        }
    };
}

pub(crate) use broken;

#[cfg(test)]
#[cfg(shuttle)]
mod modelled {
    use std::task::Waker;

    use shuttle::sync::atomic::{AtomicBool, Ordering};
    use shuttle::sync::{Arc, Condvar, Mutex};

    /// The waker of `futures`. Each call is one step: another thread may run before it, and none
    /// within it.
    #[derive(Debug, Default)]
    pub(crate) struct AtomicWaker {
        waker: futures::task::AtomicWaker,
        step: AtomicBool,
    }

    impl AtomicWaker {
        pub(crate) fn register(&self, waker: &Waker) {
            self.step.load(Ordering::SeqCst);
            self.waker.register(waker);
        }

        pub(crate) fn take(&self) -> Option<Waker> {
            self.step.load(Ordering::SeqCst);
            self.waker.take()
        }
    }

    /// Wakes a poller. A wait ends if the bell was rung after the previous wait.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Bell(Arc<(Mutex<bool>, Condvar)>);

    impl Bell {
        pub(crate) fn ring(&self) {
            let (rang, changed) = &*self.0;
            *rang.lock().unwrap() = true;
            changed.notify_all();
        }

        pub(crate) fn wait(&self) {
            let (rang, changed) = &*self.0;
            let mut rang = rang.lock().unwrap();
            while !*rang {
                rang = changed.wait(rang).unwrap();
            }
            *rang = false;
        }

        /// Forgets an earlier ring, for a wait with a timeout of zero.
        pub(crate) fn clear(&self) {
            *self.0.0.lock().unwrap() = false;
        }
    }
}
