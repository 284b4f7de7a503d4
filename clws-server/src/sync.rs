//! The locks, atomics, thread-locals and wakers that threads meet at: those of the standard library and of `futures`.
//!
//! Tests that are built with `--cfg shuttle` get those of the crate `shuttle`, which decides at each of them which thread
//! goes on. So the models (`models/`) run the real code in many interleavings. Nothing else differs.
//!
//! Import from the standard library what no other thread looks at, and numbers that only have to be unique.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic},
    thread_local,
};

#[cfg(not(all(test, shuttle)))]
pub(crate) use futures::task::AtomicWaker;

#[cfg(all(test, shuttle))]
pub(crate) use crate::sync::{modelled::AtomicWaker, modelled::Bell};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{
    sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic},
    thread_local,
};

/// Does something wrong where a model asks for that fault, to show that the model would notice. It is not there at all in
/// ordinary builds.
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

    /// That of `futures`, each call of which is one step: another thread may run before it, and none within it.
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

    /// What wakes a poller: a wait ends if it rang since the wait before.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Bell(Arc<(Mutex<bool>, Condvar)>);

    impl Bell {
        pub(crate) fn ring(&self) {
            let (rang, changed) = &*self.0;
            *rang.lock().unwrap() = true;
            changed.notify_all();
        }

        /// Waits until it rings.
        pub(crate) fn wait(&self) {
            let (rang, changed) = &*self.0;
            let mut rang = rang.lock().unwrap();
            while !*rang {
                rang = changed.wait(rang).unwrap();
            }
            *rang = false;
        }

        /// CloseOnDrop a wait that does not wait.
        pub(crate) fn clear(&self) {
            *self.0.0.lock().unwrap() = false;
        }
    }
}
