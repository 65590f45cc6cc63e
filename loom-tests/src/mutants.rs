//! Defects of the library, and the model that has to find each.

mod async_locks;
mod blocking;
mod exact;
mod record;

/// A defect. In `file` of stripe-lock's sources, `from` is replaced by `to`. The model `model` of the test file `test` then
/// has to fail with a message that contains `finds`.
///
/// # Examples
///
/// ```
/// let sort = loom_tests::mutants().find(|mutant| mutant.name == "the sort is taken out").unwrap();
/// assert_eq!(sort.file, "shared/stripe_set.rs");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// A description of the defect.
    pub name: &'static str,
    /// The source file that is changed.
    pub file: &'static str,
    /// The text that is replaced. It occurs exactly once in the file.
    pub from: &'static str,
    /// The replacement.
    pub to: &'static str,
    /// The test file of the model.
    pub test: &'static str,
    /// The model that finds it.
    pub model: &'static str,
    /// A part of the message of the failing model.
    pub finds: &'static str,
}

const DEADLOCK: &str = "deadlock; threads";
const RACE: &str = "Causality violation";

/// All mutants.
///
/// # Examples
///
/// ```
/// assert!(loom_tests::mutants().count() >= 6);
/// ```
pub fn mutants() -> impl Iterator<Item = &'static Mutant> {
    [blocking::MUTANTS, async_locks::MUTANTS, exact::MUTANTS, record::MUTANTS].into_iter().flatten()
}
