//! The log of calls: a row has many calls of one budget, because the file is written in pages
//! that have room for many.
//!
//! ```text
//! (budget, number / 64)  for each collector and boot: its calls, or those that may be made
//! ```
//!
//! Budgets have numbers in the order in which they were first held, because those that are held
//! one after the other also call one after the other, and so share pages.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};

use super::rows::{self, millis, moment};
use super::{BUDGETS, StoreError};
use crate::budget::Call;
use crate::clock::Uptime;
use crate::model::health::Collector;

pub(super) const CALLS: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("call_log");

/// The numbers of budgets, or of tenants by whose names schema 2 kept calls; and by an empty
/// name the next one.
pub(super) const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");

/// Calls in one row, at most.
const IN_ROW: u64 = 64;

/// The row that says that calls are missing, because one could not be read. It is none itself.
const MISSING: u64 = u64::MAX;

/// No call has this number, nor a higher one.
const MOST: u64 = u64::MAX / 2;

/// The number of a call, and what is known of it; `None` if it is forgotten.
pub(super) type Entry = (u64, Option<CallRow>);

/// A call: until schema 3, a row of its own. Uptimes count only in the boot in which they were
/// taken.
#[derive(Clone, Debug, PartialEq, Decode)]
pub(super) struct CallRow {
    /// The label of the collector.
    #[n(0)]
    pub(super) collector: String,
    #[n(1)]
    pub(super) boot_id: Option<String>,
    #[n(2)]
    pub(super) sent_ms: u64,
    #[n(3)]
    pub(super) answered_ms: Option<u64>,
}

/// Calls of one collector in one boot.
#[derive(Debug, Encode, Decode)]
struct GroupRow {
    /// The label of the collector.
    #[n(0)]
    collector: String,
    #[n(1)]
    boot_id: Option<String>,
    #[n(2)]
    calls: Vec<TimesRow>,
}

#[derive(Debug, Encode, Decode)]
struct TimesRow {
    #[n(0)]
    number: u64,
    #[n(1)]
    sent_ms: u64,
    #[n(2)]
    answered_ms: Option<u64>,
}

impl CallRow {
    pub(super) fn of(call: &Call, boot_id: Option<&str>) -> Self {
        Self {
            collector: call.collector.as_label().to_owned(),
            boot_id: boot_id.map(str::to_owned),
            sent_ms: millis(call.sent),
            // Rounded up: an answer must not seem earlier than it was.
            answered_ms: call.answered.map(|at| millis(at).saturating_add(1)),
        }
    }

    /// A call that may have been made at any time since: of no boot, so it counts from the
    /// restart.
    pub(super) fn leased(collector: Collector) -> Self {
        Self {
            collector: collector.as_label().to_owned(),
            boot_id: None,
            sent_ms: 0,
            answered_ms: None,
        }
    }

    /// The call, as far as this boot can tell: of another boot, or from the
    /// future, it has no answer yet, and so counts from now.
    pub(super) fn call(&self, boot_id: Option<&str>, now: Uptime) -> Call {
        let same_boot = boot_id.is_some() && self.boot_id.as_deref() == boot_id;
        let collector = Collector::from_label(&self.collector).unwrap_or(Collector::History);
        let sent = moment(self.sent_ms);
        let (sent, answered) = if same_boot && sent <= now {
            (sent, self.answered_ms.map(|at| moment(at).min(now)))
        } else {
            (now, None)
        };
        Call {
            collector,
            sent,
            answered,
        }
    }
}

/// Writes calls as they were made, and those that may be made, and forgets others: those that are
/// `None`, and those with lower numbers than `oldest`. Where a row that cannot be read is replaced,
/// it stays known that calls are missing, until [`complete`] is called.
pub(super) fn change(
    writing: &WriteTransaction,
    budget: &str,
    oldest: u64,
    calls: &[Entry],
) -> Result<(), StoreError> {
    let of = budget_number(writing, budget)?;
    let mut table = writing.open_table(CALLS)?;
    table.retain_in((of, 0)..(of, oldest / IN_ROW), |_, _| false)?;
    // Of this one, too, calls may be forgotten.
    let mut rows = BTreeMap::from([(oldest / IN_ROW, BTreeMap::new())]);
    for (number, call) in calls {
        let row = rows.entry(number / IN_ROW).or_default();
        row.insert(*number, call.clone());
    }
    for (row, changes) in rows {
        let key = (of, row);
        let saved = table.get(key)?.map(|saved| saved.value().to_vec());
        let mut calls = BTreeMap::new();
        if let Some(saved) = &saved {
            match decode(budget, row, saved) {
                Some(known) => calls.extend(known),
                None => drop(table.insert((of, MISSING), [].as_slice())?),
            }
        }
        for (number, call) in changes {
            match call {
                Some(call) => calls.insert(number, call),
                None => calls.remove(&number),
            };
        }
        calls.retain(|number, _| *number >= oldest);
        let row = (!calls.is_empty()).then(|| encode(calls)).transpose()?;
        match &row {
            _ if row == saved => {}
            Some(row) => drop(table.insert(key, row.as_slice())?),
            None => drop(table.remove(key)?),
        }
    }
    Ok(())
}

/// Says that calls of the budget are missing.
pub(super) fn incomplete(writing: &WriteTransaction, budget: &str) -> Result<(), StoreError> {
    let of = budget_number(writing, budget)?;
    let mut table = writing.open_table(CALLS)?;
    table.insert((of, MISSING), [].as_slice())?;
    Ok(())
}

/// Says that all calls of the budget are known, or accounted for by its reserve.
pub(super) fn complete(writing: &WriteTransaction, budget: &str) -> Result<(), StoreError> {
    let of = budget_number(writing, budget)?;
    writing.open_table(CALLS)?.remove((of, MISSING))?;
    Ok(())
}

/// Forgets all calls of a budget.
pub(super) fn forget(writing: &WriteTransaction, budget: &str) -> Result<(), StoreError> {
    let mut numbers = writing.open_table(NUMBERS)?;
    let number = numbers.remove(budget)?.map(|number| number.value());
    if let Some(number) = number {
        let mut table = writing.open_table(CALLS)?;
        table.retain_in((number, 0)..=(number, u64::MAX), |_, _| false)?;
    }
    Ok(())
}

/// The number of a budget, which gets one if it has none.
fn budget_number(writing: &WriteTransaction, budget: &str) -> Result<u64, StoreError> {
    let mut numbers = writing.open_table(NUMBERS)?;
    if let Some(number) = numbers.get(budget)? {
        return Ok(number.value());
    }
    let next = numbers.get("")?.map_or(0, |number| number.value());
    numbers.insert(budget, next)?;
    numbers.insert("", next.saturating_add(1))?;
    Ok(next)
}

/// All calls of a budget, or of the tenant by whose name schema 2 kept them, and whether none is
/// missing.
pub(super) fn read(
    reading: &ReadTransaction,
    owner: &str,
) -> Result<(BTreeMap<u64, CallRow>, bool), StoreError> {
    let (mut calls, mut is_whole) = (BTreeMap::new(), true);
    let number = reading.open_table(NUMBERS)?.get(owner)?;
    let Some(number) = number.map(|number| number.value()) else {
        // Whoever holds a budget gives it one.
        let is_held = reading.open_table(BUDGETS)?.get(owner)?.is_some();
        return Ok((calls, !is_held));
    };
    let rows = reading.open_table(CALLS)?;
    for row in rows.range((number, 0)..=(number, u64::MAX))? {
        let (key, row) = row?;
        let row = decode(owner, key.value().1, row.value());
        is_whole &= row.is_some();
        calls.extend(row.into_iter().flatten());
    }
    Ok((calls, is_whole))
}

fn encode(calls: BTreeMap<u64, CallRow>) -> Result<Vec<u8>, StoreError> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for (number, call) in calls {
        let group = groups.entry((call.collector, call.boot_id)).or_default();
        group.push(TimesRow {
            number,
            sent_ms: call.sent_ms,
            answered_ms: call.answered_ms,
        });
    }
    let groups = groups
        .into_iter()
        .map(|((collector, boot_id), calls)| GroupRow {
            collector,
            boot_id,
            calls,
        });
    rows::encode(&groups.collect::<Vec<_>>())
}

/// The calls of a row, unless it cannot be read, or has calls of another one.
pub(super) fn decode(
    owner: &str,
    number: u64,
    row: &[u8],
) -> Option<impl Iterator<Item = (u64, CallRow)> + use<>> {
    let groups = rows::read::<Vec<GroupRow>>(owner, row)?;
    let mut calls = groups.iter().flat_map(|group| &group.calls);
    let is_its_own = |call: &TimesRow| call.number / IN_ROW == number && call.number < MOST;
    if !calls.all(is_its_own) {
        return None;
    }
    Some(groups.into_iter().flat_map(|group| {
        let GroupRow {
            collector,
            boot_id,
            calls,
        } = group;
        calls.into_iter().map(move |call| {
            let row = CallRow {
                collector: collector.clone(),
                boot_id: boot_id.clone(),
                sent_ms: call.sent_ms,
                answered_ms: call.answered_ms,
            };
            (call.number, row)
        })
    }))
}

/// Calls as they were made.
pub(super) fn made<'c>(
    calls: impl IntoIterator<Item = &'c (u64, Call)>,
    boot_id: Option<&str>,
) -> impl Iterator<Item = Entry> {
    let calls = calls.into_iter();
    calls.map(move |(number, call)| (*number, Some(CallRow::of(call, boot_id))))
}

/// Calls that may be made.
pub(super) fn leased(
    numbers: impl IntoIterator<Item = (u64, Collector)>,
) -> impl Iterator<Item = Entry> {
    let numbers = numbers.into_iter();
    numbers.map(|(number, collector)| (number, Some(CallRow::leased(collector))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;
    use redb::{Builder, Database, ReadableDatabase as _};

    use super::*;

    fn database() -> Database {
        let memory = Builder::new().create_with_backend(InMemoryBackend::new());
        memory.expect("it needs no disk")
    }

    fn write(database: &Database, budget: &str, oldest: u64, calls: &[Entry]) {
        let writing = database.begin_write().expect("nobody else writes");
        change(&writing, budget, oldest, calls).expect("it can be written");
        writing.commit().expect("it needs no disk");
    }

    fn saved(database: &Database, budget: &str) -> (BTreeMap<u64, CallRow>, bool) {
        let reading = database.begin_read().expect("it needs no disk");
        read(&reading, budget).expect("it can be read")
    }

    fn a_call(at: u64) -> CallRow {
        let at = Uptime::from_boot(Duration::from_millis(at));
        let call = Call {
            collector: Collector::History,
            sent: at,
            answered: (at > Uptime::default()).then_some(at),
        };
        CallRow::of(&call, Some("boot"))
    }

    /// One that is leased, made in this boot or another, or forgotten.
    fn any_change() -> impl Strategy<Value = Entry> {
        let row = prop_oneof![
            Just(Some(CallRow::leased(Collector::Definitions))),
            (0_u64..1 << 40).prop_map(|at| Some(a_call(at))),
            (0_u64..9).prop_map(|at| Some(CallRow {
                boot_id: None,
                ..a_call(at)
            })),
            Just(None),
        ];
        (0..200_u64, row)
    }

    proptest! {
        /// It is as if each call had a row of its own.
        #[test]
        fn calls_are_known_until_they_are_forgotten(
            changes in prop::collection::vec(
                (prop::collection::vec(any_change(), 0..20), 0..4_u64), 1..12
            ),
        ) {
            let database = database();
            let others = [(7, Some(a_call(7)))];
            write(&database, "another", 0, &others);
            let (mut expected, mut oldest) = (BTreeMap::new(), 0);
            for (calls, forgotten) in changes {
                oldest += 10 * forgotten;
                write(&database, "budget", oldest, &calls);
                for (number, call) in calls {
                    match call {
                        Some(call) => expected.insert(number, call),
                        None => expected.remove(&number),
                    };
                }
                expected.retain(|number, _| *number >= oldest);
                prop_assert_eq!(saved(&database, "budget"), (expected.clone(), true));
            }
            let others = others.into_iter().filter_map(|(number, call)| Some((number, call?)));
            prop_assert_eq!(saved(&database, "another").0, others.collect());
        }
    }

    fn write_row(database: &Database, row: u64, bytes: &[u8]) {
        let writing = database.begin_write().expect("nobody else writes");
        let mut table = writing.open_table(CALLS).expect("it can be opened");
        table.insert((0, row), bytes).expect("it needs no disk");
        drop(table);
        writing.commit().expect("it needs no disk");
    }

    /// A damaged row costs its calls alone, and is told of, also once others are written in its
    /// place, until the one who knows says that all is well.
    #[test]
    fn a_damaged_row_is_noticed() {
        let calls = [1, 100].map(|number| (number, Some(a_call(number))));
        let of_another_row = encode(BTreeMap::from([(64, a_call(1))])).unwrap();
        for damaged in [b"no row", of_another_row.as_slice()] {
            let database = database();
            write(&database, "budget", 0, &calls);
            write_row(&database, 0, damaged);
            let (known, is_whole) = saved(&database, "budget");
            assert_eq!(known.into_keys().collect::<Vec<_>>(), [100]);
            assert!(!is_whole);
            write(&database, "budget", 0, &calls);
            let (known, is_whole) = saved(&database, "budget");
            assert_eq!((known.len(), is_whole), (2, false));
            let writing = database.begin_write().unwrap();
            complete(&writing, "budget").unwrap();
            writing.commit().unwrap();
            assert!(saved(&database, "budget").1);
        }
    }

    /// Whoever wrote it, no number is so large that the next one is none.
    #[test]
    fn a_number_is_not_too_large() {
        let database = database();
        write(&database, "budget", 0, &[(1, Some(a_call(1)))]);
        let largest = encode(BTreeMap::from([(u64::MAX, a_call(1))])).unwrap();
        write_row(&database, u64::MAX / IN_ROW, &largest);
        let (known, is_whole) = saved(&database, "budget");
        assert_eq!((known.len(), is_whole), (1, false));
    }
}
