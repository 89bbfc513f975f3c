//! Answers that arrive whole but hold something strange: what a service, its gateways or a
//! change of its format may do to single records.

use serde_json::{Value, json};

/// What is strange about an answer. It befalls the record in the middle, unless it says
/// otherwise.
#[derive(Clone, Debug)]
pub enum Damage {
    /// Its names are these bytes, which need not be JSON.
    Name(Vec<u8>),
    /// Its numbers are written so, which need not be JSON.
    Number(String),
    /// Another property nests so deeply.
    Deep(usize),
    /// It is followed by values that are no records.
    NoRecords,
    /// All records have properties of other names.
    OtherNames,
    /// All records have another property.
    NewProperty(String),
    /// Its times are this.
    Time(String),
    /// The times of all records are this.
    Times(Value),
    /// It is no record.
    Lost,
    /// The link to the next page is this, whatever the page.
    Link(Value),
    /// The ids of all records are in upper case.
    UpperCase,
    /// It comes twice more, with ids that look alike when published.
    Twins,
    /// It comes twice more: with other ids, and with no more than its own id and status.
    Strangers,
}

/// Stands for what is put in its place once the rest is written.
const MARK: &str = "to-be-replaced-by-damage";

impl Damage {
    /// The answer with the damage done; one that is no page stays as it is.
    pub(super) fn applied(&self, body: &[u8]) -> Vec<u8> {
        let Ok(mut answer) = serde_json::from_slice::<Value>(body) else {
            return body.to_vec();
        };
        let Some(records) = answer["value"].as_array_mut() else {
            return body.to_vec();
        };
        let middle = records.len() / 2;
        let marked = || Value::from(MARK);
        let mut replacement = Vec::new();
        match self {
            Self::Name(bytes) => {
                replacement.clone_from(bytes);
                change(records.get_mut(middle), NAMES, &marked());
            }
            Self::Number(written) => {
                replacement = written.clone().into_bytes();
                change(records.get_mut(middle), NUMBERS, &marked());
            }
            Self::Deep(levels) => {
                replacement = ["[".repeat(*levels), "]".repeat(*levels)].concat().into();
                if let Some(record) = records.get_mut(middle) {
                    record["scanAuthenticationParams"] = marked();
                }
            }
            Self::NoRecords => {
                let others = [
                    json!(null),
                    json!("a text"),
                    json!([[]]),
                    json!({}),
                    json!(1),
                ];
                let behind = records.len().min(middle + 1);
                records.splice(behind..behind, others);
            }
            Self::OtherNames => {
                for record in records.iter_mut().filter_map(Value::as_object_mut) {
                    let properties = std::mem::take(record).into_iter();
                    record.extend(properties.map(|(name, value)| (format!("x{name}"), value)));
                }
            }
            Self::NewProperty(name) => {
                for record in records.iter_mut().filter_map(Value::as_object_mut) {
                    record.insert(name.clone(), json!({ "new": true }));
                }
            }
            Self::Time(time) => change(records.get_mut(middle), TIMES, &json!(time)),
            Self::Times(time) => {
                for record in records.iter_mut() {
                    change(Some(record), TIMES, time);
                }
            }
            Self::Lost => {
                if let Some(record) = records.get_mut(middle) {
                    *record = json!([]);
                }
            }
            Self::Link(link) => answer["@odata.nextLink"] = link.clone(),
            Self::UpperCase => {
                for record in records.iter_mut() {
                    for id in properties(record, IDS) {
                        *id = id.as_str().map(str::to_ascii_uppercase).into();
                    }
                }
            }
            Self::Twins => {
                let twins = ['\0', '\u{fffd}'].into_iter().filter_map(|letter| {
                    let mut twin = records.get(middle)?.clone();
                    twin["id"] = format!("twin{letter}").into();
                    Some(twin)
                });
                let twins: Vec<_> = twins.collect();
                records.extend(twins);
            }
            Self::Strangers => {
                let strangers = [IDS, &["sessionid", "sessionids", "lastscanned"]];
                let strangers = strangers.iter().zip([json!("g0"), json!(null)]);
                let strangers = strangers.filter_map(|(names, new)| {
                    let mut stranger = records.get(middle)?.clone();
                    change(Some(&mut stranger), names, &new);
                    Some(stranger)
                });
                let strangers: Vec<_> = strangers.collect();
                records.extend(strangers);
            }
        }
        let answer = answer.to_string();
        let mut damaged = Vec::with_capacity(answer.len());
        for (index, part) in answer.split(&format!("\"{MARK}\"")).enumerate() {
            if index > 0 {
                damaged.extend(&replacement);
            }
            damaged.extend(part.as_bytes());
        }
        damaged
    }
}

const NAMES: &[&str] = &[
    "scanname",
    "createdby",
    "target",
    "generalerrormessage",
    "computerdnsname",
    "scannersoftwareversion",
];
const NUMBERS: &[&str] = &[
    "intervalinhours",
    "numberoftargets",
    "numberofsuccessfullyscannedtargets",
];
const TIMES: &[&str] = &[
    "executiondatetime",
    "lastscanned",
    "lastseen",
    "lastcommandexecutiontimestamp",
];
const IDS: &[&str] = &[
    "id",
    "scandefinitionid",
    "scandefinitionids",
    "sessionid",
    "sessionids",
];

fn change(record: Option<&mut Value>, names: &[&str], new: &Value) {
    for value in record
        .into_iter()
        .flat_map(|record| properties(record, names))
    {
        *value = new.clone();
    }
}

/// The record's properties of those names, in any case, and those of what it holds.
fn properties<'v>(value: &'v mut Value, names: &[&str]) -> Vec<&'v mut Value> {
    let mut found = Vec::new();
    for (name, value) in value.as_object_mut().into_iter().flatten() {
        if names.contains(&name.to_ascii_lowercase().as_str()) {
            found.push(value);
        } else {
            found.extend(properties(value, names));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_done_where_it_says() {
        let body = br#"{"value":[{"id":"a","scanName":"1"},{"id":"b","scanName":"2","latestScan":{"executionDateTime":"x"}},{"id":"c"}]}"#;
        let done = |damage: Damage| String::from_utf8_lossy(&damage.applied(body)).into_owned();
        for (damage, expected) in [
            (
                Damage::Name(b"\"\xff\"".to_vec()),
                "\"scanName\":\"1\"},{\"id\":\"b\",\"latestScan\":{\"executionDateTime\":\"x\"},\"scanName\":\"\u{fffd}\"}",
            ),
            (Damage::Time("y".to_owned()), r#"{"executionDateTime":"y"}"#),
            (Damage::Deep(2), r#""scanAuthenticationParams":[[]]"#),
            (Damage::UpperCase, r#""id":"C""#),
            (Damage::OtherNames, r#"{"xid":"c"}"#),
            (
                Damage::NoRecords,
                r#"},null,"a text",[[]],{},1,{"id":"c"}]"#,
            ),
            (
                Damage::NewProperty("n".to_owned()),
                r#"{"id":"c","n":{"new":true}}"#,
            ),
            (Damage::Twins, "\"id\":\"twin\u{fffd}\""),
            (Damage::Times(json!({})), r#"{"executionDateTime":{}}"#),
            (Damage::Lost, r#"},[],{"id":"c"}]"#),
            (Damage::Link(json!(true)), r#""@odata.nextLink":true"#),
            (Damage::Strangers, r#""id":"g0""#),
        ] {
            let found = done(damage.clone());
            assert!(found.contains(expected), "{damage:?}: {found}");
        }
        assert_eq!(
            done(Damage::Number("1e309".to_owned()))
                .matches("1e309")
                .count(),
            0
        );
        assert_eq!(Damage::Twins.applied(b"no page"), b"no page");
    }
}
