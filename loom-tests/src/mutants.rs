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
        file: "multi.rs",
        from: "skip_while(|&index| index >= self.reached)",
        to: "skip_while(|_| true)",
        test: "blocking",
        model: "a_failed_try_gives_all_back",
        finds: "nothing is left locked",
    },
    Mutant {
        name: "extending waits below what is held",
        file: "multi.rs",
        from: "return if self.add(index, stripe, &Try) {",
        to: "return if self.add(index, stripe, &Wait) {",
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
];
