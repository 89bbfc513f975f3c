//! Errors of values that the environment gave: they name the variable, as whoever reads them
//! may never have written the flag.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::command;

/// The same error, but with the environment variable beside the flag if the value is its.
pub(super) fn name_the_variable(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let command = command();
    if error.kind() == ErrorKind::InvalidUtf8 {
        return not_text(&command, arguments).unwrap_or(error);
    }
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let Some((flag, variable)) = variable(&command, |flag| {
        let rest = shown.strip_prefix(flag);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '=']))
    }) else {
        return error;
    };
    if arguments.iter().any(|argument| is_flag(argument, &flag)) {
        return error;
    }
    let shown = format!("{shown} (from the environment variable {variable})");
    error.insert(ContextKind::InvalidArg, ContextValue::String(shown));
    error
}

/// The flag that `wanted` accepts, and its variable.
fn variable(command: &Command, wanted: impl Fn(&str) -> bool) -> Option<(String, String)> {
    let mut flags = command.get_arguments().filter_map(flag_and_variable);
    flags.find(|(flag, _)| wanted(flag))
}

fn flag_and_variable(argument: &Arg) -> Option<(String, String)> {
    let variable = argument.get_env()?.to_str()?.to_owned();
    Some((format!("--{}", argument.get_long()?), variable))
}

fn is_flag(argument: &OsStr, flag: &str) -> bool {
    let bytes = argument.as_encoded_bytes();
    let rest = bytes.strip_prefix(flag.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
}

/// The error for the first variable whose value is no text; `None` if an argument is to blame.
fn not_text(command: &Command, arguments: &[OsString]) -> Option<clap::Error> {
    if arguments.iter().any(|argument| argument.to_str().is_none()) {
        return None;
    }
    let is_no_text = |variable: &str| {
        let value = std::env::var_os(variable);
        value.is_some_and(|value| value.to_str().is_none())
    };
    let mut variables = command.get_arguments().filter_map(flag_and_variable);
    let (flag, variable) = variables.find(|(_, variable)| is_no_text(variable))?;
    let text = format!(
        "expected the environment variable {variable} ({flag}) to be UTF-8, but found other bytes; correct or unset it"
    );
    Some(command.clone().error(ErrorKind::InvalidUtf8, text))
}
