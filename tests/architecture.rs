//! The levels that `src/lib.rs` promises.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Module names with their levels, out of the table in `src/lib.rs`.
fn levels() -> BTreeMap<String, u32> {
    let map = fs::read_to_string(root().join("src/lib.rs")).expect("the map is there");
    map.lines()
        .filter_map(|line| {
            line.strip_prefix("//! | ")?
                .trim_start_matches('[')
                .strip_prefix('`')
        })
        .map(|row| {
            let (name, rest) = row.split_once('`').expect("the name is closed");
            let level = rest.split('|').nth(1).expect("there is a level").trim();
            (name.to_owned(), level.parse().expect("it is a number"))
        })
        .collect()
}

/// The top-level module that a source file belongs to.
fn module(path: &Path) -> String {
    let inside = path
        .strip_prefix(root().join("src"))
        .expect("it is a source");
    let first = inside
        .iter()
        .next()
        .expect("it has a name")
        .to_string_lossy();
    first
        .trim_end_matches(".rs")
        .trim_end_matches("_tests")
        .to_owned()
}

/// Names that a file imports from the crate: `crate::NAME`.
fn imports(text: &str) -> Vec<&str> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.split(|c: char| !c.is_ascii_lowercase() && c != '_')
                .next()
                .unwrap_or("")
        })
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn a_file_imports_only_lower_levels() {
    let levels = levels();
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        let module = module(&path);
        if module == "main" || module == "lib" {
            continue;
        }
        let own = levels
            .get(&module)
            .unwrap_or_else(|| panic!("{module} is not in the table"));
        for import in imports(&fs::read_to_string(&path).expect("it can be read")) {
            let other = levels
                .get(import)
                .unwrap_or_else(|| panic!("{import} is not in the table"));
            if import != module && other >= own {
                wrong.push(format!(
                    "{}: {module} must not import {import}",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_names_every_module() {
    let levels = levels();
    assert!(levels.len() > 10, "the table was not read: {levels:?}");
    for path in sources(&root().join("src")) {
        let module = module(&path);
        assert!(
            module == "main" || module == "lib" || levels.contains_key(&module),
            "{module}"
        );
    }
}
