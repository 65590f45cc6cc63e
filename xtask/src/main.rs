//! `cargo xtask check`: formatting, lints, tests with every feature of the locks, and docs, each step with its time.
//!
//! `cargo xtask check stripe-lock` checks one crate. `.ci/run` adds the models, their mutants and the features one by
//! one.

use std::env;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// A command of cargo under a name that the summary shows.
struct Step {
    name: &'static str,
    arguments: Vec<String>,
    environment: Option<(&'static str, &'static str)>,
}

impl Step {
    fn new(name: &'static str, command: &str, scope: &[String], rest: &str) -> Self {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        Self { name, arguments: [words(command), scope.to_vec(), words(rest)].concat(), environment: None }
    }

    fn run(&self, cargo: &str) -> bool {
        println!("== {}: cargo {}", self.name, self.arguments.join(" "));
        let mut command = Command::new(cargo);
        command.args(&self.arguments).envs(self.environment);
        command.status().is_ok_and(|status| status.success())
    }
}

/// The steps for these packages, or for the workspace if none is named.
fn steps(packages: &[String], nextest: bool) -> Vec<Step> {
    let mut scope: Vec<_> = packages.iter().flat_map(|package| ["-p".to_owned(), package.clone()]).collect();
    if packages.is_empty() {
        scope.push("--workspace".to_owned());
    } else if packages
        .iter()
        .all(|package| !["benches", "stripe-lock-dist", "vde-ship"].contains(&&**package))
    {
        // The features of benches are contenders, and those of vde-ship clouds: they take minutes to build. One of
        // stripe-lock-dist needs `protoc`.
        scope.push("--all-features".to_owned());
    }
    let tests = if nextest { "nextest run --no-fail-fast" } else { "test --no-fail-fast" };
    let docs = Step::new("docs", "doc --no-deps", &scope, "");
    vec![
        Step::new("format", "fmt --all --check", &[], ""),
        Step::new("lints", "clippy --all-targets", &scope, "-- -D warnings"),
        Step::new("tests", tests, &scope, "--tests --examples"),
        Step::new("doctests", "test --doc", &scope, ""),
        Step { environment: Some(("RUSTDOCFLAGS", "-D warnings")), ..docs },
    ]
}

fn has_nextest(cargo: &str) -> bool {
    let mut asked = Command::new(cargo);
    asked.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() != Some("check") {
        eprintln!("usage: cargo xtask check [PACKAGE...]");
        return ExitCode::from(2);
    }
    let packages: Vec<_> = arguments.collect();
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut summary = Vec::new();
    for step in steps(&packages, has_nextest(&cargo)) {
        let began = Instant::now();
        let passed = step.run(&cargo);
        summary.push(format!("{:>6.0} s  {}", began.elapsed().as_secs_f64(), step.name));
        if !passed {
            eprintln!("{}\n== {} failed", summary.join("\n"), step.name);
            return ExitCode::FAILURE;
        }
    }
    println!("{}\n== all passed", summary.join("\n"));
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(packages: &[&str], nextest: bool, name: &str) -> String {
        let packages: Vec<_> = packages.iter().map(|&package| package.to_owned()).collect();
        let steps = steps(&packages, nextest);
        steps.iter().find(|step| step.name == name).expect("there is such a step").arguments.join(" ")
    }

    #[test]
    fn one_crate_is_tested_with_all_its_features() {
        let tests = "nextest run --no-fail-fast -p stripe-lock --all-features --tests --examples";
        assert_eq!(line(&["stripe-lock"], true, "tests"), tests);
        assert_eq!(line(&["benches"], false, "doctests"), "test --doc -p benches");
        assert_eq!(line(&[], false, "doctests"), "test --doc --workspace");
    }

    /// The features of a manifest's section `[features]`, and which of them are on by default.
    fn features(manifest: &str) -> (Vec<&str>, &str) {
        let section = manifest.split_once("[features]").unwrap().1.split_once("\n[").unwrap().0;
        let names = section.lines().filter_map(|line| Some(line.split_once(" = ")?.0));
        (
            names.filter(|&name| name != "default").collect(),
            section.lines().find(|line| line.starts_with("default")).unwrap(),
        )
    }

    #[test]
    fn no_feature_is_left_out_where_the_workspace_is_tested() {
        let here = include_str!("../Cargo.toml");
        for (package, manifest) in [
            ("stripe-lock", include_str!("../../stripe-lock/Cargo.toml")),
            ("triple-store", include_str!("../../triple-store/Cargo.toml")),
        ] {
            let asked = here.lines().find(|line| line.starts_with(&format!("{package} = "))).unwrap();
            let (names, default) = features(manifest);
            assert!(names.len() > 3, "{names:?}");
            for name in names {
                let is_on = [asked, default].iter().any(|list| list.contains(&format!("\"{name}\"")));
                assert!(is_on, "{package}/{name}");
            }
        }
    }
}
