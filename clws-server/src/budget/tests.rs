use super::*;

const MIB: usize = 1 << 20;

/// The unused credit of this thread.
fn unused() -> usize {
    CREDIT.with(|credit| credit.bytes.get())
}

/// Runs on a thread of its own, since credit is a thread's.
fn alone<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(test).join().unwrap())
}

#[test]
fn credit_comes_in_steps_and_little_of_it_stays() {
    let budget = Budget::for_threads(1 << 30, 4);
    alone(|| {
        budget.charge_bytes(1);
        assert_eq!((budget.used(), unused()), (MIB, MIB - 1));
        budget.charge_bytes(MIB - 1);
        assert_eq!((budget.used(), unused()), (MIB, 0));
        budget.charge_bytes(5 * MIB + 1);
        assert_eq!((budget.used(), unused()), (7 * MIB, MIB - 1));
        budget.release_bytes(MIB);
        assert_eq!((budget.used(), unused()), (7 * MIB, 2 * MIB - 1));
        budget.release_bytes(2);
        assert_eq!((budget.used(), unused()), (6 * MIB - 1, MIB), "one step stays");
        budget.release_bytes(5 * MIB - 1);
        assert_eq!((budget.used(), unused()), (MIB, MIB));
        budget.give_back();
        assert_eq!((budget.used(), unused()), (0, 0));
        budget.charge_bytes(10);
        budget.release_bytes(10);
        assert_eq!(budget.used(), MIB);
    });
    assert_eq!(budget.used(), 0, "a thread that ends gives its credit back");
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
        alone(|| {
            budget.charge_bytes(1);
            assert_eq!(budget.used(), step, "{limit} for {threads}");
        });
    }
    assert_eq!(Budget::new(0).limit(), MIB);
}

#[test]
fn the_marks() {
    let budget = Budget::new(100 * MIB);
    alone(|| {
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
fn what_one_thread_charges_another_releases() {
    let budget = Budget::for_threads(1 << 30, 4);
    alone(|| budget.charge_bytes(100 * MIB));
    assert_eq!(budget.used(), 100 * MIB);
    alone(|| budget.release_bytes(60 * MIB));
    assert_eq!(budget.used(), 40 * MIB);
    alone(|| budget.release_bytes(40 * MIB));
    assert_eq!(budget.used(), 0);
}

#[test]
fn many_threads_lose_nothing() {
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
        threads.into_iter().for_each(|thread| thread.join().unwrap()); // with their credit's destructors
    });
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_thread_has_credit_with_one_budget_and_changes_when_that_is_gone() {
    let (one, other) = (Budget::for_threads(1 << 30, 4), Budget::for_threads(1 << 30, 4));
    alone(|| {
        one.charge_bytes(10);
        other.charge_bytes(10);
        assert_eq!((one.used(), other.used()), (MIB, 10), "without credit to the byte");
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

/// A destructor of the thread's own data may hold a client.
#[test]
fn a_thread_that_ends_can_still_charge_and_release() {
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
        // Both orders, for it is not defined in which they are dropped.
        let work = || {
            BEFORE.with(|holder| *holder.0.borrow_mut() = Some(Arc::clone(&budget)));
            budget.charge_bytes(4 * MIB);
            AFTER.with(|holder| *holder.0.borrow_mut() = Some(Arc::clone(&budget)));
        };
        // The scope does not wait for destructors of the thread's own data, `join` does.
        scope.spawn(work).join().unwrap();
    });
    assert_eq!(budget.used(), 0);
}

#[test]
fn pages_are_what_is_charged() {
    let budget = Budget::for_threads(1 << 30, 4);
    alone(|| {
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
