//! The section `definitions`: which of them are published.

use config_report::{ConfigReport, Reported, YamlValue, excerpt, expected};
use regex::{Regex, RegexBuilder};

use super::{DefinitionFilter, Rule};
use crate::model::DefinitionId;

/// How large a compiled name pattern may become, in bytes.
const PATTERN_SIZE: usize = 1 << 20;

/// What the section says, and for the rest what `defaults` say.
pub(super) fn read(
    value: &YamlValue<'_>,
    report: &mut ConfigReport,
    defaults: &DefinitionFilter,
) -> Result<DefinitionFilter, Reported> {
    let mut section = value.mapping(report, "a mapping")?;
    let ids = match section.take("ids") {
        Some(value) => read_texts(&value, report, "a definition's id")
            .iter()
            .map(|(_, text)| DefinitionId::new(text.trim()))
            .collect(),
        None => defaults.ids.clone(),
    };
    let include = section.take("include");
    let exclude = section.take("exclude");
    for rule in [&include, &exclude].into_iter().flatten() {
        if !ids.is_empty() {
            let text = "has no effect, because `ids` names the definitions; remove one of them";
            rule.warn(report, text);
        }
    }
    let mut rule = |value: Option<YamlValue<'_>>, default: &Rule| match value {
        Some(value) => read_rule(&value, report),
        None => default.clone(),
    };
    let include = rule(include, &defaults.include);
    let exclude = rule(exclude, &defaults.exclude);
    let inactive = section.take("inactive");
    let inactive = inactive.map_or(Ok(defaults.inactive), |value| value.boolean(report));
    let limit = match section.take("limit") {
        Some(value) => value
            .whole_number(report, 0..=10_000_000)
            .map(|limit| match limit {
                0 => usize::MAX,
                limit => limit,
            }),
        None => Ok(defaults.limit),
    };
    section.finish(report);
    Ok(DefinitionFilter {
        ids,
        include,
        exclude,
        inactive: inactive?,
        limit: limit?,
    })
}

fn read_rule(value: &YamlValue<'_>, report: &mut ConfigReport) -> Rule {
    let Ok(mut section) = value.mapping(report, "a mapping with `scan_types` or `names`") else {
        return Rule::default();
    };
    let scan_types = section.take("scan_types").map_or_else(Vec::new, |value| {
        read_texts(&value, report, "a scan type such as `Network`")
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    });
    let mut names = Vec::new();
    if let Some(value) = section.take("names") {
        for (item, text) in read_texts(&value, report, "a regular expression") {
            match anchored(&text) {
                Ok(pattern) => {
                    if is_glob(&text) {
                        let text = "looks like a file name pattern, but is a regular expression, in which `*` repeats the character before it; write `.*` for any characters";
                        item.warn(report, text);
                    }
                    names.push(pattern);
                }
                Err(reason) => {
                    let found = format!("{}: {reason}", excerpt(&text));
                    let advice = "correct it; escape special characters with `\\`";
                    item.error(report, expected("a regular expression", &found, advice));
                }
            }
        }
    }
    section.finish(report);
    Rule {
        scan_types,
        names: names.into(),
    }
}

/// Whether `*` is the only special character, and repeats a letter, a digit or a space.
fn is_glob(pattern: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    pattern.contains('*') && pattern.chars().all(|c| c == '*' || is_plain(c))
}

/// What stands around a pattern that matches whole names only.
const ANCHORS: [&str; 2] = ["^(?:", ")$"];

/// The pattern as the configuration has it.
pub(super) fn without_anchors(anchored: &Regex) -> &str {
    let [before, after] = ANCHORS;
    let text = anchored.as_str();
    let inside = text.strip_prefix(before);
    inside
        .and_then(|text| text.strip_suffix(after))
        .unwrap_or(text)
}

/// `pattern`, to match whole names only. It must be one on its own: `a)(b` is not.
fn anchored(pattern: &str) -> Result<Regex, String> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_SIZE).build();
    let [before, after] = ANCHORS;
    build(pattern)
        .and_then(|_| build(&format!("{before}{pattern}{after}")))
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            other => {
                // The message draws the pattern and ends with the reason.
                let text = other.to_string();
                let reason = text.lines().last().unwrap_or_default();
                reason.trim_start_matches("error: ").to_owned()
            }
        })
}

fn read_texts<'n>(
    value: &YamlValue<'n>,
    report: &mut ConfigReport,
    what: &str,
) -> Vec<(YamlValue<'n>, String)> {
    let mut texts = Vec::new();
    for item in value.list(report, "a list").unwrap_or_default() {
        let advice = "write 1 to 256 characters, or remove it";
        let parse = |text: &str| (1..=256).contains(&text.len()).then(|| text.to_owned());
        if let Ok(text) = item.parse(report, what, advice, parse) {
            texts.push((item, text));
        }
    }
    texts
}
