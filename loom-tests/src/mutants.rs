//! Where to break the library, and which model has to find it.

/// One defect: in `file` of stripe-lock's sources, `from` becomes `to`, and the model `model` of the test file `test` has to
/// fail with the words `finds`.
///
/// # Examples
///
/// ```
/// let sort = loom_tests::MUTANTS.iter().find(|mutant| mutant.name == "the sort is taken out").unwrap();
/// assert_eq!(sort.file, "stripe_set.rs");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// What is wrong with it.
    pub name: &'static str,
    /// The source file that is changed.
    pub file: &'static str,
    /// The text that is replaced; it stands there exactly once.
    pub from: &'static str,
    /// The text that takes its place.
    pub to: &'static str,
    /// The test file of the model.
    pub test: &'static str,
    /// The model that finds it.
    pub model: &'static str,
    /// Words that the failing model prints.
    pub finds: &'static str,
}

const DEADLOCK: &str = "deadlock; threads";
const RACE: &str = "Causality violation";

/// All of them.
///
/// # Examples
///
/// ```
/// assert!(loom_tests::MUTANTS.len() >= 6);
/// ```
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "the sort is taken out",
        file: "stripe_set.rs",
        from: "while at > 0 && sorted[at - 1] > stripe {",
        to: "while at > usize::MAX - 1 && sorted[at - 1] > stripe {",
        test: "blocking",
        model: "crossing_pairs_among_many_stripes_end",
        finds: DEADLOCK,
    },
    Mutant {
        name: "all stripes but the last",
        file: "stripe_set.rs",
        from: "u64::MAX >> (WORD - bits)",
        to: "u64::MAX >> (WORD - bits + 1)",
        test: "blocking",
        model: "all_excludes_each",
        finds: "assertion `left == right` failed",
    },
    Mutant {
        name: "a failed try keeps what it got",
        file: "multi/taking.rs",
        from: "filter(|&index| index < self.reached)",
        to: "filter(|_| false)",
        test: "blocking",
        model: "a_failed_try_gives_all_back",
        finds: "nothing is left locked",
    },
    Mutant {
        name: "extending waits below what is held",
        file: "multi/extend.rs",
        from: "if may_wait && !below {",
        to: "if may_wait {",
        test: "blocking",
        model: "extending_keeps_the_order",
        finds: DEADLOCK,
    },
    Mutant {
        name: "a multi-guard releases nothing",
        file: "multi.rs",
        from: "Some(bits) => release_each(set, bits, holding),",
        to: "Some(_) => (),",
        test: "blocking",
        model: "crossing_pairs_end",
        finds: DEADLOCK,
    },
    Mutant {
        name: "a batch reads what it should write",
        file: "batch.rs",
        from: "self.writes.insert(stripe);",
        to: "",
        test: "blocking",
        model: "crossing_batches_end",
        finds: RACE,
    },
    Mutant {
        name: "a fair release of many releases nothing",
        file: "multi.rs",
        from: "unsafe { releasing.holding.pop_fair(self.set.striped.stripe(index), index) }",
        to: "_ = index;",
        test: "blocking",
        model: "guards::fair_releases_release",
        finds: DEADLOCK,
    },
    Mutant {
        name: "a part that is released stays locked",
        file: "multi.rs",
        from: "unsafe { self.holding.remove(self.set.striped.stripe(index), index, &self.stripes) }",
        to: "",
        test: "blocking",
        model: "guards::a_released_part_is_free",
        finds: DEADLOCK,
    },
    Mutant {
        name: "a restart releases nothing",
        file: "multi/extend.rs",
        from: "unsafe { release_many(set, &held, &mut self.holding) }",
        to: "_ = (held, unsafe { release_many(set, &StripeSet::empty(0), &mut self.holding) });",
        test: "blocking",
        model: "guards::crossing_restarts_end",
        finds: DEADLOCK,
    },
    Mutant {
        name: "a restart says nothing",
        file: "multi/extend.rs",
        from: "return Extended::Restarted;",
        to: "return Extended::Kept;",
        test: "blocking",
        model: "guards::a_restart_says_so",
        finds: "what was read still holds",
    },
    Mutant {
        name: "unlocked keeps the stripe",
        file: "guard/unlocked.rs",
        from: "Self::without(guard, |stripe, state| unsafe { stripe.release(state) }, f)",
        to: "Self::without(guard, |_, state| core::mem::forget(state), f)",
        test: "blocking",
        model: "guards::a_handed_over_stripe_goes_to_who_waits",
        finds: DEADLOCK,
    },
    Mutant {
        name: "an upgrade lets go in between",
        file: "guard/modes.rs",
        from: "let state = unsafe { stripe.raw().0.upgrade(state) };",
        to: "let state = unsafe { stripe.raw().0.unlock_upgradable(state); stripe.raw().0.lock_exclusive() };",
        test: "blocking",
        model: "guards::an_upgrade_keeps_writers_out",
        finds: "nobody has written in between",
    },
    Mutant {
        name: "a downgrade lets go in between",
        file: "guard/modes.rs",
        from: "let state = unsafe { stripe.raw().0.downgrade(state) };",
        to: "let state = unsafe { stripe.raw().0.unlock_exclusive(state); stripe.raw().0.lock_shared() };",
        test: "blocking",
        model: "guards::a_downgrade_keeps_writers_out",
        finds: "nobody has written in between",
    },
    Mutant {
        name: "time runs out and what was taken stays",
        file: "multi/taking.rs",
        from: "filter(|&index| index < self.reached)",
        to: "filter(|_| false)",
        test: "blocking",
        model: "guards::a_timeout_gives_all_back",
        finds: DEADLOCK,
    },
    Mutant {
        name: "a newcomer goes in without acquire",
        file: "future/word.rs",
        from: "new as $int, Acquire, Relaxed)",
        to: "new as $int, Relaxed, Relaxed)",
        test: "async_locks",
        model: "single::two_exclude_each_other",
        finds: RACE,
    },
    Mutant {
        name: "a holder leaves without release",
        file: "future/word.rs",
        from: "fetch_add(part as $int, Release)",
        to: "fetch_add(part as $int, Relaxed)",
        test: "async_locks",
        model: "single::two_exclude_each_other",
        finds: RACE,
    },
    Mutant {
        name: "no second look before sleeping",
        file: "future/waiter.rs",
        from: "Ok(_) => break,\n            Err(other) => now = other,",
        to: "Ok(_) => break,\n            Err(_) => break,",
        test: "async_locks",
        model: "single::two_exclude_each_other",
        finds: DEADLOCK,
    },
    Mutant {
        name: "a waiter sleeps while it counts as awake",
        file: "future/waiter.rs",
        from: "next.map_or(word::with_queue(now, ASLEEP), |next| word::with_queue(next, behind))",
        to: "next.map_or(now, |next| word::with_queue(next, behind))",
        test: "async_locks",
        model: "single::overtaken",
        finds: DEADLOCK,
    },
    Mutant {
        name: "giving up wakes nobody",
        file: "future/waiter.rs",
        from: "            if first {\n                serve(set, stripe, panics);",
        to: "            if first && stripe > 64 {\n                serve(set, stripe, panics);",
        test: "async_locks",
        model: "single::giving_up_passes_the_turn_on",
        finds: DEADLOCK,
    },
    Mutant {
        name: "giving up keeps what it holds",
        file: "future/waiter.rs",
        from: "break Held::Below(stripe);\n        };",
        to: "break Held::Below(0);\n        };",
        test: "async_locks",
        model: "multi::a_multi_gives_up",
        finds: DEADLOCK,
    },
    Mutant {
        name: "a grant wakes nobody",
        file: "future/release.rs",
        from: "wakes.push(node.as_ref().with(super::queue::Fields::take_waker));\n        node.as_ref().set_state(state);",
        to: "drop(node.as_ref().with(super::queue::Fields::take_waker));\n        node.as_ref().set_state(state);",
        test: "async_locks",
        model: "single::three_in_strict_order",
        finds: DEADLOCK,
    },
    Mutant {
        name: "only the first of several is granted",
        file: "future/release.rs",
        from: "let next = next_from(plan, stripe + 1);",
        to: "let next = next_from(plan, usize::MAX);",
        test: "async_locks",
        model: "multi::a_multi_against_singles",
        finds: DEADLOCK,
    },
    Mutant {
        name: "a future walks down",
        file: "future/release.rs",
        from: "Some(bits) => enter_each(set, plan, bits),",
        to: "Some(bits) => enter_each(set, plan, bits.rev()),",
        test: "async_locks",
        model: "multi::two_crossing_multis",
        finds: DEADLOCK,
    },
    Mutant {
        name: "the first waker is kept",
        file: "future/waiter.rs",
        from: "                if self.node.with(|fields| fields.would_wake(cx.waker())) {\n                    return Look::Pending;",
        to: "                if self.node.with(|fields| fields.would_wake(cx.waker())) || true {\n                    return Look::Pending;",
        test: "async_locks",
        model: "single::the_last_waker_counts",
        finds: DEADLOCK,
    },
    Mutant {
        name: "one too many may overtake",
        file: "future/word.rs",
        from: "const LAST: u32 = AWAKE + OVERTAKES;",
        to: "const LAST: u32 = AWAKE + OVERTAKES + 1;",
        test: "async_locks",
        model: "single::at_most_two_overtake",
        finds: "overtaken too often",
    },
    Mutant {
        name: "the bucket that a waiter has left is taken for its home",
        file: "future/queue.rs",
        from: "if locked.holds(stripe) {",
        to: "if locked.holds(stripe) || true {",
        test: "async_locks",
        model: "multi::a_multi_gives_up",
        finds: RACE,
    },
];
