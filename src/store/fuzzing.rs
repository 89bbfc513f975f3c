//! Rows of a damaged state, for fuzzers and their tests.

use super::Loaded;
use super::rows::{self, CallRow};
use crate::clock::Uptime;
use crate::model::DefinitionId;

/// What would be loaded if every row were these bytes.
pub(crate) fn loaded(data: &[u8]) -> Loaded {
    let call = rows::read::<CallRow>("contoso", data);
    let definition = rows::read("contoso", data);
    Loaded {
        calls: call
            .map(|row| (0, row.call(Some("boot"), Uptime::default())))
            .into_iter()
            .collect(),
        tenant: rows::read("contoso", data),
        definitions: definition
            .map(|row| (DefinitionId::new("a"), row))
            .into_iter()
            .collect(),
    }
}
