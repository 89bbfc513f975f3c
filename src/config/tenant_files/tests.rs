//! What patterns match, on a file system.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

/// What `patterns` match in `folder`, relative to it; or which pattern cannot be followed, and why.
fn found(folder: &Path, patterns: &[&str]) -> Result<Vec<String>, String> {
    let patterns: Vec<_> = patterns
        .iter()
        .map(|text| FilePattern::parse(text).unwrap())
        .collect();
    let found = find(patterns, folder).unwrap();
    for outcome in found.outcomes {
        match outcome {
            Outcome::Something | Outcome::Nothing => {}
            Outcome::NoFile(path) => return Err(format!("no {}", path.display())),
            Outcome::NoList(folder, error) => {
                return Err(format!("{}: {error}", folder.display()));
            }
        }
    }
    let relative = |path: PathBuf| {
        let path = path.strip_prefix(folder).unwrap_or(&path).to_owned();
        path.display().to_string()
    };
    Ok(found.files.into_iter().map(relative).collect())
}

fn folder_with(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    folder
}

#[test]
fn files_are_found_once_and_in_order() {
    let folder = folder_with(&[
        "t/b.yml",
        "t/a.yml",
        "t/a.txt",
        "t/d/c.yml",
        "u/a.yml",
        "z.yml",
    ]);
    let is = |patterns: &[&str], expected: &[&str]| {
        assert_eq!(
            found(folder.path(), patterns).unwrap(),
            expected,
            "{patterns:?}"
        );
    };
    is(&["t/*.yml"], &["t/a.yml", "t/b.yml"]);
    is(&["./t//*.yml"], &["t/a.yml", "t/b.yml"]);
    is(
        &["z.yml", "t/*.yml", "*/a.yml"],
        &["t/a.yml", "t/b.yml", "u/a.yml", "z.yml"],
    );
    is(&["*/*.yml"], &["t/a.yml", "t/b.yml", "u/a.yml"]);
    is(&["*/d/*"], &["t/d/c.yml"]);
    is(&["t/[!b].y?l"], &["t/a.yml"]);
    is(&["t/[a-b].yml"], &["t/a.yml", "t/b.yml"]);
    is(&["*/missing.yml", "*/missing/*.yml", "*/a.yml/*"], &[]);
    // The folder before the first wildcard must be there.
    for missing in ["missing/*.yml", "z.yml/*", "T/*", "t/missing/*/*.yml"] {
        let (folder_named, _) = missing.split_once("/*").unwrap();
        let place = folder.path().join(folder_named).display().to_string();
        let error = found(folder.path(), &["t/*.yml", missing]).unwrap_err();
        assert!(error.starts_with(&format!("{place}: No")), "{error}");
    }
    // By whatever path.
    symlink("a.yml", folder.path().join("t/link.yml")).unwrap();
    symlink("t", folder.path().join("v")).unwrap();
    is(
        &["t/*.yml", "t/../t/*.yml", "v/*.yml"],
        &["t/a.yml", "t/b.yml"],
    );
    // What is named without a wildcard must be there.
    for missing in ["t/missing.yml", "missing/a.yml", "z.yml/a.yml"] {
        let path = folder.path().join(missing).display().to_string();
        let error = found(folder.path(), &["t/*.yml", missing]);
        assert_eq!(error.unwrap_err(), format!("no {path}"));
    }
    let absolute = folder.path().join("u/*.yml").display().to_string();
    is(&[&absolute], &["u/a.yml"]);
}

#[test]
fn hidden_names_are_found_by_their_dots_alone() {
    let folder = folder_with(&["t/.a.yml", "t/..2026_11/a.yml", "t/.d/a.yml", "t/a.yml"]);
    let is = |pattern, expected: &[&str]| {
        assert_eq!(
            found(folder.path(), &[pattern]).unwrap(),
            expected,
            "{pattern}"
        );
    };
    is("t/*.yml", &["t/a.yml"]);
    is("t/?a.yml", &[]);
    is("t/[.]a.yml", &[]);
    is("t/*", &["t/a.yml"]);
    is("t/*/*.yml", &[]);
    is("t/.d/*.yml", &["t/.d/a.yml"]);
    is("t/.*.yml", &["t/.a.yml"]);
}

#[test]
fn links_are_followed() {
    let folder = folder_with(&["t/..1/a.yml", "t/..1/d/b.yml"]);
    let link = |to: &str, at: &str| symlink(to, folder.path().join(at)).unwrap();
    link("..1", "t/..data");
    link("..data/a.yml", "t/a.yml");
    link("..data/d", "t/d");
    link("nowhere", "t/dangling.yml");
    let is = |pattern, expected: &[&str]| {
        assert_eq!(
            found(folder.path(), &[pattern]).unwrap(),
            expected,
            "{pattern}"
        );
    };
    is("t/*.yml", &["t/a.yml", "t/dangling.yml"]);
    is("t/*/*.yml", &["t/d/b.yml"]);
}

#[test]
fn a_folder_that_cannot_be_listed_is_an_error() {
    let folder = folder_with(&["t/a.yml"]);
    symlink("loop", folder.path().join("loop")).unwrap();
    let error = found(folder.path(), &["t/*.yml", "loop/*.yml"]).unwrap_err();
    let place = folder.path().join("loop").display().to_string();
    let expected = format!("{place}: Too many levels of symbolic links (os error 40)");
    assert_eq!(error, expected);
}

#[test]
fn names_that_are_no_text_are_found() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = folder_with(&["a.yml"]);
    fs::write(folder.path().join(OsStr::from_bytes(b"\xff.yml")), "").unwrap();
    let all = ["a.yml", "\u{fffd}.yml"];
    assert_eq!(found(folder.path(), &["*.yml"]).unwrap(), all);
    assert_eq!(found(folder.path(), &["?.yml"]).unwrap(), all);
}

#[test]
fn the_current_folder_has_no_name() {
    // Tests run in the folder of the package.
    assert_eq!(
        found(Path::new(""), &["Cargo.t*l"]).unwrap(),
        ["Cargo.toml"]
    );
}

proptest::proptest! {
    #[test]
    fn no_text_panics(
        text in "([a-z]|[*?!.^/\\[\\]-]|\\PC){0,20}",
        name in "([a-z]|[!.^\\[\\]-]|\\PC){0,20}",
    ) {
        for level in FilePattern::parse(&text).map_or_else(|_| Vec::new(), |read| read.levels) {
            if let Level::Pattern(pattern) = level {
                let _ = pattern.matches_with(&name, OPTIONS);
            }
        }
    }
}
