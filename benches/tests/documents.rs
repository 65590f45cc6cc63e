//! Checks the links, tables and charts of the documents of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

use benches::chart::{Table, charts};
use benches::{published, results};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Markdown file of the workspace, except in folders of build outputs.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("it can be read").path());
    entries
        .flat_map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "target" || name == "node_modules" {
                vec![]
            } else if path.is_dir() {
                documents(&path)
            } else if path.extension().is_some_and(|extension| extension == "md") {
                vec![path]
            } else {
                vec![]
            }
        })
        .collect()
}

/// The targets of links to files: no addresses of the web, no items of the API.
fn links(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let elsewhere = |target: &str| target.contains("::") || target.contains("://") || target.contains(' ');
    targets.filter(|target| !elsewhere(target)).map(str::to_owned).collect()
}

/// The anchor that a heading gets on the pages of a public host.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).collect::<String>().replace(' ', "-")
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_of_it() {
    let mut broken = Vec::new();
    for document in documents(&root()) {
        let text = read(&document);
        for link in links(&text) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let path = document.parent().expect("a file has a folder").join(file);
            let target = if file.is_empty() { &document } else { &path };
            let found = target.exists()
                && (heading.is_empty()
                    || read(target).lines().any(|line| line.starts_with('#') && anchor(line) == heading));
            if !found {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn links_are_found_outside_of_code_alone() {
    let text = "[a](b.md) [c](https://d) [e](crate::F)\n```sh\n[g](h.md)\n```\n[i](#j)";
    assert_eq!(links(text), ["b.md", "#j"]);
    assert_eq!(anchor("## How to read `x`, and why"), "how-to-read-x-and-why");
}

#[test]
fn the_number_of_planted_bugs_is_that_of_the_mutants() {
    let folder = root().join("loom-tests/src/mutants");
    let files = fs::read_dir(&folder).expect("the mutants are there");
    let count: usize = files
        .map(|file| read(&file.expect("it can be read").path()).matches("\n        name:").count())
        .sum();
    assert!(count > 0, "no mutants in {}", folder.display());
    let readme = read(&root().join("README.md"));
    assert!(readme.contains(&format!("each of {count} planted bugs")), "there are {count} mutants");
}

#[test]
fn tables_and_charts_are_those_of_the_results() {
    let hint = "`cargo run -p benches --no-default-features --bin publish` updates it";
    let all = results::load().expect("the results can be read");
    let tables = published::tables(&all.values().collect::<Vec<_>>()).expect("every table has results");
    let documents = published::DOCUMENTS.map(|name| (name, read(&root().join(name))));
    let marks: usize = documents.iter().map(|(_, text)| text.matches("<!-- figures: ").count()).sum();
    assert_eq!(marks, tables.len(), "every table has its place");
    for (name, text) in &documents {
        let same = published::update(text, &tables).as_ref() == Ok(text);
        assert!(same, "{name} is older than the results: {hint}");
    }
    for (name, svg) in charts(&documents[1].1).expect("the tables are there") {
        let drawn = read(&root().join("docs/charts").join(&name));
        assert!(drawn == svg, "docs/charts/{name} is older than the results: {hint}");
    }
}

#[test]
fn a_table_is_read_with_its_empty_cells() {
    let text =
        "## A\n\nwords\n\n| n | 1 | all |\n|---|--:|--:|\n| `x`, y | **1,024.5** | |\n\n| other | 2 |\n";
    let table = Table {
        columns: vec!["1".into(), "all".into()],
        rows: vec![("x, y".into(), vec![Some(1024.5), None])],
    };
    assert_eq!(Table::under(text, "## A"), Some(table));
    assert_eq!(Table::under(text, "## B"), None);
}
