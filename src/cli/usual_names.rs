//! Flags as other exporters name them, and what they are called here.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// How unknown flags begin, and what was likely meant.
const MEANT: [(&str, &str); 12] = [
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
];

/// The same error, with a better tip where there is one.
pub(super) fn explain(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let meant = MEANT.iter().find(|(start, _)| flag.starts_with(start));
    if let (ErrorKind::UnknownArgument, Some((_, tip))) = (error.kind(), meant) {
        error.remove(ContextKind::SuggestedArg);
        let tip = ContextValue::StyledStrs(vec![StyledStr::from(*tip)]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
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
        let other = Cli::read(["defender-scan-exporter", "--config.fil=x"]).unwrap_err();
        assert!(other.to_string().contains("--config.file"), "{other}");
    }
}
