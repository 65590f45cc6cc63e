//! Where to break the library, and which model has to find it.

mod async_locks;
mod blocking;
mod exact;

/// One defect: in `file` of stripe-lock's sources, `from` becomes `to`, and the model `model` of the test file `test` has to
/// fail with the words `finds`.
///
/// # Examples
///
/// ```
/// let sort = loom_tests::mutants().find(|mutant| mutant.name == "the sort is taken out").unwrap();
/// assert_eq!(sort.file, "shared/stripe_set.rs");
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
/// assert!(loom_tests::mutants().count() >= 6);
/// ```
pub fn mutants() -> impl Iterator<Item = &'static Mutant> {
    [blocking::MUTANTS, async_locks::MUTANTS, exact::MUTANTS].into_iter().flatten()
}
