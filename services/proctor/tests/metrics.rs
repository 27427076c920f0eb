//! Each metric that the code counts stands in the docs, and the docs name none that it does not count.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where the roles' sources are, from the repository's root.
const SOURCES: [&str; 4] = ["edge", "proto", "services", "web-api"];
const MACROS: [&str; 3] = ["counter!(", "gauge!(", "histogram!("];
/// What names of metrics end in where nothing else of ours does that begins as they do.
const ENDINGS: [&str; 2] = ["_total", "_seconds"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The texts of all files below a directory whose name ends so.
fn texts(dir: &Path, ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(texts(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// The names that a source file gives to the macros; `{…}` stands for what is filled in while it runs.
fn counted(file: &Path, source: &str) -> BTreeSet<String> {
    // Tests come last.
    let source = source.split("#[cfg(test)]\nmod tests {").next();
    let source = source.unwrap_or_default();
    let calls = MACROS
        .into_iter()
        .flat_map(|call| source.split(call).skip(1));
    calls
        .map(|rest| {
            let (before, rest) = rest.split_once('"').unwrap();
            let shown = file.display();
            assert!(
                matches!(before.trim(), "" | "format!("),
                "{shown}: write the metric's name where it is counted, not {before:?}"
            );
            rest.split('"').next().unwrap_or_default().to_owned()
        })
        .collect()
}

/// The names that a page gives in backticks, without their labels; `a_{b,c}_d` are two.
fn documented(page: &str) -> BTreeSet<String> {
    let names = page.split('`').filter(|span| span.starts_with("proctor_"));
    names
        .flat_map(|span| match span.split_once('{') {
            None => vec![span.to_owned()],
            Some((name, rest)) => match rest.split_once("}_") {
                None => vec![name.to_owned()],
                Some((choices, end)) => {
                    let end = end.split('{').next().unwrap_or_default();
                    let choices = choices.split(',');
                    choices
                        .map(|choice| format!("{name}{choice}_{end}"))
                        .collect()
                }
            },
        })
        .collect()
}

/// Whether a name of the code is this one of the docs.
fn is(counted: &str, documented: &str) -> bool {
    match counted.split_once('{') {
        None => counted == documented,
        Some((start, rest)) => {
            let end = rest.split_once('}').map_or("", |(_, end)| end);
            documented.starts_with(start) && documented.ends_with(end)
        }
    }
}

#[test]
fn each_metric_stands_in_the_docs() {
    let sources = SOURCES.iter().map(|dir| texts(&root().join(dir), ".rs"));
    let mut code = BTreeSet::new();
    for (file, source) in sources.flatten().filter(|(file, _)| is_of_a_role(file)) {
        code.append(&mut counted(&file, &source));
    }
    assert!(code.len() > 40, "{code:?}");
    let pages = texts(&root().join("docs"), ".md");
    let docs: BTreeSet<String> = pages
        .iter()
        .flat_map(|(_, page)| documented(page))
        .collect();

    let missing = |name: &&String| !docs.iter().any(|written| is(name, written));
    let missing: Vec<&String> = code.iter().filter(missing).collect();
    assert!(missing.is_empty(), "in no page of docs/: {missing:?}");
    let is_a_metric = |name: &&String| ENDINGS.iter().any(|ending| name.ends_with(ending));
    let gone = |name: &&String| !code.iter().any(|counted| is(counted, name));
    let gone: Vec<&String> = docs.iter().filter(is_a_metric).filter(gone).collect();
    assert!(gone.is_empty(), "in docs/, and counted nowhere: {gone:?}");
}

/// Tests and benchmarks count what they like.
fn is_of_a_role(file: &Path) -> bool {
    let root = root();
    // Above the repository there may be one, too.
    let inside = file.strip_prefix(&root).unwrap_or(file);
    inside.components().any(|part| part.as_os_str() == "src")
}

#[test]
fn names_are_read_as_they_are_written() {
    let source = "metrics::counter!(\"a_total\", \"k\" => \"v\").increment(1);
        metrics::gauge!(\n    \"b\"\n).set(1.0);
        let of = |what| metrics::counter!(format!(\"c_{what}_total\"), \"k\" => \"v\");
        #[cfg(test)]\nmod tests { counter!(\"t_total\") }";
    let found = counted(Path::new("a.rs"), source);
    assert_eq!(Vec::from_iter(found), ["a_total", "b", "c_{what}_total"]);

    let page = "`proctor_a_total{why,where}`, `other_total` and `proctor_c_{x,y}_total{meter}`: `proctor dev`, `proctor_b`";
    let found = documented(page);
    let names = [
        "proctor_a_total",
        "proctor_b",
        "proctor_c_x_total",
        "proctor_c_y_total",
    ];
    assert_eq!(Vec::from_iter(found), names);

    for (counted, documented, same) in [
        ("a_total", "a_total", true),
        ("a_total", "a_totals", false),
        ("c_{what}_total", "c_x_total", true),
        ("c_{what}_total", "c_x_seconds", false),
        ("c_{what}_total", "d_x_total", false),
    ] {
        assert_eq!(is(counted, documented), same, "{counted} {documented}");
    }
}
