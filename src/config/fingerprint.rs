//! What all files of a configuration hold at a moment, to notice that it changed.

use std::path::Path;

use config_report::{ConfigReport, Document};
use exporter_toolkit::small_file;
use ring::digest::{Context, SHA256};

use super::tenant_files::{self, FilePattern};

/// A digest of the configuration file and of all that match its `tenant_files`: of their names and
/// contents, as these may be secrets. `None`, if the configuration file cannot be read.
#[must_use]
pub fn fingerprint(path: &Path) -> Option<[u8; 32]> {
    let limit = Document::MAX_BYTES as u64;
    let main = small_file::blocking_read(path, limit).ok()?.bytes;
    let mut digest = Context::new(&SHA256);
    let mut add = |bytes: &[u8]| {
        digest.update(&bytes.len().to_le_bytes());
        digest.update(bytes);
    };
    add(&main);
    let folder = path.parent().unwrap_or(Path::new(""));
    match tenant_files::find(patterns(&main), folder) {
        Ok(found) => {
            for file in found.files {
                add(file.as_os_str().as_encoded_bytes());
                match small_file::blocking_read(&file, limit) {
                    Ok(content) => add(&content.bytes),
                    Err(error) => add(error.to_string().as_bytes()),
                }
            }
        }
        Err(error) => add(error.to_string().as_bytes()),
    }
    digest.finish().as_ref().try_into().ok()
}

/// The patterns in a configuration file; none, if it cannot be read as one.
fn patterns(main: &[u8]) -> Vec<FilePattern> {
    let key = "tenant_files";
    // Most files have none, and then are not read once more.
    if !main.windows(key.len()).any(|part| part == key.as_bytes()) {
        return Vec::new();
    }
    let mut report = ConfigReport::new("");
    let document = Document::parse(main, &mut report);
    let patterns = document.and_then(|document| {
        let mut section = document.mapping(&mut report, "")?;
        let value = section.require(&mut report, key, "")?;
        let patterns = FilePattern::read_all(&value, &mut report)?;
        Ok(patterns.into_iter().map(|(_, pattern)| pattern).collect())
    });
    patterns.unwrap_or_default()
}
