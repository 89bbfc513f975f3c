//! A service in a bad hour: one strange thing after the other, in an order that a seed decides.

use fastrand::Rng;
use serde_json::json;

use super::damage::Damage;
use super::faults::Fault;
use super::pages::{Endless, Skip};

/// One of how many calls goes wrong.
const ONE_OF: usize = 4;

/// What goes wrong with a call, if anything does.
pub(super) fn now_and_then(random: &mut Rng) -> Option<Fault> {
    (random.usize(..ONE_OF) == 0).then(|| Fault::any(random))
}

impl Fault {
    /// Any of those that a client should get over.
    #[must_use]
    pub fn any(random: &mut Rng) -> Self {
        match random.usize(..3) {
            0 => Self::Damaged(Damage::any(random)),
            1 => one_of(random, answers()),
            _ => one_of(random, breaks()),
        }
    }
}

impl Damage {
    /// Any.
    #[must_use]
    pub fn any(random: &mut Rng) -> Self {
        if random.bool() {
            return Self::of_one_record(random);
        }
        let time = ["2099-01-01T00:00:00Z", "1601-01-01T00:00:00Z", "soon"];
        let others = vec![
            Self::Lost,
            Self::OtherNames,
            Self::UpperCase,
            Self::Twins,
            Self::Times(one_of(random, vec![json!("soon"), json!(7), json!({})])),
            Self::Link(one_of(
                random,
                vec![json!(true), json!({}), json!("x".repeat(70_000))],
            )),
            Self::Time(one_of(random, time.to_vec()).to_owned()),
        ];
        one_of(random, others)
    }

    /// Any that costs a name, a number or nothing of one record.
    #[must_use]
    pub fn of_one_record(random: &mut Rng) -> Self {
        let names: Vec<&[u8]> = vec![
            br#""half an emoji \ud83d""#,
            br#""an escape \x41""#,
            b"\"a tab \t, a bell \x07\"",
            b"\"Latin-1 \xe9\"",
            b"NaN",
        ];
        let numbers = vec!["1e309", "-1", "\"many\"", "12345678901234567890123", "null"];
        let kinds = vec![
            Self::Name(one_of(random, names).to_vec()),
            Self::Name(format!("\"{}\"", "🦀".repeat(2_000)).into_bytes()),
            Self::Number(one_of(random, numbers).to_owned()),
            Self::Deep(random.usize(1..10_000)),
            Self::NoRecords,
            Self::NewProperty("retiredOn".to_owned()),
        ];
        one_of(random, kinds)
    }
}

/// Answers that the API or its gateways may give.
fn answers() -> Vec<Fault> {
    let error = Fault::error;
    let gateway = |code, body: &str| Fault::Status {
        code,
        body: body.to_owned(),
        headers: Vec::new(),
    };
    let throttled = |wait: Option<&str>| Fault::Throttle {
        retry_after: wait.map(str::to_owned),
    };
    let cap = |skip| Fault::Cap {
        records: 4_096,
        skip,
    };
    let sunset = (
        "Sunset".to_owned(),
        "Mon, 01 Feb 2027 00:00:00 GMT".to_owned(),
    );
    vec![
        error(400, "OutOfSorts", "The request is invalid"),
        error(401, "Unauthorized", "reason of failure: No Tvm license"),
        error(403, "DisabledFeature", "Tenant feature is not enabled"),
        error(404, "OutOfSorts", "It is not found"),
        error(410, "Gone", "The API has ended"),
        error(500, "InternalServerError", "It is not your fault"),
        error(503, "ServiceUnavailable", "Later"),
        gateway(
            401,
            r#"{"Message":"Authorization has been denied for this request."}"#,
        ),
        gateway(403, "<html><title>Access Denied</title></html>"),
        gateway(
            502,
            r#"{"statusCode":502,"message":"The backend is gone."}"#,
        ),
        throttled(Some("2")),
        throttled(Some("0")),
        throttled(Some("rubbish")),
        Fault::Unauthorized(1),
        Fault::Headers(vec![sunset]),
        Fault::Redirect("https://elsewhere.invalid/api".to_owned()),
        Fault::NextLinkElsewhere("https://elsewhere.invalid".to_owned()),
        Fault::NextLinkLoop,
        Fault::Endless(Endless::Growing),
        Fault::BlankPages,
        cap(Skip::Obeyed),
        cap(Skip::Ignored),
        Fault::ExpiredPages,
        Fault::Encoded("x-gzip".to_owned()),
        Fault::Encoded("br".to_owned()),
    ]
}

/// What networks do to answers.
fn breaks() -> Vec<Fault> {
    vec![
        Fault::Hang,
        Fault::HangInBody,
        Fault::CutOff,
        Fault::WrongLength,
        Fault::BrokenGzip,
        Fault::Reset,
        Fault::Refuse,
        Fault::Cancel,
        Fault::GoAway,
        Fault::SlowDrip,
    ]
}

fn one_of<T>(random: &mut Rng, mut all: Vec<T>) -> T {
    all.swap_remove(random.usize(..all.len()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_decides_what_goes_wrong_and_sooner_or_later_all_does() {
        let hour = |seed| {
            let mut random = Rng::with_seed(seed);
            let faults = (0..20_000).map(|_| now_and_then(&mut random));
            faults.map(|fault| format!("{fault:?}")).collect::<Vec<_>>()
        };
        assert_eq!(hour(1), hour(1));
        assert_ne!(hour(1), hour(2));
        let (all, none) = (hour(1), "None".to_owned());
        let quiet = all.iter().filter(|fault| **fault == none).count();
        assert!((14_000..16_000).contains(&quiet), "{quiet}");
        let kinds: BTreeSet<_> = all.into_iter().collect();
        assert!(
            kinds.len() > answers().len() + breaks().len() + 20,
            "{}",
            kinds.len()
        );
    }
}
