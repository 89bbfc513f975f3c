//! Flags and subcommands as other programs name them, and what they are called here.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// How unknown flags and subcommands begin, and what was likely meant.
const MEANT: [(&str, &str); 18] = [
    (
        "--config.check",
        "to check the configuration, run `check-config`",
    ),
    (
        "--config-check",
        "to check the configuration, run `check-config`",
    ),
    (
        "--check-config",
        "to check the configuration, run `check-config`",
    ),
    ("--check", "to check sign-in and permissions, run `check`"),
    (
        "--dry-run",
        "to check the configuration, run `check-config`",
    ),
    ("--test", "to check the configuration, run `check-config`"),
    (
        "--port",
        "to choose the port, use `--web.listen-address=:PORT`",
    ),
    (
        "--web.port",
        "to choose the port, use `--web.listen-address=:PORT`",
    ),
    (
        "--listen",
        "to choose the address, use `--web.listen-address`",
    ),
    ("--verbose", "to log more, use `--log.level=debug`"),
    ("--debug", "to log more, use `--log.level=debug`"),
    ("--demo", "to run the demo, use the subcommand `demo`"),
    ("run", "to run the exporter, omit the subcommand"),
    ("start", "to run the exporter, omit the subcommand"),
    ("serve", "to run the exporter, omit the subcommand"),
    ("version", "to show the version, use `--version`"),
    ("config", "to check the configuration, run `check-config`"),
    ("validate", "to check the configuration, run `check-config`"),
];

/// The same error, with a better tip where there is one.
pub(super) fn explain(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let kind = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    let Some(ContextValue::String(found)) = error.get(kind) else {
        return error;
    };
    if let Some(tip) = tip(found, arguments) {
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::SuggestedSubcommand);
        let tip = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

fn tip(found: &str, arguments: &[OsString]) -> Option<String> {
    if [".yml", ".yaml"].iter().any(|end| found.ends_with(end)) {
        return Some(format!(
            "to name the configuration file, use `--config.file={found}`"
        ));
    }
    let usual = MEANT.iter().find(|(start, _)| found.starts_with(start));
    if let Some((_, tip)) = usual {
        return Some((*tip).to_owned());
    }
    if !found.starts_with('-') || found.starts_with("--") {
        return None;
    }
    // An older style, in which one dash begins a whole word: `clap` names its first letter.
    let mut words = arguments.iter().filter_map(|argument| argument.to_str());
    let word = words.find(|word| word.len() > 2 && word.starts_with(found))?;
    let (word, _) = word.split_once('=').unwrap_or((word, ""));
    Some(format!("flags begin with two dashes: `-{word}`"))
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use super::MEANT;

    #[test]
    fn tips_name_what_is_here() {
        for (flag, tip) in MEANT {
            let error = Cli::read(["defender-scan-exporter", flag])
                .unwrap_err()
                .to_string();
            assert_eq!(error.matches("tip: ").count(), 1, "{error}");
            assert!(error.contains(&format!("tip: {tip}")), "{error}");
        }
        for (arguments, tip) in [
            (&["-config.file=x"][..], "two dashes: `--config.file`"),
            (&["-log.level", "debug"], "two dashes: `--log.level`"),
            (&["exporter.yml"], "`--config.file=exporter.yml`"),
            (&["config.yml"], "`--config.file=config.yml`"),
            (&["check", "./a.yaml"], "`--config.file=./a.yaml`"),
        ] {
            let all = ["defender-scan-exporter"].iter().chain(arguments);
            let error = Cli::read(all).unwrap_err().to_string();
            assert_eq!(error.matches("tip: ").count(), 1, "{error}");
            assert!(error.contains(tip), "{error}");
        }
        let other = Cli::read(["defender-scan-exporter", "--config.fil=x"]).unwrap_err();
        assert!(other.to_string().contains("--config.file"), "{other}");
    }
}
