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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::mutants;

    fn sources(folder: &Path) -> String {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let texts = entries
            .map(|path| if path.is_dir() { sources(&path) } else { fs::read_to_string(path).unwrap() });
        texts.collect()
    }

    #[test]
    fn the_text_of_every_mutant_is_in_its_file_once_and_its_model_exists() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let models = sources(&here.join("tests"));
        for mutant in mutants() {
            let file = here.join("../stripe-lock/src").join(mutant.file);
            let source = fs::read_to_string(file).unwrap();
            assert_eq!(source.matches(mutant.from).count(), 1, "{}", mutant.name);
            let model = mutant.model.rsplit("::").next().unwrap();
            assert!(models.contains(&format!("fn {model}(")), "{}: {model}", mutant.name);
        }
    }
}
