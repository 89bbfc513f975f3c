//! The files that `tenant_files` names by patterns, and what is in them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use config_report::{
    ConfigReport, Document, Layout, Reported, YamlValue, collect_all, excerpt, expected,
};
use exporter_toolkit::small_file::{self, Content};
use glob::MatchOptions;

use super::defaults::Defaults;
use super::file::{BESIDE_TENANTS, read_file, warn_of_exposure, warn_of_placeholders};
use super::files::{ReadContext, path_excerpt};
use super::tenant;
use super::tenants::Tenants;

/// A path with wildcards, level by level. Each level is a plain name or a pattern; no pattern
/// matches several levels, or a name that begins with a dot unless it has the dot itself.
#[derive(Clone, Debug)]
pub(super) struct FilePattern {
    is_absolute: bool,
    levels: Vec<Level>,
}

#[derive(Clone, Debug)]
enum Level {
    Name(String),
    Pattern(glob::Pattern),
}

/// The largest pattern, in bytes: the longest path that Linux takes.
const LONGEST: usize = 4_096;

/// As shells match names: files of the kubelet, such as `..data`, are hidden.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

impl FilePattern {
    /// The patterns of a list.
    ///
    /// # Errors
    /// [`Reported`], if any is none.
    pub(super) fn read_all<'n>(
        value: &YamlValue<'n>,
        report: &mut ConfigReport,
    ) -> Result<Vec<(YamlValue<'n>, Self)>, Reported> {
        let items = value.list(report, "a list of patterns such as `tenants/*.yml`")?;
        let patterns = items.into_iter().map(|item| {
            let pattern = Self::read(&item, report)?;
            Ok((item, pattern))
        });
        collect_all(patterns)
    }

    fn read(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<Self, Reported> {
        let what = "a pattern such as `tenants/*.yml`";
        let text = value.text(report, what)?;
        Self::parse(text).map_err(|(found, advice)| {
            let found = match text {
                "" => "an empty value".to_owned(),
                text => format!("{}{found}", excerpt(text)),
            };
            value.error(report, expected(what, &found, advice))
        })
    }

    /// The pattern in `text`.
    ///
    /// # Errors
    /// What to say of it after its text, and what to do about it.
    fn parse(text: &str) -> Result<Self, (String, &'static str)> {
        let wrong = |found: &str, advice| Err((found.to_owned(), advice));
        let names = || text.split('/').filter(|name| !matches!(*name, "" | "."));
        if text.ends_with('/') || names().next().is_none() {
            return wrong(
                ", which names no file",
                "name files, for example with `*.yml`",
            );
        }
        if text.contains('\0') || text.len() > LONGEST {
            return wrong(", which cannot be a file name", "name files");
        }
        if text.contains("**") {
            let advice = "write one pattern for each depth, such as `*/*.yml`";
            return wrong(" with `**`, which is not supported", advice);
        }
        let levels = names().map(|name| {
            if !name.contains(['*', '?', '[']) {
                return Ok(Level::Name(name.to_owned()));
            }
            let advice = "correct it; to match a special character literally, put it in brackets, as in `[[]`";
            let pattern = glob::Pattern::new(name);
            pattern
                .map(Level::Pattern)
                .map_err(|error| (format!(": {}", error.msg), advice))
        });
        Ok(Self {
            is_absolute: text.starts_with('/'),
            levels: levels.collect::<Result<_, _>>()?,
        })
    }

    /// Whether it names one file, which then must be there.
    fn is_plain(&self) -> bool {
        let mut levels = self.levels.iter();
        levels.all(|level| matches!(level, Level::Name(_)))
    }

    /// The paths that match, in no order; relative ones start from `folder`. What is at them may
    /// be anything. The folder before the first wildcard must be there: one that is gone, such as
    /// a mount, does not mean that its tenants are.
    ///
    /// # Errors
    /// The folder that cannot be listed, and why.
    fn matches(&self, folder: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
        let start = if self.is_absolute {
            Path::new("/")
        } else {
            folder
        };
        let mut paths = vec![start.to_owned()];
        let mut is_named = true;
        for (number, level) in self.levels.iter().enumerate() {
            let is_last = number + 1 == self.levels.len();
            paths = match level {
                Level::Name(name) => {
                    let paths = paths.into_iter().map(|path| path.join(name));
                    let exists =
                        |path: &PathBuf| self.is_plain() || path.symlink_metadata().is_ok();
                    // Folders that are none are left out when they are listed.
                    paths.filter(|path| !is_last || exists(path)).collect()
                }
                Level::Pattern(pattern) => {
                    let lists = paths.into_iter().map(|path| match list(&path, pattern) {
                        Err(error) if is_named || !is_no_folder(&error) => Err((path, error)),
                        listed => Ok(listed.unwrap_or_default()),
                    });
                    let lists = lists.collect::<Result<Vec<_>, _>>()?;
                    is_named = false;
                    lists.concat()
                }
            };
        }
        Ok(paths)
    }
}

/// The paths in `folder` whose names match.
fn list(folder: &Path, pattern: &glob::Pattern) -> io::Result<Vec<PathBuf>> {
    let here = Path::new(".");
    let is_here = folder.as_os_str().is_empty();
    let entries = fs::read_dir(if is_here { here } else { folder })?;
    // A name that is not UTF-8 has strange characters, but characters it has.
    let matches = |name: &OsStr| pattern.matches_with(&name.to_string_lossy(), OPTIONS);
    let mut paths = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if matches(&name) {
            paths.push(folder.join(name));
        }
    }
    Ok(paths)
}

fn is_absent(path: &Path) -> bool {
    path.symlink_metadata()
        .is_err_and(|error| is_no_folder(&error))
}

fn is_no_folder(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// What matches patterns.
pub(super) struct Matches {
    /// Each once, in the order in which they are read.
    pub(super) files: BTreeSet<PathBuf>,
    /// For each pattern, what it matches.
    pub(super) outcomes: Vec<Outcome>,
}

/// What a pattern matches.
pub(super) enum Outcome {
    Something,
    Nothing,
    /// It names one file, which is not there.
    NoFile(PathBuf),
    /// A folder cannot be listed.
    NoList(PathBuf, io::Error),
}

/// What matches `patterns`, of which relative ones start from `folder`.
///
/// # Errors
/// What the system says if a file system does not answer within 5 s.
pub(super) fn find(patterns: Vec<FilePattern>, folder: &Path) -> io::Result<Matches> {
    let folder = folder.to_owned();
    small_file::patiently(move || {
        let mut files = BTreeSet::new();
        // Those that are known, by whatever paths and links they were found.
        let mut known = BTreeSet::new();
        let mut is_new =
            |path: &PathBuf| path.canonicalize().map_or(true, |path| known.insert(path));
        let outcomes = patterns.iter().map(|pattern| {
            let mut found = match pattern.matches(&folder) {
                Ok(found) => found,
                Err((folder, error)) => return Outcome::NoList(folder, error),
            };
            match &found[..] {
                [] => return Outcome::Nothing,
                [path] if pattern.is_plain() && is_absent(path) => {
                    return Outcome::NoFile(path.clone());
                }
                _ => found.sort_unstable(),
            }
            files.extend(found.into_iter().filter(&mut is_new));
            Outcome::Something
        });
        let outcomes = outcomes.collect();
        Matches { files, outcomes }
    })
}

/// Adds the tenants of all files that match `value`, the list of patterns.
pub(super) fn read(
    value: &YamlValue<'_>,
    tenants: &mut Tenants,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
    defaults: &Defaults,
) {
    let patterns = match FilePattern::read_all(value, report) {
        Ok(patterns) => patterns,
        Err(reported) => return tenants.fail(reported),
    };
    let Some(folder) = world.folder else {
        return;
    };
    let (items, patterns): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
    let found = match find(patterns, folder) {
        Ok(found) => found,
        Err(error) => {
            let text = expected(
                "folders that can be listed",
                &error.to_string(),
                small_file::advice(&error),
            );
            return tenants.fail(value.error(report, text));
        }
    };
    for (item, outcome) in items.iter().zip(found.outcomes) {
        match outcome {
            Outcome::Something => {}
            Outcome::Nothing => item.warn(report, "matches no file; correct it, or add a file"),
            Outcome::NoFile(path) => {
                let what = format!("a file at {}", path_excerpt(&path));
                let text = expected(&what, "none", "correct the path, or add the file");
                tenants.fail(item.error(report, text));
            }
            Outcome::NoList(folder, error) => {
                let found = format!("{}: {error}", path_excerpt(&folder));
                let advice = if is_no_folder(&error) {
                    "create it, or correct the pattern"
                } else {
                    "check its permissions"
                };
                let text = expected("a folder that can be listed", &found, advice);
                tenants.fail(item.error(report, text));
            }
        }
    }
    if found.files.contains(world.main) {
        let found = "that they match this file";
        let advice = "put tenant files into a folder of their own";
        let text = expected("patterns of other files", found, advice);
        return tenants.fail(value.error(report, text));
    }
    for file in found.files {
        report.within(&file.display().to_string(), |report| {
            let read = read_one(&file, tenants, report, world, defaults);
            if let Err(reported) = read {
                tenants.fail(reported);
            }
        });
    }
}

/// Adds the tenants of one file.
fn read_one(
    path: &Path,
    tenants: &mut Tenants,
    report: &mut ConfigReport,
    world: &ReadContext<'_>,
    defaults: &Defaults,
) -> Result<(), Reported> {
    let advice = "split it into several files";
    let Content { bytes, exposed } = read_file(path, report, advice)?;
    let what = "a mapping with `tenants`";
    let document = Document::parse(&bytes, report)?;
    let Some(root) = document.root() else {
        return Err(report.error(None, "", expected(what, "nothing", "add `tenants:`")));
    };
    warn_of_placeholders(&root, report);
    let mut section = root.mapping(report, what)?.with_layout(LAYOUT);
    if !section.is_empty("tenants") {
        section.refuse_misplaced(report)?;
    }
    let value = section.require(report, "tenants", "a list of tenants");
    let world = ReadContext {
        folder: Some(path.parent().unwrap_or(Path::new(""))),
        ..*world
    };
    let inline = value.map(|value| tenants.add(&value, report, &world, defaults));
    section.finish(report);
    if exposed && inline? {
        warn_of_exposure(report);
    }
    Ok(())
}

/// What is known of the keys around those of a tenant file.
const LAYOUT: Layout = {
    let [of_tenant, of_credential] = tenant::BELOW_A_LIST;
    let of_file = (
        "it belongs to the configuration file: move it there",
        BESIDE_TENANTS,
    );
    Layout {
        sections: &["tenants"],
        elsewhere: &[of_tenant, of_file, of_credential],
        // For anchors.
        ignored: Some("x-"),
    }
};

#[cfg(test)]
mod tests;
