//! One event on one line, as logfmt or JSON: the same keys, in the same order, with the same
//! values.

use std::fmt::{self, Debug, Write as _};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::{LogFormat, printable};

/// Without spans: this program has none.
impl<S, N> FormatEvent<S, N> for LogFormat
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
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let metadata = event.metadata();
        let mut line = Line {
            format: *self,
            text: String::new(),
        };
        line.add("ts", &time.into());
        line.add("level", &metadata.level().as_str().to_lowercase().into());
        line.add("target", &metadata.target().into());
        event.record(&mut line);
        match self {
            Self::Logfmt => writeln!(out, "{}", line.text),
            Self::Json => writeln!(out, "{{{}}}", line.text),
        }
    }
}

/// The pairs of an event so far.
struct Line {
    format: LogFormat,
    text: String,
}

impl Line {
    fn add(&mut self, key: &str, value: &Value) {
        let between = match self.format {
            _ if self.text.is_empty() => "",
            LogFormat::Logfmt => " ",
            LogFormat::Json => ",",
        };
        // Writing into a String cannot fail.
        let _ = match self.format {
            LogFormat::Logfmt => write!(self.text, "{between}{key}={}", logfmt(value)),
            LogFormat::Json => write!(self.text, "{between}{}:{value}", Value::from(key)),
        };
    }
}

/// A value as Go's parsers of logfmt read it: one that needs quotes is a string of JSON.
fn logfmt(value: &Value) -> String {
    let json = value.to_string();
    let Some(text) = value.as_str() else {
        return json;
    };
    let quoted = printable::json(&json);
    let is_plain = quoted.len() == text.len() + 2 && !text.contains([' ', '=']);
    if is_plain {
        text.to_owned()
    } else {
        quoted.into_owned()
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), &value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), &value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), &value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), &value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), &value.into());
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

    /// A line of all kinds of values, from its level on.
    fn line(format: LogFormat) -> String {
        let log = Arc::new(tempfile::tempfile().unwrap());
        let layer = fmt::layer().event_format(format);
        let subscriber = Registry::default().with(layer.with_writer(Arc::clone(&log)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(
                plain = "a\\b'ä",
                empty = "",
                number = 1.5,
                count = 3_usize,
                flag = true,
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
        let (time, rest) = line.split_once("level").unwrap();
        assert!(
            ["ts=20", "{\"ts\":\"20"]
                .iter()
                .any(|start| time.starts_with(start))
        );
        rest.to_owned()
    }

    #[test]
    fn values_are_as_parsers_of_logfmt_read_them() {
        let expected = concat!(
            "=info target=",
            module_path!(),
            r#" message="it works" plain="a\\b'ä" empty= number=1.5 count=3 flag=true"#,
            r#" space="it's \\ \"" control="a\u0000\u001b\n" hidden="a\u202e\udb40\udc41""#,
            " equals=\"a=b\"\n"
        );
        assert_eq!(line(LogFormat::Logfmt), expected);
    }

    #[test]
    fn json_has_the_same_keys_and_values() {
        let expected = concat!(
            r#"":"info","target":""#,
            module_path!(),
            r#"","message":"it works","plain":"a\\b'ä","empty":"","number":1.5,"count":3,"#,
            r#""flag":true,"space":"it's \\ \"","control":"a\u0000\u001b\n","#,
            "\"hidden\":\"a\u{202e}\u{e0041}\",\"equals\":\"a=b\"}\n"
        );
        assert_eq!(line(LogFormat::Json), expected);
    }
}
