//! Times and durations as the API writes them, read liberally: what cannot be
//! read is absent, never an error.

use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime, Time};

use crate::clock::Timestamp;

/// Reads RFC 3339 with any number of fractional digits (the samples have seven),
/// with `Z`, with an offset, or with neither, which means UTC. An offset may lack its
/// colon. A leap second counts as the second before it.
pub(super) fn moment(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    usual(text.as_bytes()).or_else(|| unusual(text))
}

/// No scan ran before 1970: .NET's zero, `0001-01-01T00:00:00Z`, that of Windows' file times
/// (1601) and the epoch itself mean *never* and give `None`.
pub(super) fn since_1970(moment: OffsetDateTime) -> Option<Timestamp> {
    let millis = moment.unix_timestamp() * 1_000 + i64::from(moment.millisecond());
    (millis > 0).then_some(Timestamp::from_unix_millis(millis))
}

fn unusual(text: &str) -> Option<OffsetDateTime> {
    let time = text.find(['T', 't', ' '])?;
    let offset = text[time..].find(['Z', 'z', '+', '-']);
    let (moment, offset) = text.split_at(offset.map_or(text.len(), |offset| time + offset));
    let offset = match offset {
        "" => "Z".to_owned(),
        offset if offset.len() == 5 && offset.is_ascii() => {
            format!("{}:{}", &offset[..3], &offset[3..])
        }
        offset => offset.to_owned(),
    };
    let moment = match moment.get(16..19) {
        Some(":60") => format!("{}:59{}", &moment[..16], &moment[19..]),
        _ => moment.to_owned(),
    };
    OffsetDateTime::parse(&(moment + &offset), &Rfc3339).ok()
}

/// The usual spelling, read quickly: `2022-12-20T11:14:24.5561791Z`, to the millisecond.
fn usual(text: &[u8]) -> Option<OffsetDateTime> {
    #[rustfmt::skip]
    let [
        y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T',
        h1, h2, b':', mi1, mi2, b':', s1, s2, fraction @ .., b'Z',
    ] = text else {
        return None;
    };
    let [ms1, ms2, ms3] = match fraction {
        [] => [&b'0'; 3],
        [b'.', ms1, ms2, ms3, beyond @ ..] if beyond.iter().all(u8::is_ascii_digit) => {
            [ms1, ms2, ms3]
        }
        _ => return None,
    };
    let pair = |tens: &u8, ones: &u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| (tens - b'0') * 10 + (ones - b'0'))
    };
    let year = i32::from(pair(y1, y2)?) * 100 + i32::from(pair(y3, y4)?);
    let month = Month::try_from(pair(mo1, mo2)?).ok()?;
    let date = Date::from_calendar_date(year, month, pair(d1, d2)?).ok()?;
    let millis = u16::from(pair(&b'0', ms1)?) * 100 + u16::from(pair(ms2, ms3)?);
    let time = Time::from_hms_milli(pair(h1, h2)?, pair(mi1, mi2)?, pair(s1, s2)?, millis).ok()?;
    Some(date.with_time(time).assume_utc())
}

/// Reads `Edm.TimeOfDay` (`hh:mm:ss[.fraction]`), a .NET `TimeSpan`
/// (`[days.]hh:mm:ss[.fraction]`), and `Edm.Duration` (`PT1M2.5S`).
pub(super) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    match text.strip_prefix(['P', 'p']) {
        Some(rest) => iso(rest),
        None => clock_face(text),
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn clock_face(text: &str) -> Option<Duration> {
    let mut parts = text.split(':');
    let (hours, minutes) = (parts.next()?, parts.next()?);
    let seconds = parts.next().unwrap_or("0");
    if parts.next().is_some() {
        return None;
    }
    let (days, hours) = hours.split_once('.').unwrap_or(("0", hours));
    whole(days, DAY)?
        .checked_add(whole(hours, HOUR)?)?
        .checked_add(whole(minutes, MINUTE)?)?
        .checked_add(fractional(seconds)?)
}

fn iso(text: &str) -> Option<Duration> {
    let text = text.to_ascii_uppercase();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    let mut total = Duration::ZERO;
    let mut read = false;
    for (part, units) in [
        (date, [('D', DAY)].as_slice()),
        (time, &[('H', HOUR), ('M', MINUTE), ('S', 1)]),
    ] {
        let mut rest = part;
        for &(unit, seconds) in units {
            let Some((number, after)) = rest.split_once(unit) else {
                continue;
            };
            let value = if unit == 'S' {
                fractional(number)
            } else {
                whole(number, seconds)
            };
            total = total.checked_add(value?)?;
            rest = after;
            read = true;
        }
        if !rest.is_empty() {
            return None;
        }
    }
    read.then_some(total)
}

fn whole(digits: &str, seconds_each: u64) -> Option<Duration> {
    let number: u64 = all_digits(digits)?.parse().ok()?;
    number.checked_mul(seconds_each).map(Duration::from_secs)
}

fn fractional(text: &str) -> Option<Duration> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut nanos = 0;
    if !fraction.is_empty() {
        let digits = all_digits(fraction)?.bytes().chain(std::iter::repeat(b'0'));
        nanos = digits
            .take(9)
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    }
    whole(seconds, 1)?.checked_add(Duration::from_nanos(nanos))
}

fn all_digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timestamp(text: &str) -> Option<Timestamp> {
        moment(text).and_then(since_1970)
    }

    #[test]
    fn reads_every_spelling_of_one_moment() {
        let expected = Some(Timestamp::from_unix_millis(1_671_534_864_556));
        for text in [
            "2022-12-20T11:14:24.5561791Z",
            "2022-12-20T11:14:24.556Z",
            "2022-12-20T11:14:24.5561791",
            "2022-12-20T12:14:24.5561791+01:00",
            "2022-12-20t11:14:24.556z",
            " 2022-12-20T11:14:24.556179123456Z ",
            "2022-12-20T11:14:24.556179123456789012345+00:00",
            "2022-12-20T11:14:24.556+0000",
            "2022-12-20T06:14:24.556-0500",
            "2022-12-20 11:14:24.5561791",
        ] {
            assert_eq!(timestamp(text), expected, "{text}");
        }
    }

    #[test]
    fn never_and_nonsense_are_no_moment() {
        for text in [
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00",
            "0001-01-01T00:00:00.0000000+01:00",
            "",
            "yesterday",
            "2022-13-45T99:00:00Z",
            "1601-01-01T00:00:00Z",
            "1969-12-31T23:59:59.9995Z",
            "1970-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
            "2022-12-20T11:14:61Z",
            "2022-12-20T11:14:24+é0",
            "2022-12-20T11:14:24é",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn a_leap_second_is_the_second_before_it() {
        for text in [
            "2016-12-31T23:59:60Z",
            "2016-12-31T23:59:60.000+0000",
            "2017-01-01T00:59:60+01:00",
            "2016-12-31T23:59:59",
        ] {
            let expected = Some(Timestamp::from_unix_millis(1_483_228_799_000));
            assert_eq!(timestamp(text), expected, "{text}");
        }
    }

    #[test]
    fn reads_time_of_day_time_span_and_iso() {
        for (text, millis) in [
            ("00:01:02.5", 62_500),
            ("00:01:02.5000000", 62_500),
            ("00:00", 0),
            ("23:59:59", 86_399_000),
            ("1.00:00:01", 86_401_000),
            ("PT1M2S", 62_000),
            ("PT1M2.5S", 62_500),
            ("pt62.5s", 62_500),
            ("P1DT1H", 90_000_000),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn nonsense_is_no_duration() {
        for text in [
            "",
            "P",
            "PT",
            "PT5",
            "PT1S1M",
            "P1M",
            "-00:01:00",
            "PT-1S",
            "1:2:3:4",
            "12",
            "a:b:c",
            "99999999999999999999:00:00",
            "9999999999999999:00:00",
            "PT1.S.S",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_usual_spelling_is_read_as_the_standard_says(
            text in "[0-9]{3}[1-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,9})?Z"
        ) {
            let standard = OffsetDateTime::parse(&text, &Rfc3339).ok();
            if let Some(moment) = usual(text.as_bytes()) {
                let millis = |moment: OffsetDateTime| moment.unix_timestamp_nanos().div_euclid(1_000_000);
                prop_assert_eq!(Some(millis(moment)), standard.map(millis));
            }
        }

        #[test]
        fn never_panics(text in ".*", digits in "[0-9:.PTDHMSZ+-]{0,40}") {
            let _ = (timestamp(&text), duration(&text), timestamp(&digits), duration(&digits));
        }
    }
}
