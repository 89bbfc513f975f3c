//! Single values that most files have.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::nearest::meant;
use crate::report::{ConfigReport, Reported, expected};
use crate::value::{YamlValue, excerpt, one_of};

impl YamlValue<'_> {
    /// `true` or `false`.
    ///
    /// # Errors
    /// [`Reported`], if it is neither.
    pub fn boolean(&self, report: &mut ConfigReport) -> Result<bool, Reported> {
        self.choice(
            report,
            "write one of them",
            &[("true", true), ("false", false)],
        )
    }

    /// What goes with the name that it is.
    ///
    /// # Errors
    /// [`Reported`], if it is none of the names.
    pub fn choice<T: Copy>(
        &self,
        report: &mut ConfigReport,
        advice: &str,
        choices: &[(&str, T)],
    ) -> Result<T, Reported> {
        let what = one_of(choices.iter().map(|(name, _)| *name)).unwrap_or_default();
        self.choice_of_many(report, &what, advice, choices)
    }

    /// As [`Self::choice`], but the error says `what` the names are instead of all of them, and
    /// gives `advice` if none of them is near.
    ///
    /// # Errors
    /// [`Reported`], if it is none of the names.
    pub fn choice_of_many<T: Copy>(
        &self,
        report: &mut ConfigReport,
        what: &str,
        advice: &str,
        choices: &[(&str, T)],
    ) -> Result<T, Reported> {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let text = self.text(report, what)?;
        let near = meant(text, &names).map(|name| format!("did you mean `{name}`?"));
        let advice = near.as_deref().unwrap_or(advice);
        self.parse(report, what, advice, |text| {
            let chosen = choices.iter().find(|(name, _)| *name == text)?;
            Some(chosen.1)
        })
    }

    /// As [`Self::choice`], but the error does not repeat what is none of the names: it may
    /// be a secret, in the wrong place.
    ///
    /// # Errors
    /// [`Reported`], if it is none of the names.
    pub fn choice_secret<T: Copy>(
        &self,
        report: &mut ConfigReport,
        advice: &str,
        choices: &[(&str, T)],
    ) -> Result<T, Reported> {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let what = one_of(names.iter().copied()).unwrap_or_default();
        let text = self.text(report, &what)?;
        let chosen = choices.iter().find(|(name, _)| *name == text);
        if let Some((_, chosen)) = chosen {
            return Ok(*chosen);
        }
        let near = meant(text, &names).map(|name| format!("did you mean `{name}`?"));
        let advice = near.as_deref().unwrap_or(advice);
        Err(self.error(report, expected(&what, "something else", advice)))
    }

    /// A whole number in `range`: digits alone, without a sign.
    ///
    /// # Errors
    /// [`Reported`], if it is something else.
    pub fn whole_number<T: FromStr + PartialOrd + Display>(
        &self,
        report: &mut ConfigReport,
        range: RangeInclusive<T>,
    ) -> Result<T, Reported> {
        let what = format!("a whole number from {} to {}", range.start(), range.end());
        self.parse(
            report,
            &what,
            "write digits only, and a number in that range",
            |text| digits(text).filter(|number| range.contains(number)),
        )
    }

    /// A whole percentage in `range`, such as `80%`.
    ///
    /// # Errors
    /// [`Reported`], if it is something else.
    pub fn percentage<T: FromStr + PartialOrd + Display>(
        &self,
        report: &mut ConfigReport,
        range: RangeInclusive<T>,
    ) -> Result<T, Reported> {
        let (start, end) = (range.start(), range.end());
        let what = format!("a whole percentage from `{start}%` to `{end}%`");
        self.parse(
            report,
            &what,
            "write a whole number and `%`, such as `80%`",
            |text| digits(text.strip_suffix('%')?).filter(|number| range.contains(number)),
        )
    }

    /// A duration in `range`, as `humantime` reads it: `30s`, `1h 30m`.
    ///
    /// # Errors
    /// [`Reported`], if it is something else.
    pub fn duration(
        &self,
        report: &mut ConfigReport,
        range: RangeInclusive<Duration>,
    ) -> Result<Duration, Reported> {
        self.duration_with(report, &range, "", |_| false)
    }

    /// As [`Self::duration`], or `0s`, which may mean that something is off.
    ///
    /// # Errors
    /// [`Reported`], if it is something else.
    pub fn duration_or_zero(
        &self,
        report: &mut ConfigReport,
        range: RangeInclusive<Duration>,
    ) -> Result<Duration, Reported> {
        self.duration_with(report, &range, "`0s` or ", |found| found.is_zero())
    }

    fn duration_with(
        &self,
        report: &mut ConfigReport,
        range: &RangeInclusive<Duration>,
        or: &str,
        is_allowed: impl Fn(Duration) -> bool,
    ) -> Result<Duration, Reported> {
        let what = "a duration such as `30s` or `10m`";
        let advice = if or.is_empty() {
            "write a whole number and a unit: `s`, `m`, `h` or `d`"
        } else {
            "write a whole number and a unit, `s`, `m`, `h` or `d`; `0s` stands for never"
        };
        let found = self.parse(report, what, advice, |text| {
            humantime::parse_duration(text).ok()
        })?;
        if range.contains(&found) || is_allowed(found) {
            return Ok(found);
        }
        let [start, end] = [*range.start(), *range.end()].map(humantime::format_duration);
        let what = format!("{or}a duration from {start} to {end}");
        let found = excerpt(self.text(report, &what)?);
        Err(self.error(report, expected(&what, &found, "choose one in that range")))
    }

    /// The path of a file, which starts from `folder` if it is relative. Whether there is
    /// one is not looked at.
    ///
    /// # Errors
    /// [`Reported`], if no file can have it.
    pub fn file_path(&self, report: &mut ConfigReport, folder: &Path) -> Result<PathBuf, Reported> {
        let what = "a file's path";
        let text = self.text(report, what)?;
        if text.is_empty() || text.contains('\0') {
            let found = if text.is_empty() {
                "an empty value"
            } else {
                "one with a NUL"
            };
            let message = expected(what, found, "name a file");
            return Err(self.error(report, message));
        }
        Ok(folder.join(text))
    }
}

fn digits<T: FromStr>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    /// The value of a file `a: TEXT`, or its error without the place.
    fn read<T>(
        text: &str,
        read: impl Fn(&YamlValue<'_>, &mut ConfigReport) -> Result<T, Reported>,
    ) -> Result<T, String> {
        let mut report = ConfigReport::new("app.yml");
        let document = Document::parse(format!("a: {text}").as_bytes(), &mut report);
        let value = document.and_then(|document| {
            let mut mapping = document.mapping(&mut report, "a mapping")?;
            let value = mapping.require(&mut report, "a", "something")?;
            read(&value, &mut report)
        });
        let value = report.finish(value).map(|(value, _)| value);
        value.map_err(|errors| errors.to_string().replacen("app.yml:1: a: ", "", 1))
    }

    #[test]
    fn booleans_are_two_words() {
        fn of(value: &YamlValue<'_>, report: &mut ConfigReport) -> Result<bool, Reported> {
            value.boolean(report)
        }
        let boolean = |text| read(text, of);
        assert_eq!(boolean("true"), Ok(true));
        assert_eq!(boolean("\"false\""), Ok(false));
        assert_eq!(
            boolean("yes").unwrap_err(),
            "expected `true` or `false`, but found `yes`; write one of them"
        );
    }

    #[test]
    fn a_choice_names_all() {
        let choose = |text| {
            let choices = [("on", 1), ("off", 2), ("auto", 3)];
            read(text, |value, report| {
                value.choice(report, "choose", &choices)
            })
        };
        assert_eq!(choose("off"), Ok(2));
        let error = choose("Off").unwrap_err();
        assert_eq!(
            error,
            "expected `on`, `off` or `auto`, but found `Off`; did you mean `off`?"
        );
    }

    #[test]
    fn a_choice_of_many_names_the_nearest_alone() {
        let choose = |text| {
            let choices = [("requests_total", 1), ("open_files", 2)];
            read(text, |value, report| {
                value.choice_of_many(report, "a metric", "see the list", &choices)
            })
        };
        assert_eq!(choose("open_files"), Ok(2));
        assert_eq!(
            choose("requests").unwrap_err(),
            "expected a metric, but found `requests`; see the list"
        );
        assert_eq!(
            choose("request_total").unwrap_err(),
            "expected a metric, but found `request_total`; did you mean `requests_total`?"
        );
    }

    #[test]
    fn numbers_are_digits_in_their_range() {
        let number = |text| read(text, |value, report| value.whole_number(report, 1..=100_u8));
        for (text, good) in [("1", 1), ("007", 7), ("100", 100)] {
            assert_eq!(number(text), Ok(good));
        }
        for text in [
            "0", "101", "256", "+1", "-1", "1.0", "1e1", "1_0", "\"\"", "٣",
        ] {
            let error = number(text).unwrap_err();
            let start = "expected a whole number from 1 to 100, but found `";
            assert!(error.starts_with(start), "{error}");
        }
        let part = |text| read(text, |value, report| value.percentage(report, 1..=100_u8));
        assert_eq!(part("80%"), Ok(80));
        for text in ["80", "0%", "101%", "+1%", "8 %"] {
            let error = part(text).unwrap_err();
            let start = "expected a whole percentage from `1%` to `100%`, but found `";
            assert!(error.starts_with(start), "{error}");
        }
    }

    #[test]
    fn durations_have_units_and_a_range() {
        let range = || Duration::from_secs(10)..=Duration::from_hours(1);
        let plain = |text| read(text, |value, report| value.duration(report, range()));
        let or_zero = |text| {
            read(text, |value, report| {
                value.duration_or_zero(report, range())
            })
        };
        assert_eq!(plain("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(or_zero("1h"), Ok(Duration::from_hours(1)));
        assert_eq!(or_zero("0s"), Ok(Duration::ZERO));
        assert_eq!(
            plain("0s").unwrap_err(),
            "expected a duration from 10s to 1h, but found `0s`; choose one in that range"
        );
        assert_eq!(
            or_zero("2h").unwrap_err(),
            "expected `0s` or a duration from 10s to 1h, but found `2h`; choose one in that range"
        );
        assert_eq!(
            plain("30").unwrap_err(),
            "expected a duration such as `30s` or `10m`, but found `30`; write a whole number and a unit: `s`, `m`, `h` or `d`"
        );
    }

    #[test]
    fn paths_start_from_a_folder() {
        let path = |text| {
            read(text, |value, report| {
                value.file_path(report, Path::new("/etc"))
            })
        };
        assert_eq!(path("key.pem"), Ok(PathBuf::from("/etc/key.pem")));
        assert_eq!(path("/run/key.pem"), Ok(PathBuf::from("/run/key.pem")));
        for (text, found) in [("\"\"", "an empty value"), ("\"a\\0b\"", "one with a NUL")] {
            assert_eq!(
                path(text).unwrap_err(),
                format!("expected a file's path, but found {found}; name a file")
            );
        }
    }
}
