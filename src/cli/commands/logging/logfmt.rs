//! One event as `key=value` pairs, as Go's parsers of logfmt read them: a value that needs
//! quotes is a string of JSON.

use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::printable;

/// The format, without spans: this program has none.
pub(super) struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        out.write_str("ts=")?;
        SystemTime.format_time(&mut out)?;
        let level = metadata.level().as_str().to_ascii_lowercase();
        write!(out, " level={level} target={}", metadata.target())?;
        let mut pairs = Pairs(String::new());
        event.record(&mut pairs);
        writeln!(out, "{}", pairs.0)
    }
}

/// ` key=value` for each field.
struct Pairs(String);

impl Visit for Pairs {
    fn record_str(&mut self, field: &Field, value: &str) {
        let quoted = serde_json::Value::from(value).to_string();
        let quoted = printable::json(&quoted);
        let is_plain = quoted.len() == value.len() + 2 && !value.contains([' ', '=']);
        let value = if is_plain { value } else { &quoted };
        // Writing into a String cannot fail.
        let _ = write!(self.0, " {field}={value}");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{Registry, fmt};

    use super::*;

    #[test]
    fn values_are_as_parsers_of_logfmt_read_them() {
        let log = Arc::new(tempfile::tempfile().unwrap());
        let layer = fmt::layer().event_format(Logfmt);
        let subscriber = Registry::default().with(layer.with_writer(Arc::clone(&log)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(
                plain = "a\\b'ä",
                empty = "",
                number = 1.5,
                none = Option::<&str>::None,
                space = "it's \\ \"",
                control = "a\0\u{1b}\n",
                hidden = "a\u{202e}\u{e0041}",
                equals = %"a=b",
                "it {}", "works"
            );
        });
        let mut line = String::new();
        log.as_ref().rewind().unwrap();
        log.as_ref().read_to_string(&mut line).unwrap();
        let (_, rest) = line.split_once(" level=").unwrap();
        let expected = concat!(
            "info target=",
            module_path!(),
            r#" message="it works" plain="a\\b'ä" empty= number=1.5 space="it's \\ \"""#,
            r#" control="a\u0000\u001b\n" hidden="a\u202e\udb40\udc41" equals="a=b""#,
            "\n"
        );
        assert_eq!(rest, expected);
    }
}
