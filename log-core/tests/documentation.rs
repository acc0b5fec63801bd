//! The pages and the comments, held against what is there: a comment cites only rules that `docs/rules.md` has, the map and
//! the rules name only files and tests that exist, and nothing points at a page outside the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold no source of ours.
const NOT_OURS: &[&str] = &["target", ".git", "node_modules", "corpus"];

/// A file of the repository, by its path from the root.
struct Page {
    path: String,
    text: String,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files with this extension, ordered by path.
fn pages(extension: &str) -> Vec<Page> {
    let root = repository();
    let mut pages = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().expect("it has one").to_string_lossy();
            if path.is_dir() && !NOT_OURS.contains(&&*name) {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path).expect("text in UTF-8");
                let path = path.strip_prefix(&root).expect("it was found there");
                let path = path.display().to_string();
                pages.push(Page { path, text });
            }
        }
    }
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    pages
}

fn page(path: &str) -> String {
    fs::read_to_string(repository().join(path)).expect("the page exists")
}

/// The comments of Rust source, each block of lines as one text: a citation may be broken between two lines.
fn comments(source: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in source.lines() {
        match line.trim_start().strip_prefix("//") {
            Some(comment) => {
                let block = blocks.last_mut().expect("never empty");
                block.push(' ');
                block.push_str(comment.trim_start_matches(['/', '!']));
            }
            None => blocks.push(String::new()),
        }
    }
    blocks
}

/// The numbers of the rules that a text cites: "rule 12", "rules 5, 7 and 9", "rules 1 to 4".
fn cited_rules(text: &str) -> Vec<u32> {
    let mut cited = Vec::new();
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
        if !["rule", "rules", "Rule", "Rules"].contains(&word) {
            continue;
        }
        while let Some(next) = words.peek() {
            let digits = next.trim_matches(|c: char| c.is_ascii_punctuation());
            match digits.parse() {
                Ok(number) => cited.push(number),
                Err(_) if ["and", "or", "to"].contains(next) && !cited.is_empty() => {}
                Err(_) => break,
            }
            words.next();
        }
    }
    cited
}

/// The rules that the page has, in its order.
fn written_rules(page: &str) -> Vec<u32> {
    let headings = page
        .lines()
        .filter_map(|line| line.strip_prefix("### Rule "));
    let number = |heading: &str| heading.split_once(':').map(|(number, _)| number.parse());
    headings
        .map(|heading| number(heading).expect("a colon").expect("a number"))
        .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The citations of rules in a source file that the page does not have.
fn citations_of_no_rule(page: &Page, written: &BTreeSet<u32>) -> Vec<String> {
    let comments = comments(&page.text);
    let cited = comments.iter().flat_map(|comment| cited_rules(comment));
    let missing = cited.filter(|number| !written.contains(number));
    missing
        .map(|number| format!("{}: rule {number}", page.path))
        .collect()
}

/// Where a text names a page (`somewhere/name.md`) that the repository does not have: seen from the root, from `docs/`,
/// from the file's own folder or from the one above it, as a path behind `CARGO_MANIFEST_DIR` is.
fn pages_that_are_not_there(page: &Page) -> Vec<String> {
    let root = repository();
    let own_folder = root.join(&page.path);
    let own_folder = own_folder.parent().expect("a file lies in a folder");
    let is_part_of_a_path =
        |c: char| c.is_ascii_alphanumeric() || ['/', '.', '-', '_'].contains(&c);
    let names = page.text.split(|c| !is_part_of_a_path(c));
    let missing = names
        .map(|name| name.trim_end_matches('.'))
        .filter(|name| name.len() > ".md".len() && name.ends_with(".md"))
        .filter(|name| {
            let folders = [
                root.as_path(),
                &root.join("docs"),
                own_folder,
                &own_folder.join(".."),
            ];
            let path = name.trim_start_matches('/');
            !folders.iter().any(|folder| folder.join(path).is_file())
        });
    missing
        .map(|name| format!("{}: {name}", page.path))
        .collect()
}

#[test]
fn every_rule_that_a_comment_cites_is_written_down() {
    let written = written_rules(&page("docs/rules.md"));
    assert!((1..=17).eq(written.iter().copied()), "found {written:?}");

    let written = BTreeSet::from_iter(written);
    let sources = pages("rs");
    let cited: usize = sources
        .iter()
        .map(|source| {
            comments(&source.text)
                .iter()
                .map(|c| cited_rules(c).len())
                .sum::<usize>()
        })
        .sum();
    let missing: Vec<String> = sources
        .iter()
        .flat_map(|source| citations_of_no_rule(source, &written))
        .collect();

    assert!(20 < cited, "only {cited} citations were found in all");
    assert!(missing.is_empty(), "not in docs/rules.md: {missing:#?}");
}

#[test]
fn a_citation_of_a_rule_that_is_not_there_is_found_however_it_is_written() {
    let written = BTreeSet::from_iter(1..=17);
    let found = |text: &str| {
        let (path, text) = ("planted.rs".to_owned(), text.to_owned());
        citations_of_no_rule(&Page { path, text }, &written)
    };

    assert_eq!(
        found("/// Done when it is applied (rule 18)."),
        ["planted.rs: rule 18"]
    );
    assert_eq!(
        found("//! See rules 1, 19 and 20."),
        ["planted.rs: rule 19", "planted.rs: rule 20"]
    );
    assert_eq!(
        found("// Kept by rules 16 to 21:\nfn f() {}"),
        ["planted.rs: rule 21"]
    );
    assert_eq!(
        found("    // A line that ends with (rule\n    // 22) and goes on."),
        ["planted.rs: rule 22"]
    );

    let none: [String; 0] = [];
    assert_eq!(found("/// As rules 5, 7 and 9 say, of 25 nodes."), none);
    assert_eq!(
        found("let rule = 99; // the rule of 99\nlet text = \"rule 98\";"),
        none
    );
}

/// The files and tests that a page names and that are not there. A test is told by the length of its name.
fn names_of_nothing(page: &str, sources: &[Page]) -> Vec<String> {
    let is_gone = |name: &&str| {
        let is_test = name.matches('_').count() >= 4 && name.chars().all(is_part_of_a_test);
        let definition = format!("fn {name}(");
        let is_file = name.contains('/') && name.ends_with(".rs");
        is_test
            && !sources
                .iter()
                .any(|source| source.text.contains(&definition))
            || is_file && !repository().join(name).is_file()
    };
    quoted(page).filter(is_gone).map(str::to_owned).collect()
}

fn is_part_of_a_test(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

#[test]
fn each_rule_names_its_file_and_its_tests() {
    let text = page("docs/rules.md");
    for rule in text.split("\n### ").skip(1) {
        let (_, references) = rule
            .split_once("*Decided in*")
            .expect("each rule says where");
        let (files, tests) = references
            .split_once("*Held by*")
            .expect("and what holds it");
        assert!(
            quoted(files).count() > 0 && quoted(tests).count() > 0,
            "{rule}"
        );
    }
}

/// The crates of the workspace, by their folders.
fn crates(manifest: &str) -> Vec<&str> {
    let (_, members) = manifest
        .split_once("members = [")
        .expect("a list of members");
    let (members, _) = members.split_once(']').expect("its end");
    let folders = members.split('"').skip(1).step_by(2);
    folders
        .map(|folder| folder.rsplit('/').next().expect("never empty"))
        .collect()
}

#[test]
fn the_map_has_a_section_for_every_crate() {
    let (manifest, map) = (page("Cargo.toml"), page("docs/architecture.md"));
    let crates = crates(&manifest);
    let is_missing = |name: &&str| !map.contains(&format!("\n### {name}\n"));
    let missing: Vec<_> = crates.iter().copied().filter(is_missing).collect();
    assert!(8 < crates.len(), "only {crates:?}");
    assert!(
        missing.is_empty(),
        "docs/architecture.md lacks a section: {missing:?}"
    );
}

#[test]
fn every_file_and_test_that_the_map_and_the_rules_name_is_there() {
    let sources = pages("rs");
    for path in ["docs/rules.md", "docs/architecture.md"] {
        let text = page(path);
        let gone = names_of_nothing(&text, &sources);
        assert!(gone.is_empty(), "{path} names what is gone: {gone:#?}");
    }

    let planted = "held by `no_test_of_this_name_is_there` in `log-core/src/nowhere.rs`, not by `min_insync` or `use`";
    let found = names_of_nothing(planted, &sources);
    assert_eq!(
        found,
        ["no_test_of_this_name_is_there", "log-core/src/nowhere.rs"]
    );
}

#[test]
fn every_page_that_is_named_is_in_the_repository() {
    let missing: Vec<String> = ["rs", "md", "toml", "yml", "html", "js"]
        .into_iter()
        .flat_map(pages)
        .filter(|page| page.path != "log-core/tests/documentation.rs")
        .flat_map(|page| pages_that_are_not_there(&page))
        .collect();
    assert!(
        missing.is_empty(),
        "these pages are not there: {missing:#?}"
    );
}

#[test]
fn a_page_outside_the_repository_is_found_and_one_inside_is_not() {
    let found = |text: &str| {
        let (path, text) = ("docs/decisions/planted.md".to_owned(), text.to_owned());
        pages_that_are_not_there(&Page { path, text })
    };

    let planted = "docs/decisions/planted.md";
    assert_eq!(
        found("as the house plan says (PLAN.md)."),
        [format!("{planted}: PLAN.md")]
    );
    assert_eq!(
        found("[x](../../outside/x.md)"),
        [format!("{planted}: ../../outside/x.md")]
    );

    let none: [String; 0] = [];
    assert_eq!(
        found("README.md, docs/rules.md, [kafka.md](../kafka.md#x), and .md files"),
        none
    );
}
