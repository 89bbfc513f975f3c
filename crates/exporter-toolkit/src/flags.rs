//! Flags, named as Prometheus' exporters name them, to flatten into a `clap` command.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Command};

use crate::listen::ListenAddress;
use crate::metrics::TelemetryPath;

/// Where an exporter listens, by default on `PORT`, and how it protects itself.
///
/// The flags may stand before or after a subcommand.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct WebFlags<const PORT: u16> {
    /// Address to listen on; can be given multiple times
    #[arg(
        id = "web.listen-address",
        long = "web.listen-address",
        value_name = "ADDRESS"
    )]
    #[arg(value_delimiter = ',', default_value = format!(":{PORT}"), global = true)]
    pub listen_addresses: Vec<ListenAddress>,

    /// File with TLS, passwords and headers, in the format of Prometheus' exporter-toolkit
    #[arg(
        id = "web.config.file",
        long = "web.config.file",
        value_name = "FILE",
        global = true
    )]
    #[arg(default_value = "", hide_default_value = true)]
    #[arg(value_parser = OsStringValueParser::new().map(named))]
    // By its whole path, so that clap asks the parser for all of it: an empty text is no file.
    pub config_file: std::option::Option<PathBuf>,

    /// Listen on the sockets passed by systemd, instead of on addresses
    #[arg(id = "web.systemd-socket", long = "web.systemd-socket", global = true)]
    pub systemd_socket: bool,
}

/// How metrics are served.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct MetricsFlags {
    /// Path under which metrics are served
    #[arg(
        id = "web.telemetry-path",
        long = "web.telemetry-path",
        value_name = "PATH"
    )]
    #[arg(default_value = "/metrics", global = true)]
    pub telemetry_path: TelemetryPath,

    /// Maximum number of scrapes served at once; 0: no limit
    #[arg(
        id = "web.max-requests",
        long = "web.max-requests",
        value_name = "N",
        global = true
    )]
    #[arg(default_value_t = 40)]
    pub max_requests: usize,
}

fn named(path: std::ffi::OsString) -> Option<PathBuf> {
    (!path.is_empty()).then(|| path.into())
}

/// The command with an environment variable for each flag that has none: with the prefix
/// `ROOM_EXPORTER`, `ROOM_EXPORTER_WEB_CONFIG_FILE` for `--web.config.file`. One that is
/// empty counts as unset, since compose files and charts pass those on.
#[must_use]
pub fn with_environment(command: Command, prefix: &str) -> Command {
    command.mut_args(|argument| {
        let Some(flag) = argument.get_long().filter(|_| argument.get_env().is_none()) else {
            return argument;
        };
        let flag = flag.replace(['.', '-'], "_").to_ascii_uppercase();
        let name = format!("{prefix}_{flag}");
        if std::env::var_os(&name).is_some_and(|value| value.is_empty()) {
            return argument;
        }
        argument.env(name)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Room {
        #[command(flatten)]
        web: WebFlags<9100>,
        #[command(flatten)]
        metrics: MetricsFlags,
        #[command(flatten)]
        other: Other,
    }

    /// Its own flags have names that ours have too.
    #[derive(Args, Debug)]
    struct Other {
        #[arg(long = "config.file")]
        config_file: Option<PathBuf>,
    }

    #[derive(Debug, Parser)]
    struct Kitchen {
        #[command(flatten)]
        web: WebFlags<9200>,
    }

    fn read(arguments: &[&str]) -> Room {
        Room::try_parse_from([&["room"], arguments].concat()).unwrap()
    }

    #[test]
    fn each_exporter_has_its_own_port() {
        let port = |web: &[ListenAddress]| web[0].to_string();
        assert_eq!(port(&read(&[]).web.listen_addresses), ":9100");
        let kitchen = Kitchen::parse_from(["kitchen"]);
        assert_eq!(port(&kitchen.web.listen_addresses), ":9200");
        let two = read(&["--web.listen-address=:1,:2", "--web.listen-address=[::1]:3"]);
        assert_eq!(two.web.listen_addresses.len(), 3);
    }

    #[test]
    fn an_empty_file_is_none() {
        assert_eq!(read(&[]).web.config_file, None);
        assert_eq!(read(&["--web.config.file="]).web.config_file, None);
        let named = read(&["--web.config.file=x", "--config.file=y"]);
        assert_eq!(named.web.config_file, Some("x".into()));
        assert_eq!(named.other.config_file, Some("y".into()));
    }

    #[test]
    fn defaults_and_variables_are_those_of_exporters() {
        let room = read(&[]);
        assert_eq!(room.metrics.telemetry_path.as_str(), "/metrics");
        assert_eq!(
            (room.metrics.max_requests, room.web.systemd_socket),
            (40, false)
        );
        let command = with_environment(<Room as clap::CommandFactory>::command(), "ROOM");
        let variables = command.get_arguments().filter_map(clap::Arg::get_env);
        let variables: Vec<_> = variables.filter_map(|name| name.to_str()).collect();
        assert_eq!(
            variables,
            [
                "ROOM_WEB_LISTEN_ADDRESS",
                "ROOM_WEB_CONFIG_FILE",
                "ROOM_WEB_SYSTEMD_SOCKET",
                "ROOM_WEB_TELEMETRY_PATH",
                "ROOM_WEB_MAX_REQUESTS",
                "ROOM_CONFIG_FILE",
            ]
        );
    }
}
