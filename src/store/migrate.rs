//! From older schemas to this one, inside the transaction that opens the file.
//!
//! | to | what changed |
//! | --- | --- |
//! | 2 | a scan ends with its newest sessions; they are learned anew from history |

use redb::{ReadableTable as _, WriteTransaction};
use serde::Deserialize;

use super::DEFINITIONS;
use crate::clock::Timestamp;
use crate::model::{Definition, ScanStatus};
use crate::snapshot::SessionCounts;

/// A scan of schema 1. Read only to find where it ends.
#[derive(Deserialize)]
#[expect(dead_code, reason = "the fields are the layout")]
struct Scan1 {
    definition: Definition,
    newest: Option<Newest1>,
    covered: bool,
    last_success: Option<Timestamp>,
    seen: Vec<u64>,
    met: bool,
    counts: SessionCounts,
}

/// When, how, of how many targets, and how many of them.
type Newest1 = (Option<Timestamp>, ScanStatus, Option<u32>, Option<u32>);

/// An empty list in postcard.
const NO_SESSIONS: &[u8] = &[0];

/// Brings all rows from schema 1 to 2. A row that can not be read is left out.
pub(super) fn to_2(writing: &WriteTransaction) -> Result<(), redb::Error> {
    let mut definitions = writing.open_table(DEFINITIONS)?;
    let mut rows = Vec::new();
    for row in definitions.iter()? {
        let (key, value) = row?;
        let (tenant, id) = key.value();
        let migrated = definition_to_2(value.value()).inspect_err(
            |error| tracing::warn!(tenant, %error, "a row of the state can not be read and is left out"),
        );
        rows.push(((tenant.to_owned(), id.to_owned()), migrated.ok()));
    }
    for ((tenant, id), row) in rows {
        let key = (tenant.as_str(), id.as_str());
        match row {
            Some(row) => definitions.insert(key, row.as_slice())?,
            None => definitions.remove(key)?,
        };
    }
    Ok(())
}

/// The sessions come right behind what the scan was.
fn definition_to_2(row: &[u8]) -> Result<Vec<u8>, postcard::Error> {
    let (_, rest) = postcard::take_from_bytes::<Scan1>(row)?;
    let (scan, rest) = row.split_at(row.len() - rest.len());
    Ok([scan, NO_SESSIONS, rest].concat())
}
