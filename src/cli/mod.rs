//! The command line: flags named as Prometheus exporters name them, each also
//! an environment variable. No subcommand runs the exporter.

pub mod commands;
mod environment;
pub mod printable;
pub mod stderr;
mod usual_names;

use std::ffi::OsString;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use exporter_toolkit::flags::{MetricsFlags, WebFlags, with_environment};
use thiserror::Error;
use url::Url;

use crate::model::TenantName;
use crate::polling::shard::{Shard, ShardError};
use crate::web::CONFIG;
use crate::web::DEFINITION;

/// The port that is listened on by default.
const PORT: u16 = 10063;

static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} (revision {}, rustc {})",
        env!("CARGO_PKG_VERSION"),
        option_env!("DEFENDER_EXPORTER_REVISION").unwrap_or("unknown"),
        option_env!("DEFENDER_EXPORTER_RUSTC_VERSION").unwrap_or("unknown"),
    )
});

/// The configuration file that the container image names.
pub const DEFAULT_FILE: &str = "/etc/defender-scan-exporter/exporter.yml";

/// Prometheus exporter for the authenticated scans of Microsoft Defender for Endpoint.
#[derive(Clone, Debug, Parser)]
#[command(name = "defender-scan-exporter", version = VERSION.as_str())]
pub struct Cli {
    /// Flags of all commands.
    #[command(flatten)]
    pub flags: Flags,
    /// What to do instead of running the exporter.
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// Reads the arguments, the program's name first.
    ///
    /// # Errors
    /// `clap`'s own, which also stands for `--help` and `--version`.
    pub fn read<I>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator,
        I::Item: Into<OsString> + Clone,
    {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let matches = command().try_get_matches_from(&arguments);
        let listens_by_default = matches.as_ref().is_ok_and(|matches| {
            matches.value_source("web.listen-address") == Some(ValueSource::DefaultValue)
        });
        let mut cli = matches
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| environment::name_the_variable(error, &arguments))
            .map_err(|error| usual_names::explain(error, &arguments))?;
        // A demo has no password, and nobody but its user needs it.
        if listens_by_default
            && matches!(cli.command, Some(Command::Demo(_)))
            && let Ok(address) = format!("127.0.0.1:{PORT}").parse()
        {
            cli.flags.web.listen_addresses = vec![address];
        }
        let empty = |path: &mut PathBuf| path.as_os_str().is_empty();
        cli.flags.config_file.take_if(empty);
        let named = cli.flags.config_file.is_some()
            || cli.flags.web.config_file.is_some()
            || variables_name_a_tenant();
        if matches!(cli.command, Some(Command::CheckConfig { .. })) && !named {
            let text = "expected `--config.file` or `--web.config.file`, but found neither; name the file to check";
            return Err(Self::command().error(ErrorKind::MissingRequiredArgument, text));
        }
        let path = cli.flags.metrics.telemetry_path.as_str();
        if let Some(taken) = [CONFIG, DEFINITION]
            .into_iter()
            .find(|taken| *taken == path)
        {
            let error = FlagError::TelemetryPath(taken);
            return Err(Self::command().error(ErrorKind::ValueValidation, error));
        }
        if let Err(error) = cli.flags.shard() {
            return Err(Self::command().error(ErrorKind::ValueValidation, error));
        }
        Ok(cli)
    }
}

/// The definition, where an empty variable of the environment is one that is not set:
/// charts and compose files pass those on. An empty folder for the state says something.
fn command() -> clap::Command {
    with_environment(Cli::command(), "DEFENDER_EXPORTER").mut_args(|argument| {
        let value = argument.get_env().and_then(std::env::var_os);
        if argument.get_id() != "storage_path" && value.is_some_and(|value| value.is_empty()) {
            argument.env(None)
        } else {
            argument
        }
    })
}

/// Flags that stand before or after a subcommand.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Flags for all commands")]
pub struct Flags {
    /// Configuration file; without one, a single tenant is read from `AZURE_TENANT_ID` and related variables
    #[arg(long = "config.file", value_name = "FILE", global = true)]
    #[arg(env = "DEFENDER_EXPORTER_CONFIG_FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub config_file: Option<PathBuf>,

    /// How often to check the configuration file for changes, and reload it if it has changed; 0s: never
    #[arg(
        long = "config.auto-reload-interval",
        value_name = "DURATION",
        global = true
    )]
    #[arg(env = "DEFENDER_EXPORTER_CONFIG_AUTO_RELOAD_INTERVAL")]
    #[arg(default_value = "0s", value_parser = auto_reload_interval)]
    pub auto_reload_interval: Duration,

    /// Where to listen, and who may come in.
    #[command(flatten)]
    pub web: WebFlags<PORT>,

    /// How metrics are served.
    #[command(flatten)]
    pub metrics: MetricsFlags,

    /// Allow reloading the configuration with `POST /-/reload`
    #[arg(long = "web.enable-lifecycle", global = true)]
    #[arg(env = "DEFENDER_EXPORTER_WEB_ENABLE_LIFECYCLE")]
    pub enable_lifecycle: bool,

    /// Number of this shard, counting from 0 [default: 0 if there is only one]
    #[arg(long = "shard", value_name = "N", global = true)]
    #[arg(env = "DEFENDER_EXPORTER_SHARD")]
    pub shard: Option<u32>,

    /// Total number of shards
    #[arg(long = "total-shards", value_name = "N", global = true)]
    #[arg(env = "DEFENDER_EXPORTER_TOTAL_SHARDS", default_value_t = 1)]
    pub total_shards: u32,

    /// Folder for the state that must survive a restart; empty: in memory [default: ./data; demo: a temporary one]
    #[arg(long = "storage.path", value_name = "FOLDER", global = true)]
    #[arg(env = "DEFENDER_EXPORTER_STORAGE_PATH", value_parser = storage)]
    pub storage_path: Option<Storage>,

    /// Minimum level of messages to log
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        global = true,
        value_enum,
        ignore_case = true
    )]
    #[arg(env = "DEFENDER_EXPORTER_LOG_LEVEL", default_value = "info")]
    pub log_level: LogLevel,

    /// Format of the log
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        global = true,
        value_enum,
        ignore_case = true
    )]
    #[arg(env = "DEFENDER_EXPORTER_LOG_FORMAT", default_value = "logfmt")]
    pub log_format: LogFormat,
}

impl Flags {
    /// The configuration file, if there is to be one: the [`DEFAULT_FILE`] that the image names
    /// may be absent where Azure's variables take its place.
    #[must_use]
    pub fn config_file(&self) -> Option<&Path> {
        let file = self.config_file.as_deref()?;
        // What is there but cannot be read is a mistake as anywhere else.
        let absent = file == Path::new(DEFAULT_FILE)
            && matches!(file.symlink_metadata(), Err(error) if error.kind() == IoErrorKind::NotFound);
        (!absent || !variables_name_a_tenant()).then_some(file)
    }

    /// Whose tenants are polled.
    ///
    /// # Errors
    /// [`ShardError`], if there is no such shard.
    pub fn shard(&self) -> Result<Shard, ShardError> {
        Shard::new(self.shard, self.total_shards)
    }
}

/// Whether Azure's variables take the place of a configuration file.
#[must_use]
pub fn variables_name_a_tenant() -> bool {
    let variables = ["AZURE_TENANT_ID", "AZURE_CLIENT_ID"].map(std::env::var_os);
    let is_set = |value: &Option<OsString>| value.as_ref().is_some_and(|value| !value.is_empty());
    variables.iter().all(is_set)
}

/// What the demo simulates.
#[derive(Clone, Debug, clap::Args)]
pub struct Demo {
    /// Number of scan definitions per tenant
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub definitions: u32,
    /// Number of tenants
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub tenants: u32,
    /// How many times faster than real time the simulated world runs
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub speed: u32,
    /// Make every fourth API call fail in some way, in an order determined by the seed
    #[arg(long, value_name = "SEED", num_args = 0..=1, default_missing_value = "1")]
    pub chaos: Option<u64>,
}

/// What to do instead of running the exporter.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the exporter against a simulated Defender API; no setup needed
    Demo(Demo),
    /// Check sign-in, permissions and the API for each tenant, with at most 4 calls per tenant
    Check {
        /// Check only this tenant
        #[arg(long, value_name = "NAME", value_parser = |name: &str| Ok::<_, FlagError>(TenantName::new(name)))]
        tenant: Option<TenantName>,
        /// Output format, for people or for scripts
        #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
        output: Output,
    },
    /// Check the configuration files and the files that they name, without using the network
    CheckConfig {
        /// Output format, for people or for scripts
        #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
        output: Output,
    },
    /// Print reference documentation
    Docs {
        /// What to print
        #[arg(value_enum)]
        topic: Topic,
    },
    /// Print a shell completion script
    Completions {
        /// Shell to print the script for
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Ask a running exporter whether it is healthy; the exit code is 0 or 1
    Healthcheck {
        /// URL of its health endpoint
        #[arg(long, default_value = "http://127.0.0.1:10063/-/healthy")]
        url: Url,
    },
}

/// How `check` and `check-config` report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people
    Text,
    /// One JSON object
    Json,
}

/// What `docs` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Topic {
    /// All metrics, with types, units and labels, in Markdown
    Metrics,
    /// A JSON Schema for the configuration file, for editors
    Schema,
    /// The manual page, for `man`
    Man,
}

/// Least severe messages that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Every call to the API
    Debug,
    /// Changes
    Info,
    /// What may need attention
    Warn,
    /// What needs attention
    Error,
}

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `key=value` pairs
    Logfmt,
    /// One JSON object per line
    Json,
}

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Nowhere: a restart forgets the budget.
    Memory,
    /// In this folder.
    Folder(PathBuf),
}

// The signature is clap's.
#[allow(clippy::unnecessary_wraps)]
fn storage(text: &str) -> Result<Storage, FlagError> {
    Ok(match text {
        "" => Storage::Memory,
        path => Storage::Folder(path.into()),
    })
}

/// Zero, or a time that is worth waiting for.
fn auto_reload_interval(text: &str) -> Result<Duration, FlagError> {
    let interval = humantime::parse_duration(text).ok();
    interval
        .filter(|interval| interval.is_zero() || *interval >= Duration::from_secs(1))
        .ok_or(FlagError::AutoReloadInterval)
}

/// Why a flag's value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FlagError {
    /// No duration, or one below a second.
    #[error(
        "expected a duration of 1s or more, or 0s for never, but found something else; write, for example, `30s`"
    )]
    AutoReloadInterval,
    /// A path that the exporter needs itself.
    #[error(
        "expected a `--web.telemetry-path` such as `/metrics`, but found `{0}`, which the exporter serves itself; choose another"
    )]
    TelemetryPath(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let program = ["defender-scan-exporter"];
        Cli::read(program.iter().chain(arguments))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_given_gives_the_documented_defaults() {
        let cli = read(&[]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.flags.web.listen_addresses, [":10063".parse().unwrap()]);
        assert_eq!(cli.flags.metrics.telemetry_path.as_str(), "/metrics");
        assert_eq!(cli.flags.metrics.max_requests, 40);
        assert_eq!(cli.flags.auto_reload_interval, Duration::ZERO);
        assert_eq!(cli.flags.log_level, LogLevel::Info);
        assert_eq!(cli.flags.log_format, LogFormat::Logfmt);
    }

    #[test]
    fn a_path_that_is_taken_is_named() {
        for taken in [CONFIG, DEFINITION] {
            let error = read(&["--web.telemetry-path", taken]).unwrap_err();
            let found = format!("found `{taken}`, which the exporter serves itself");
            assert!(error.to_string().contains(&found), "{error}");
        }
    }

    #[test]
    fn flags_stand_before_or_after_a_subcommand() {
        for arguments in [
            ["--config.file=f", "--web.listen-address=:1", "check-config"],
            ["check-config", "--config.file=f", "--web.listen-address=:1"],
        ] {
            let cli = read(&arguments).unwrap();
            assert_eq!(cli.flags.config_file, Some("f".into()));
            assert_eq!(cli.flags.web.listen_addresses, [":1".parse().unwrap()]);
        }
    }

    #[test]
    fn levels_and_formats_are_read_in_any_case() {
        let cli = read(&["--log.level=WARN", "--log.format=Json"]).unwrap();
        assert_eq!(cli.flags.log_level, LogLevel::Warn);
        assert_eq!(cli.flags.log_format, LogFormat::Json);
    }

    #[test]
    fn the_demo_listens_on_loopback_unless_told_otherwise() {
        let addresses = |arguments: &[&str]| read(arguments).unwrap().flags.web.listen_addresses;
        assert_eq!(addresses(&["demo"]), ["127.0.0.1:10063".parse().unwrap()]);
        for arguments in [
            ["demo", "--web.listen-address=:10063"],
            ["--web.listen-address=:10063", "demo"],
        ] {
            assert_eq!(addresses(&arguments), [":10063".parse().unwrap()]);
        }
    }

    #[test]
    fn a_subcommands_own_flags_come_first() {
        let help = read(&["check", "--help"]).unwrap_err().to_string();
        let place = |words| {
            help.find(words)
                .unwrap_or_else(|| panic!("{words}: {help}"))
        };
        assert!(place("--tenant") < place("Flags for all commands:"));
        assert!(place("Flags for all commands:") < place("--config.file"));
    }

    #[test]
    fn an_empty_storage_path_means_memory() {
        let storage = |arguments: &[&str]| read(arguments).unwrap().flags.storage_path;
        assert_eq!(storage(&["--storage.path="]), Some(Storage::Memory));
        assert_eq!(
            storage(&["--storage.path=x"]),
            Some(Storage::Folder("x".into()))
        );
        assert_eq!(storage(&[]), None);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for arguments in [
            &["check-config"][..],
            &["--web.telemetry-path=metrics"],
            &["--web.telemetry-path=/definition"],
            &["--web.telemetry-path=/-/healthy"],
            &["--config.auto-reload-interval=soon"],
            &["--config.auto-reload-interval=999ms"],
            &["--shard=1"],
            &["--total-shards=2"],
            &["--total-shards=0"],
            &["demo", "--speed=0"],
            &["docs"],
        ] {
            assert!(read(arguments).is_err(), "{arguments:?}");
        }
    }
}
