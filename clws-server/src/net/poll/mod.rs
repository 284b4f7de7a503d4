//! Edge-triggered readiness of many sockets: the system call in which a shard sleeps.
//!
//! Linux has an implementation on `rustix`, where a wait is one system call. The `polling` crate
//! needs five: it sets a timer, re-arms it, waits, reads its event descriptor and re-arms that. The
//! other systems use `polling`. Both implementations have the same API and pass the same tests.

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
    pub(crate) use crate::net::poll::epoll::{Events, KNOWS_HANGUP, Poller, Waker};
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) use crate::net::poll::portable::{Events, KNOWS_HANGUP, Poller, Waker};
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use crate::net::poll::readiness::Readiness;

    /// Tests the contract for one implementation.
    macro_rules! contract {
        ($name:ident, $module:ident) => {
            mod $name {
                use super::*;
                use crate::net::poll::{$module::Events, $module::Poller};

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
                    wait(&poller, NOW); // the socket is writable from the start
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
                fn reports_that_the_peer_is_gone() {
                    let poller = Poller::new().unwrap();
                    let (ours, theirs) = UnixStream::pair().unwrap();
                    poller.add(&ours, 1).unwrap();
                    wait(&poller, NOW);
                    drop(theirs);
                    let last = wait(&poller, SOON)[0];
                    assert!(last.hangup && last.readable);
                    poller.closing(&ours);
                }

                #[test]
                fn reports_a_shared_listener_to_the_poller_that_waits() {
                    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                    let address = listener.local_addr().unwrap();
                    let pollers = [Poller::new().unwrap(), Poller::for_listeners().unwrap()];
                    for poller in &pollers {
                        poller.add_listener(&listener, 3).unwrap();
                    }
                    for sleeper in &pollers {
                        let client = std::thread::spawn(move || {
                            std::thread::sleep(Duration::from_millis(20)); // most likely the poller sleeps by then
                            std::net::TcpStream::connect(address)
                        });
                        assert_eq!(keys(sleeper, SOON), [(3, true)]);
                        client.join().unwrap().unwrap();
                    }
                    for poller in &pollers {
                        poller.remove_listener(&listener);
                    }
                }

                #[test]
                fn accepts_timeouts_of_any_length() {
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
    contract!(epoll_keeps_the_contract, epoll);
    contract!(portable_keeps_the_contract, portable);
}
