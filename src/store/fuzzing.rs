//! Rows of a damaged state, for fuzzers and their tests.

use super::Loaded;
use super::call_log;
use super::rows::{self, BudgetRow, DefinitionRow, TenantRow};
use crate::clock::Uptime;
use crate::model::DefinitionId;

/// What would be loaded if every row were these bytes.
pub(crate) fn loaded(data: &[u8]) -> Loaded {
    let calls = call_log::decode("contoso", 0, data);
    let definition = rows::read::<DefinitionRow<'_>>("contoso", data);
    let budget = rows::read::<BudgetRow>("contoso", data);
    Loaded {
        calls: calls
            .into_iter()
            .flatten()
            .map(|(number, row)| (number, row.call(Some("boot"), Uptime::default())))
            .collect(),
        reserve: budget.map(|row| row.reserve()).unwrap_or_default(),
        tenant: rows::read::<TenantRow>("contoso", data).map(Into::into),
        definitions: definition
            .map(|row| (DefinitionId::new("a"), row.into()))
            .into_iter()
            .collect(),
        ..Loaded::default()
    }
}
