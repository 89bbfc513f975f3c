//! YAML text → a tree whose nodes know their lines.
//!
//! The tree is built from the parser's events, without recursion and within
//! bounds on depth and size, so that no file, however odd, exhausts memory or
//! stack. Scalars stay text: what type they have to be is known to who reads them.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::report::expected;

/// How deep lists and mappings may nest.
pub(crate) const MAX_DEPTH: usize = 32;
/// How many nodes a file may have; what anchors and aliases repeat counts by [`Node::size`].
pub(crate) const MAX_NODES: usize = 100_000;

/// A value and the line on which it starts. Without `Debug`: it may hold a secret.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) data: Data,
}

#[derive(Clone)]
pub(crate) enum Data {
    /// Nothing, `~` or `null`.
    Null,
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) value: Node,
}

impl Node {
    /// What a person would call it.
    pub(crate) fn kind(&self) -> &'static str {
        match self.data {
            Data::Null => "nothing",
            Data::Text(_) => "a single value",
            Data::List(_) => "a list",
            Data::Mapping(_) => "a mapping",
        }
    }

    /// What it costs to repeat it: its nodes, and its text in units of 64 bytes.
    fn size(&self) -> usize {
        1 + match &self.data {
            Data::Null => 0,
            Data::Text(text) => text.len() / 64,
            Data::List(items) => items.iter().map(Self::size).sum(),
            Data::Mapping(entries) => entries
                .iter()
                .map(|entry| entry.key.len() / 64 + entry.value.size())
                .sum(),
        }
    }
}

/// Why a text is not a tree, and on which line.
pub(crate) struct Malformed {
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// Reads the one document of `text`; `None` if there is none.
///
/// # Errors
/// [`Malformed`], if it is not YAML or exceeds the bounds.
pub(crate) fn read(text: &str) -> Result<Option<Node>, Malformed> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.event(event, span.start.line())?,
            Err(error) => {
                let (line, found, advice) = explain(error.info(), text, error.marker().line());
                return malformed(line, "YAML", &found, advice);
            }
        }
    }
    Ok(builder.root)
}

/// Where the mistake is that the parser noticed in `line`, what it is, and what to do about it. The
/// parser notices some a line too late.
fn explain(info: &str, text: &str, line: usize) -> (usize, String, &'static str) {
    let lines: Vec<&str> = text.lines().collect();
    let of = |number: usize| {
        lines
            .get(number.wrapping_sub(1))
            .copied()
            .unwrap_or_default()
    };
    let near = [line, line.saturating_sub(1), line + 1];
    let has = |wanted: fn(&str) -> bool| near.into_iter().find(|number| wanted(of(*number)));
    if let Some(line) = has(|line| line.contains('\t')) {
        let found = "a tab".to_owned();
        return (line, found, "replace it with spaces");
    }
    if let Some(line) = has(|line| line.contains(is_invisible)) {
        let found = "a non-breaking or other unusual space".to_owned();
        return (line, found, "replace it with a plain space");
    }
    if info.contains("simple key expect") {
        let is_text = |number: &usize| {
            let line = of(*number).trim();
            !line.is_empty() && !line.starts_with('#')
        };
        let line = (1..line).rev().find(is_text).unwrap_or(line);
        let found = "a line without a key and a value".to_owned();
        return (
            line,
            found,
            "write `key: value`, with a space after the colon",
        );
    }
    // As saphyr's parser words it; what it words otherwise gets the last one.
    let known = [
        (
            "expected '-' indicator",
            "align this line with the first key after `- `",
        ),
        (
            "mapping values are not allowed",
            "align this line with those of the same section, and write a space after each colon",
        ),
        ("in quoted scalar", "close the quote on the previous line"),
        ("unexpected character", "put the value in quotes"),
        (
            "alphabetic or numeric character",
            "put the value in quotes if it begins with `*` or `&`",
        ),
        (
            "escape character",
            "put the value in single quotes, in which a backslash stands for itself",
        ),
        (
            "unknown anchor",
            "define it above with `&`, or write the value out",
        ),
    ];
    let known = known.iter().find(|(words, _)| info.contains(words));
    let advice = known.map_or("fix this or the previous line", |(_, advice)| *advice);
    (line, format!("a syntax error: {info}"), advice)
}

/// Blanks that editors and web pages put in place of a space.
fn is_invisible(c: char) -> bool {
    !c.is_ascii() && (c.is_whitespace() || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}'))
}

/// A list or mapping that has not ended yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value is next, in a mapping.
    key: Option<(usize, String)>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), Malformed> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return malformed(
                        line,
                        "one document",
                        "a second one",
                        "remove what follows `---`",
                    );
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.is_some(), line)?;
                let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null");
                let data = if null {
                    Data::Null
                } else {
                    Data::Text(text.into_owned())
                };
                self.put(Node { line, data }, anchor)?;
            }
            Event::Alias(anchor) => {
                let Some(size) = self.anchors.get(&anchor).map(Node::size) else {
                    return malformed(
                        line,
                        "an alias of an anchor above",
                        "one of an anchor that is still open",
                        "write the value out",
                    );
                };
                self.count(size, line)?;
                if let Some(node) = self.anchors.get(&anchor).cloned() {
                    self.put(node, 0)?;
                }
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.is_some(), line)?;
                self.begin(Data::List(Vec::new()), anchor, line)?;
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.is_some(), line)?;
                self.begin(Data::Mapping(Vec::new()), anchor, line)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.put(open.node, open.anchor)?;
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(&mut self, data: Data, anchor: usize, line: usize) -> Result<(), Malformed> {
        if self.open.len() >= MAX_DEPTH {
            return malformed(
                line,
                &format!("at most {MAX_DEPTH} levels of nesting"),
                "more",
                "nest lists and mappings less deeply",
            );
        }
        self.open.push(Open {
            node: Node { line, data },
            anchor,
            key: None,
        });
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Malformed> {
        let line = node.line;
        self.count(1, line)?;
        if anchor > 0 {
            self.count(node.size(), line)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut parent.node.data {
            Data::List(items) => items.push(node),
            Data::Mapping(entries) => match (parent.key.take(), node.data) {
                (Some((line, key)), data) => {
                    let value = Node {
                        line: node.line,
                        data,
                    };
                    entries.push(Entry { line, key, value });
                }
                (None, Data::Text(key)) => parent.key = Some((line, key)),
                (None, _) => {
                    return malformed(
                        line,
                        "a name as the key",
                        "a list, a mapping or nothing",
                        "write `key: value`",
                    );
                }
            },
            Data::Null | Data::Text(_) => {}
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Malformed> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return malformed(
                line,
                &format!("at most {MAX_NODES} values"),
                "more",
                "remove anchors and aliases that multiply values",
            );
        }
        Ok(())
    }
}

fn refuse_tag(tagged: bool, line: usize) -> Result<(), Malformed> {
    if tagged {
        return malformed(
            line,
            "a value without a tag",
            "a tag",
            "remove the word that begins with `!`",
        );
    }
    Ok(())
}

fn malformed<T>(line: usize, what: &str, found: &str, advice: &str) -> Result<T, Malformed> {
    let message = expected(what, found, advice);
    Err(Malformed { line, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_cannot_be_multiplied() {
        let long = "x".repeat(500_000);
        let text = format!("a: &a {long}\nb: [{}]", "*a,".repeat(50_000));
        let malformed = read(&text).err().unwrap();
        assert_eq!(malformed.line, 2);
        assert!(malformed.message.contains("anchors and aliases"));
    }

    #[test]
    fn depth_is_bounded() {
        let malformed = read(&"[".repeat(40)).err().unwrap();
        let message = malformed.message;
        assert!(message.contains("32 levels"), "{message}");
    }

    #[test]
    fn the_oddest_files_exhaust_neither_memory_nor_stack() {
        for piece in [
            "[", "{", "- ", "? ", "a,", "- a\n", "[a,", "&a ", "!a ", "'",
        ] {
            let _ = read(&piece.repeat((1 << 20) / piece.len()));
        }
    }
}
