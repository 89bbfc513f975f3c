//! How the values of properties are read.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::lenient::{Id, Read, Scalar, Unreadable};
use crate::clock::Timestamp;
use crate::defender::scan_message::scan_message;
use crate::defender::times;
use crate::model::{ScanStatus, ScanType, SessionId, TargetType};

/// The longest identifier, in characters. A label cannot hold a longer one, and a part of it
/// would not identify anything.
const LONGEST_ID: usize = 512;

/// The longest text that is kept, in characters: more than any label or page shows.
const LONGEST_TEXT: usize = 4_096;

/// The longest that the scan of a target may take: beyond it the number is a mistake, which
/// would spoil the sum of all.
const LONGEST_SCAN: Duration = Duration::from_hours(30 * 24);

pub(super) fn id<T>(new: fn(&str) -> T) -> impl FnOnce(Id) -> Read<T> {
    move |value| match value.text()? {
        Some(text) if cut(&text, LONGEST_ID).len() < text.len() => Err(Unreadable),
        text => Ok(text.map(|text| new(&text))),
    }
}

/// The id of a session. That of no session, which .NET writes for none, is absent.
pub(super) fn session_id(value: Id) -> Read<SessionId> {
    let is_none = |id: &SessionId| id.as_str().bytes().all(|byte| matches!(byte, b'0' | b'-'));
    Ok(id(SessionId::new)(value)?.filter(|id| id.as_str().len() < 32 || !is_none(id)))
}

pub(super) fn text(value: Scalar) -> Read<Arc<str>> {
    Ok(borrowed(value)?.map(Arc::from))
}

/// A text that is not kept.
pub(super) fn borrowed(value: Scalar<'_>) -> Read<Cow<'_, str>> {
    Ok(value.text()?.map(|text| match text {
        Cow::Borrowed(text) => cut(text, LONGEST_TEXT).into(),
        Cow::Owned(text) => cut(&text, LONGEST_TEXT).to_owned().into(),
    }))
}

/// The first `limit` characters.
fn cut(text: &str, limit: usize) -> &str {
    // Nearly all are shorter in bytes, too.
    if text.len() <= limit {
        return text;
    }
    let end = text.char_indices().nth(limit);
    end.map_or(text, |(end, _)| &text[..end])
}

pub(super) fn time(value: Scalar) -> Read<Timestamp> {
    let Some(text) = value.text()? else {
        return Ok(None);
    };
    let moment = times::moment(&text).ok_or(Unreadable)?;
    Ok(times::since_1970(moment))
}

pub(super) fn length(value: Scalar) -> Read<Duration> {
    let Some(text) = value.text()? else {
        return Ok(None);
    };
    let length = times::duration(&text).filter(|length| *length <= LONGEST_SCAN);
    length.map(Some).ok_or(Unreadable)
}

pub(super) fn flag(value: Scalar) -> Read<bool> {
    value.flag()
}

/// An int32 that counts something; what is negative counts nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within bounds"
)]
pub(super) fn count(value: Scalar) -> Read<u32> {
    match value.number()? {
        Some(number) if number > f64::from(i32::MAX) => Err(Unreadable),
        number => Ok(number
            .filter(|number| *number >= 0.0)
            .map(|number| number as u32)),
    }
}

/// `ScanStatus`: `Success` 0, `Fail` 1. Not the numbers of `AuthenticatedScanStatus`.
pub(super) fn latest_status(value: Scalar) -> Read<ScanStatus> {
    status(value, &[ScanStatus::Success, ScanStatus::Failure])
}

/// `AuthenticatedScanStatus`: `Failure` 0, `Success` 1, `PartialSuccess` 2.
pub(super) fn session_status(value: Scalar) -> Read<ScanStatus> {
    let numbers = [
        ScanStatus::Failure,
        ScanStatus::Success,
        ScanStatus::PartialSuccess,
    ];
    status(value, &numbers)
}

fn status(value: Scalar, numbers: &[ScanStatus]) -> Read<ScanStatus> {
    let names = [
        ("success", &ScanStatus::Success),
        ("succeeded", &ScanStatus::Success),
        ("partialsuccess", &ScanStatus::PartialSuccess),
        ("fail", &ScanStatus::Failure),
        ("failed", &ScanStatus::Failure),
        ("failure", &ScanStatus::Failure),
    ];
    member(value, numbers, names, unknown)
}

/// What the service says that is none of the known: whoever writes it, words that could be a
/// name or a secret do not stay.
fn unknown(text: Arc<str>) -> ScanStatus {
    let is_number = text.parse::<i16>().is_ok();
    let status = ScanStatus::Unknown(text);
    match &status {
        ScanStatus::Unknown(text) if !is_number && !status.is_running() => {
            let text = scan_message(text, &HashSet::new());
            ScanStatus::Unknown(text.unwrap_or_else(|| "".into()))
        }
        _ => status,
    }
}

pub(super) fn scan_type(value: Scalar) -> Read<ScanType> {
    let numbers = &[
        ScanType::Network,
        ScanType::Windows,
        ScanType::Linux,
        ScanType::AdvancedActive,
    ];
    let names = numbers.iter().map(|member| (member.as_str(), member));
    member(value, numbers, names, ScanType::Other)
}

pub(super) fn target_type(value: Scalar) -> Read<TargetType> {
    let names = [TargetType::Ip, TargetType::Hostname, TargetType::Combined];
    let names = names.iter().map(|member| (member.as_str(), member));
    member(value, &[], names, TargetType::Other)
}

/// The enum's member of that number or name; what is neither is `other`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole, and not negative"
)]
fn member<'n, T: Clone + 'n>(
    value: Scalar,
    numbers: &[T],
    names: impl IntoIterator<Item = (&'n str, &'n T)>,
    other: fn(Arc<str>) -> T,
) -> Read<T> {
    let number = match &value {
        Scalar::Integer(number) => usize::try_from(*number).ok(),
        Scalar::Number(number) if *number >= 0.0 && number.fract() == 0.0 => Some(*number as usize),
        _ => None,
    };
    if let Some(known) = number.and_then(|number| numbers.get(number)) {
        return Ok(Some(known.clone()));
    }
    let text = borrowed(value)?;
    Ok(text.map(|text| {
        let mut known = names
            .into_iter()
            .filter(|(name, _)| names_alike(&text, name));
        let known = known.next().map(|(_, known)| known.clone());
        known.unwrap_or_else(|| other(text.into()))
    }))
}

/// Whether the text is that name of an enum, but for case, spaces, `_` and `-`.
fn names_alike(text: &str, name: &str) -> bool {
    let squeezed = || {
        text.chars()
            .filter(|letter| !letter.is_whitespace() && !matches!(letter, '_' | '-'))
            .map(|letter| letter.to_ascii_lowercase())
    };
    text.eq_ignore_ascii_case(name)
        || squeezed().eq(name.chars().map(|letter| letter.to_ascii_lowercase()))
}
