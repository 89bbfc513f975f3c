//! Each library has its reason in `docs/dependencies.md`, and our code has no `unsafe`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).expect("the file is there")
}

/// What a section of `Cargo.toml` names.
fn named<'t>(manifest: &'t str, section: &str) -> BTreeSet<&'t str> {
    let start = format!("\n[{section}]\n");
    let (_, rest) = manifest.split_once(&start).expect("there is the section");
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    // Our own crates have a path.
    lines
        .filter(|line| !line.contains("path = "))
        .filter_map(|line| {
            Some(
                line.split_once('=')?
                    .0
                    .trim()
                    .trim_end_matches(".workspace"),
            )
        })
        .collect()
}

/// What a part of the page gives a reason for.
fn explained(part: &str) -> BTreeSet<&str> {
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (name, reason) = row.split_once("` | ").expect("it is a row");
        assert!(reason.len() > 6, "{name} has no reason");
        name
    })
    .collect()
}

#[test]
fn every_library_has_its_reason() {
    let (manifest, page) = (read("Cargo.toml"), read("docs/dependencies.md"));
    let (program, tests) = page
        .split_once("## In tests alone")
        .expect("there are two parts");
    let (program, tests) = (explained(program), explained(tests));
    let wanted = named(&manifest, "workspace.dependencies");
    assert!(wanted.len() > 20, "{wanted:?}");
    let all: BTreeSet<_> = program.union(&tests).copied().collect();
    assert_eq!(all, wanted);
    let crates = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates"));
    let crates = crates.expect("there are crates").map(|entry| {
        let path = entry.expect("it can be read").path();
        fs::read_to_string(path.join("Cargo.toml")).expect("each has a manifest")
    });
    let manifests: Vec<_> = crates.chain([manifest.clone()]).collect();
    let used = manifests
        .iter()
        .flat_map(|manifest| named(manifest, "dependencies"));
    let used: BTreeSet<_> = used.filter(|name| wanted.contains(name)).collect();
    assert_eq!(used, program);
}

#[test]
fn unsafe_code_is_forbidden() {
    assert!(read("Cargo.toml").contains("\nunsafe_code = \"forbid\"\n"));
}
