//! Durations as people read them in the log.

use std::time::Duration;

use humantime::{FormattedDuration, format_duration};

/// In whole seconds, such as `1m 30s`.
pub(crate) fn in_seconds(duration: Duration) -> FormattedDuration {
    format_duration(Duration::from_secs(duration.as_secs()))
}

/// In whole milliseconds, such as `1s 250ms`.
pub(crate) fn in_millis(duration: Duration) -> FormattedDuration {
    let nanos = duration.subsec_millis() * 1_000_000;
    format_duration(Duration::new(duration.as_secs(), nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_smaller_is_left_out() {
        assert_eq!(
            in_seconds(Duration::from_millis(90_900)).to_string(),
            "1m 30s"
        );
        assert_eq!(
            in_millis(Duration::from_micros(1_250_900)).to_string(),
            "1s 250ms"
        );
        assert_eq!(in_millis(Duration::ZERO).to_string(), "0s");
    }
}
