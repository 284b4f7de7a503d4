//! Readiness of many sockets, edge-triggered: the one system call that a shard sleeps in.
//!
//! Linux has its own few lines on `rustix`, because there one wait is one system call; the `polling` crate sets a
//! timer, re-arms it, waits, reads its event descriptor and re-arms that, five calls in all. The other systems use
//! `polling`. Both have the same small API and pass the same tests.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
mod portable;
pub(crate) mod readiness;

#[cfg(not(all(test, unix)))]
pub(crate) use self::system::{Events, Poller, Waker};
#[cfg(all(test, unix))]
pub(crate) use crate::sim::poller::{Events, Poller, Waker};

/// The poller of this system.
pub(crate) mod system {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) use crate::net::poll::epoll::{Events, Poller, Waker};
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) use crate::net::poll::portable::{Events, Poller, Waker};
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use crate::net::poll::readiness::Readiness;

    /// The contract, for each implementation.
    macro_rules! contract {
        ($name:ident, $module:ident) => {
            mod $name {
                use super::*;
                use crate::net::poll::$module::{Events, Poller};

                const SOON: Option<Duration> = Some(Duration::from_secs(10));
                const NOW: Option<Duration> = Some(Duration::ZERO);

                fn wait(poller: &Poller, timeout: Option<Duration>) -> Vec<Readiness> {
                    let mut events = Events::new();
                    poller.wait(&mut events, timeout).unwrap();
                    (0..events.len()).filter_map(|i| events.get(i)).collect()
                }

                fn keys(poller: &Poller, timeout: Option<Duration>) -> Vec<(usize, bool)> {
                    wait(poller, timeout).into_iter().map(|r| (r.key, r.readable)).collect()
                }

                #[test]
                fn reports_an_edge_once() {
                    let poller = Poller::new().unwrap();
                    let (ours, mut theirs) = UnixStream::pair().unwrap();
                    ours.set_nonblocking(true).unwrap();
                    poller.add(&ours, 7).unwrap();
                    wait(&poller, NOW); // writable from the start
                    theirs.write_all(b"x").unwrap();
                    assert_eq!(keys(&poller, SOON), [(7, true)]);
                    assert_eq!(keys(&poller, NOW), [], "no second report without a second edge");
                    theirs.write_all(b"y").unwrap();
                    assert_eq!(keys(&poller, SOON), [(7, true)]);
                    assert_eq!((&ours).read(&mut [0; 8]).unwrap(), 2);
                    theirs.write_all(b"z").unwrap();
                    poller.closing(&ours);
                    drop(ours);
                    assert_eq!(keys(&poller, NOW), []);
                }

                #[test]
                fn tells_when_the_peer_is_gone() {
                    let poller = Poller::new().unwrap();
                    let (ours, theirs) = UnixStream::pair().unwrap();
                    poller.add(&ours, 1).unwrap();
                    wait(&poller, NOW);
                    drop(theirs);
                    let last = wait(&poller, SOON)[0];
                    assert!(last.hangup && last.readable);
                    poller.closing(&ours);
                }

                /// Whichever of them sleeps, and however long the other one's thread is busy.
                #[test]
                fn reports_a_listener_that_several_have() {
                    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                    let address = listener.local_addr().unwrap();
                    let pollers = [Poller::new().unwrap(), Poller::new().unwrap()];
                    for poller in &pollers {
                        poller.add_listener(&listener, 3).unwrap();
                    }
                    for sleeper in &pollers {
                        let client = std::thread::spawn(move || {
                            std::thread::sleep(Duration::from_millis(20)); // the poller sleeps by then, or sees it at once
                            std::net::TcpStream::connect(address)
                        });
                        assert_eq!(keys(sleeper, SOON), [(3, true)]);
                        client.join().unwrap().unwrap();
                    }
                    for poller in &pollers {
                        poller.closing(&listener);
                    }
                }

                #[test]
                fn waits_for_as_long_as_anybody_asks() {
                    let poller = Poller::new().unwrap();
                    poller.waker().wake();
                    wait(&poller, Some(Duration::MAX));
                    poller.waker().wake();
                    wait(&poller, Some(Duration::from_secs(30 * 24 * 60 * 60)));
                }

                #[test]
                fn is_woken_from_another_thread_each_time() {
                    let poller = Poller::new().unwrap();
                    let waker = poller.waker();
                    for _ in 0..3 {
                        let waker = waker.clone();
                        let thread = std::thread::spawn(move || waker.wake());
                        wait(&poller, None);
                        thread.join().unwrap();
                    }
                }
            }
        };
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    contract!(epoll_keeps_it, epoll);
    contract!(portable_keeps_it, portable);
}
