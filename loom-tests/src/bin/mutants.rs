//! The negative controls: breaks the library in one place at a time, and checks that a model finds the defect.
//!
//! It works on a copy of the two crates under `target/mutants`, so the library needs no switches for it. Every model
//! first runs on an unbroken copy, because a model that fails there would find nothing. A mutant has to compile, and
//! the model has to fail with the message of the defect.
//!
//! `cargo loom-mutants [NAME...]` runs all mutants, or those whose names contain one of the words. With
//! `--unbroken-pass` it skips the runs without mutation, for use after `cargo loom`. `--part=2/3` runs every third mutant, from
//! the second on. There is a copy for each hardware thread, up to four.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{env, fs, io, thread};

use loom_tests::Mutant;

const UNBROKEN_PASS: &str = "--unbroken-pass";

fn main() -> ExitCode {
    let (options, words): (Vec<String>, Vec<String>) =
        env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let (mut unbroken_pass, mut part) = (false, (1, 1));
    for option in options {
        match part_of(&option) {
            Some(given) => part = given,
            None if option == UNBROKEN_PASS => unbroken_pass = true,
            None => {
                eprintln!("mutants: unknown option {option}; the options are {UNBROKEN_PASS} and --part=K/N");
                return ExitCode::from(2);
            }
        }
    }
    let chosen =
        |mutant: &&Mutant| words.is_empty() || words.iter().any(|word| mutant.name.contains(word.as_str()));
    let mutants: Vec<&Mutant> =
        loom_tests::mutants().filter(chosen).skip(part.0 - 1).step_by(part.1).collect();
    let models: BTreeSet<_> = mutants.iter().map(|mutant| (mutant.test, mutant.model)).collect();
    match run(&mutants, &if unbroken_pass { BTreeSet::new() } else { models }) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::from(2)
        }
    }
}

/// The part of the mutants that an option asks for: from the first number on, each by the second one.
fn part_of(option: &str) -> Option<(usize, usize)> {
    let (part, parts) = option.strip_prefix("--part=")?.split_once('/')?;
    let (part, parts) = (part.parse().ok()?, parts.parse().ok()?);
    (1..=parts).contains(&part).then_some((part, parts))
}

/// A job for one copy.
#[derive(Clone, Copy)]
enum Job<'a> {
    Unbroken(&'a str, &'a str),
    Broken(&'a Mutant),
}

/// Returns how many mutants were not found, plus how many of `models` fail without mutation.
fn run(mutants: &[&Mutant], models: &BTreeSet<(&str, &str)>) -> io::Result<usize> {
    let unbroken = models.iter().map(|&(test, model)| Job::Unbroken(test, model));
    let jobs: Vec<_> = unbroken.chain(mutants.iter().map(|&mutant| Job::Broken(mutant))).collect();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(4).min(jobs.len());
    let (next, unfound) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = |number| -> io::Result<()> {
        let copy = Copy::new(number)?;
        while let Some(job) = jobs.get(next.fetch_add(1, Relaxed)) {
            let (found, said) = copy.done(job)?;
            println!("{said}");
            unfound.fetch_add(usize::from(!found), Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    let unfound = unfound.into_inner();
    println!("{} passed, {unfound} failed", jobs.len() - unfound);
    Ok(unfound)
}

/// A workspace with only the library and its models.
struct Copy {
    root: PathBuf,
}

impl Copy {
    fn new(number: usize) -> io::Result<Self> {
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let root = original.join("target/mutants").join(number.to_string());
        for member in ["stripe-lock", "loom-tests"] {
            match fs::remove_dir_all(root.join(member)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => copy_folder(&original.join(member), &root.join(member))?,
            }
        }
        // This removes this program: the models don't need it, and it would be rebuilt with each mutant.
        fs::remove_dir_all(root.join("loom-tests/src/bin"))?;
        let manifest = fs::read_to_string(original.join("Cargo.toml"))?;
        let lines = manifest.lines().map(|line| match line {
            _ if line.starts_with("members = ") => "members = [\"stripe-lock\", \"loom-tests\"]\n".to_owned(),
            _ if line.starts_with("default-members = ") => String::new(),
            _ => format!("{line}\n"),
        });
        fs::write(root.join("Cargo.toml"), lines.collect::<String>())?;
        fs::copy(original.join("Cargo.lock"), root.join("Cargo.lock"))?;
        // The models' dependencies are the same, so the build of `cargo loom` is copied with its file times. The two
        // crates themselves are newer here, so they are rebuilt.
        let built = original.join("target/loom/release");
        if built.exists() && !root.join("target").exists() {
            fs::create_dir(root.join("target"))?;
            let copied = Command::new("cp").arg("-a").args([built, root.join("target/release")]).status()?;
            if !copied.success() {
                return Err(io::Error::other("the build of cargo loom can't be copied"));
            }
        }
        Ok(Self { root })
    }

    fn cargo(&self, test: &str) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&self.root).args(["test", "--release", "-p", "loom-tests", "--test", test]);
        cargo.args(["--config", "build.rustflags=['--cfg', 'loom']", "--offline"]);
        // Builds differ by one line, so incremental compilation helps. Most models of a mutant end soon, so building
        // takes longer than running.
        for profile in [
            "incremental=true",
            "debug=false",
            "package.stripe-lock.opt-level=1",
            "package.loom-tests.opt-level=1",
        ] {
            cargo.args(["--config", &format!("profile.release.{profile}")]);
        }
        cargo
    }

    /// Whether the model behaved as required, and the line to print.
    fn done(&self, job: &Job<'_>) -> io::Result<(bool, String)> {
        let mutant = match job {
            Job::Unbroken(test, model) => {
                let passes = self.check(test, model)?.status.success();
                let said = if passes { "passes  " } else { "BROKEN  " };
                return Ok((passes, format!("{said} {test}::{model} without any mutation")));
            }
            Job::Broken(mutant) => mutant,
        };
        self.with_mutation(mutant, || {
            let built = self.cargo(mutant.test).arg("--no-run").output()?;
            if !built.status.success() {
                let said = String::from_utf8_lossy(&built.stderr);
                return Ok((false, format!("UNFOUND  {}: does not compile:\n{said}", mutant.name)));
            }
            let run = self.check(mutant.test, mutant.model)?;
            let said =
                format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
            let Mutant { name, model, finds, .. } = mutant;
            Ok(match (run.status.success(), said.contains(finds)) {
                (true, _) => (false, format!("UNFOUND  {name}: the model passes")),
                (false, false) => {
                    (false, format!("UNFOUND  {name}: the model fails, but not by {finds:?}:\n{said}"))
                }
                (false, true) => (true, format!("found    {name}, by {model}: {finds}")),
            })
        })
    }

    fn check(&self, test: &str, model: &str) -> io::Result<Output> {
        self.cargo(test).args(["--", "--exact", model]).output()
    }

    /// Runs `f` while the mutation is in place.
    fn with_mutation<T>(&self, mutant: &Mutant, f: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let file = self.root.join("stripe-lock/src").join(mutant.file);
        let source = fs::read_to_string(&file)?;
        if source.matches(mutant.from).count() != 1 {
            let text =
                format!("{}: {:?} does not occur exactly once in {}", mutant.name, mutant.from, mutant.file);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        fs::write(&file, source.replacen(mutant.from, mutant.to, 1))?;
        let result = f();
        fs::write(&file, source)?;
        result
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
