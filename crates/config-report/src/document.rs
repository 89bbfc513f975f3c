//! The text of a whole file.

use std::fmt;

use crate::mapping::Mapping;
use crate::report::{ConfigReport, Reported, expected};
use crate::tree::{self, Data, Node};
use crate::value::YamlValue;

/// A file that is YAML within the bounds. What is in it has not been judged yet.
pub struct Document {
    /// `None`: nothing is in it.
    root: Option<Node>,
}

/// Nothing of what is in it, which may be a secret.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").finish_non_exhaustive()
    }
}

impl Document {
    /// The largest text, in bytes: 1 MiB.
    pub const MAX_BYTES: usize = 1 << 20;
    /// How deep lists and mappings may nest.
    pub const MAX_DEPTH: usize = tree::MAX_DEPTH;
    /// How many values there may be. An alias counts as all that it repeats, and long text
    /// as one more for each 64 bytes.
    pub const MAX_NODES: usize = tree::MAX_NODES;

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`Reported`], if it is not UTF-8 or not YAML, exceeds a bound, or has tags or a
    /// second document.
    pub fn parse(text: &[u8], report: &mut ConfigReport) -> Result<Self, Reported> {
        let Ok(text) = std::str::from_utf8(text) else {
            let message = expected("UTF-8 text", "other bytes", "save the file as UTF-8");
            return Err(report.error(None, "", message));
        };
        if text.len() > Self::MAX_BYTES {
            return Err(Self::too_large(report, "name the right file"));
        }
        let root = tree::read(text)
            .map_err(|malformed| report.error(Some(malformed.line), "", malformed.message))?;
        let root = root.filter(|node| !matches!(node.data, Data::Null));
        Ok(Self { root })
    }

    /// Reports that the text exceeds [`Self::MAX_BYTES`], for whoever stops reading a file there;
    /// `advice` says what to do about it.
    pub fn too_large(report: &mut ConfigReport, advice: &str) -> Reported {
        let message = expected("at most 1 MiB", "a larger file", advice);
        report.error(None, "", message)
    }

    /// The value that the whole file is; `None` if nothing is in it.
    #[must_use]
    pub fn root(&self) -> Option<YamlValue<'_>> {
        self.root.as_ref().map(|node| YamlValue::new(node, ""))
    }

    /// The mapping that the whole file is, without any key if nothing is in it; `what` says
    /// what is expected.
    ///
    /// # Errors
    /// [`Reported`], if it is something else.
    pub fn mapping(&self, report: &mut ConfigReport, what: &str) -> Result<Mapping<'_>, Reported> {
        match self.root() {
            Some(root) => root.mapping(report, what),
            None => Ok(Mapping::new(&[], "", 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &[u8]) -> String {
        let mut report = ConfigReport::new("app.yml");
        let read = Document::parse(text, &mut report).map(drop);
        report.finish(read).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_such_text_is_refused() {
        assert_eq!(
            error(b"a: \xff"),
            "app.yml: expected UTF-8 text, but found other bytes; save the file as UTF-8"
        );
        assert_eq!(
            error(&vec![b'\n'; Document::MAX_BYTES + 1]),
            "app.yml: expected at most 1 MiB, but found a larger file; name the right file"
        );
        let form = error(b"a: 1\nb: ]");
        let start = "app.yml:2: expected YAML, but found a syntax error: ";
        assert!(form.starts_with(start), "{form}");
        assert_eq!(
            error(b"a: 1\n---\nb: 2"),
            "app.yml:2: expected one document, but found a second one; remove what follows `---`"
        );
        assert_eq!(
            error(b"\na: !b 1"),
            "app.yml:2: expected a value without a tag, but found a tag; remove the word that begins with `!`"
        );
    }

    #[test]
    fn an_empty_file_is_a_mapping_without_keys() {
        for text in ["", "\n", "# nothing\n", "---\n", "~\n"] {
            let mut report = ConfigReport::new("app.yml");
            let document = Document::parse(text.as_bytes(), &mut report).unwrap();
            assert!(document.root().is_none(), "{text:?}");
            let mut mapping = document.mapping(&mut report, "a mapping").unwrap();
            let missing = mapping.require(&mut report, "a", "a number").map(drop);
            mapping.finish(&mut report);
            assert_eq!(
                report.finish(missing).unwrap_err().to_string(),
                "app.yml:1: a: expected a number, but found nothing; add `a: …`"
            );
        }
    }
}
