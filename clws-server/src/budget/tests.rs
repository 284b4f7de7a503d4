//! Tests of the memory budget.

use super::*;

const MIB: usize = 1 << 20;

/// The unused credit of this thread.
fn unused() -> usize {
    CREDIT.with(|credit| credit.bytes.get())
}

/// Runs `test` on a new thread, because credit belongs to a thread.
fn on_new_thread<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(test).join().unwrap())
}

#[test]
fn takes_credit_in_steps_and_keeps_one_step() {
    let budget = Budget::for_threads(1 << 30, 4);
    on_new_thread(|| {
        budget.charge_bytes(1);
        assert_eq!((budget.used(), unused()), (MIB, MIB - 1));
        budget.charge_bytes(MIB - 1);
        assert_eq!((budget.used(), unused()), (MIB, 0));
        budget.charge_bytes(5 * MIB + 1);
        assert_eq!((budget.used(), unused()), (7 * MIB, MIB - 1));
        budget.release_bytes(MIB);
        assert_eq!((budget.used(), unused()), (7 * MIB, 2 * MIB - 1));
        budget.release_bytes(2);
        assert_eq!((budget.used(), unused()), (6 * MIB - 1, MIB), "one step of credit stays");
        budget.release_bytes(5 * MIB - 1);
        assert_eq!((budget.used(), unused()), (MIB, MIB));
        budget.give_back();
        assert_eq!((budget.used(), unused()), (0, 0));
        budget.charge_bytes(10);
        budget.release_bytes(10);
        assert_eq!(budget.used(), MIB);
    });
    assert_eq!(budget.used(), 0, "an ended thread has returned its credit");
}

#[test]
fn a_small_limit_has_small_steps() {
    let steps = [
        (0, 1, 64 << 10),
        (64 * MIB, 4, 256 << 10),
        (64 * MIB, 8, 128 << 10),
        (64 * MIB, 1000, 64 << 10),
        (256 * MIB, 2, MIB),
        (usize::MAX, 1000, MIB),
    ];
    for (limit, threads, step) in steps {
        let budget = Budget::for_threads(limit, threads);
        on_new_thread(|| {
            budget.charge_bytes(1);
            assert_eq!(budget.used(), step, "{limit} for {threads}");
        });
    }
    assert_eq!(Budget::new(0).limit(), MIB);
}

#[test]
fn reports_pressed_over_and_exhausted() {
    let budget = Budget::new(100 * MIB);
    on_new_thread(|| {
        let marks = |budget: &Budget| (budget.is_pressed(), budget.is_over(), budget.is_exhausted());
        for (used, expected) in [
            (75, (false, false, false)),
            (76, (true, false, false)),
            (100, (true, false, false)),
            (101, (true, true, false)),
            (125, (true, true, false)),
            (126, (true, true, true)),
        ] {
            budget.charge_bytes(used * MIB);
            budget.give_back();
            assert_eq!(marks(&budget), expected, "{used}");
            budget.release_bytes(used * MIB);
            budget.give_back();
        }
    });
    assert!(!Budget::new(usize::MAX).is_exhausted());
}

#[test]
fn a_thread_may_release_bytes_that_another_thread_charged() {
    let budget = Budget::for_threads(1 << 30, 4);
    on_new_thread(|| budget.charge_bytes(100 * MIB));
    assert_eq!(budget.used(), 100 * MIB);
    on_new_thread(|| budget.release_bytes(60 * MIB));
    assert_eq!(budget.used(), 40 * MIB);
    on_new_thread(|| budget.release_bytes(40 * MIB));
    assert_eq!(budget.used(), 0);
}

#[test]
fn concurrent_charges_and_releases_cancel_out() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 20_000;
    let budget = Budget::for_threads(1 << 30, 4);
    let (send, receive) = std::sync::mpsc::channel::<usize>();
    thread::scope(|scope| {
        let mut threads: Vec<_> = (0..THREADS)
            .map(|seed| {
                let (budget, send) = (&budget, send.clone());
                scope.spawn(move || {
                    let mut random = seed + 1;
                    for _ in 0..ROUNDS {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let bytes = (random >> 40) % (3 * MIB);
                        budget.charge_bytes(bytes);
                        if bytes.is_multiple_of(2) {
                            budget.release_bytes(bytes);
                        } else {
                            send.send(bytes).unwrap();
                        }
                    }
                })
            })
            .collect();
        drop(send);
        let budget = &budget;
        threads.push(scope.spawn(move || receive.iter().for_each(|bytes| budget.release_bytes(bytes))));
        threads.into_iter().for_each(|thread| thread.join().unwrap()); // also runs the destructors of their credit
    });
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_thread_has_credit_with_one_budget_until_it_is_dropped() {
    let (one, other) = (Budget::for_threads(1 << 30, 4), Budget::for_threads(1 << 30, 4));
    on_new_thread(|| {
        one.charge_bytes(10);
        other.charge_bytes(10);
        assert_eq!((one.used(), other.used()), (MIB, 10), "charged exactly, without credit");
        other.release_bytes(4);
        other.give_back();
        assert_eq!((one.used(), other.used(), unused()), (MIB, 6, MIB - 10));
        drop(one);
        other.charge_bytes(10);
        assert_eq!((other.used(), unused()), (6 + MIB, MIB - 10));
        other.release_bytes(16);
    });
    assert_eq!(other.used(), 0);
}

/// Thread-local data may hold a client, and its destructor may drop it.
#[test]
fn destructors_of_an_ending_thread_can_charge_and_release() {
    struct Holder(RefCell<Option<Arc<Budget>>>);

    impl Drop for Holder {
        fn drop(&mut self) {
            let budget = self.0.get_mut().take().unwrap();
            budget.charge_bytes(3 * MIB);
            budget.release_bytes(5 * MIB);
            budget.give_back();
        }
    }

    thread_local! {
        static BEFORE: Holder = const { Holder(RefCell::new(None)) };
        static AFTER: Holder = const { Holder(RefCell::new(None)) };
    }

    let budget = Budget::for_threads(1 << 30, 4);
    thread::scope(|scope| {
        // Covers both orders, because the order of these destructors is not defined.
        let work = || {
            BEFORE.with(|holder| *holder.0.borrow_mut() = Some(Arc::clone(&budget)));
            budget.charge_bytes(4 * MIB);
            AFTER.with(|holder| *holder.0.borrow_mut() = Some(Arc::clone(&budget)));
        };
        // The scope does not wait for destructors of thread-local data. `join` does.
        scope.spawn(work).join().unwrap();
    });
    assert_eq!(budget.used(), 0);
}

#[test]
fn charges_whole_pages() {
    let budget = Budget::for_threads(1 << 30, 4);
    on_new_thread(|| {
        let mut charged = Charged::default();
        charged.update(4095, &budget);
        assert_eq!(budget.used(), 0);
        charged.update(4096, &budget);
        charged.update(8191, &budget);
        assert_eq!(budget.used() - unused(), 4096);
        charged.update(10 * MIB, &budget);
        assert_eq!(budget.used() - unused(), 10 * MIB);
        charged.clear(&budget);
        assert_eq!(budget.used(), unused());
    });
    let pairs = [(0, 4095, false), (4095, 4096, true), (9000, 8192, false), (9000, 0, true)];
    for (before, after, expected) in pairs {
        assert_eq!(is_another_page(before, after), expected);
    }
}
