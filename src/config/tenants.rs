//! The tenants of all files.

use std::collections::HashMap;

use config_report::{ConfigReport, Location, Reported, YamlValue, collect_all, expected};

use super::defaults::Defaults;
use super::files::ReadContext;
use super::{Tenant, tenant};
use crate::budget::{BudgetKey, Limits};

/// Tenants as they are read, list by list, and what is compared among all of them.
#[derive(Default)]
pub(super) struct Tenants {
    all: Vec<Tenant>,
    /// Whether any could not be read.
    wrong: Option<Reported>,
    /// Where each name stands.
    names: HashMap<String, Location>,
    /// The first tenant of each directory and application.
    budgets: HashMap<String, (BudgetKey, Location, [Limits; 2])>,
}

impl Tenants {
    /// Adds those of a list; whether a secret stands in it.
    pub(super) fn add(
        &mut self,
        value: &YamlValue<'_>,
        report: &mut ConfigReport,
        world: &ReadContext<'_>,
        defaults: &Defaults,
    ) -> bool {
        match self.try_add(value, report, world, defaults) {
            Ok(inline) => inline,
            Err(reported) => {
                self.wrong = Some(reported);
                false
            }
        }
    }

    /// Remembers that some could not be read.
    pub(super) fn fail(&mut self, reported: Reported) {
        self.wrong = Some(reported);
    }

    /// All of them; none, if nothing is wrong but there are none.
    pub(super) fn finish(self) -> Result<Vec<Tenant>, Reported> {
        self.wrong.map_or(Ok(self.all), Err)
    }

    fn try_add(
        &mut self,
        value: &YamlValue<'_>,
        report: &mut ConfigReport,
        world: &ReadContext<'_>,
        defaults: &Defaults,
    ) -> Result<bool, Reported> {
        let items = value.list(report, "a list of tenants")?;
        refuse_halves(&items, report, defaults)?;
        let found = items
            .iter()
            .map(|item| tenant::read(item, report, world, defaults));
        let found = collect_all(found);
        self.refuse_duplicates(&items, report);
        let (tenants, inline): (Vec<_>, Vec<_>) = found?;
        self.warn_of_shared_budgets(&items, &tenants, report);
        self.all.extend(tenants);
        Ok(inline.contains(&true))
    }

    /// Names are compared whatever else is wrong with the tenants.
    fn refuse_duplicates(&mut self, items: &[YamlValue<'_>], report: &mut ConfigReport) {
        for item in items {
            let Some((name, value)) = item.peek("name") else {
                continue;
            };
            let place = item.location(report);
            if let Some(first) = self.names.insert(name.to_owned(), place) {
                let found = format!("that of {} again", shown(&first, report));
                value.error(
                    report,
                    expected("a unique name", &found, "rename one of them"),
                );
            }
        }
    }

    /// The API counts calls per directory and application. Tenants that share both spend one
    /// budget; those that reach the API under different addresses are not known to.
    fn warn_of_shared_budgets(
        &mut self,
        items: &[YamlValue<'_>],
        tenants: &[Tenant],
        report: &mut ConfigReport,
    ) {
        for (value, tenant) in items.iter().zip(tenants) {
            let key = tenant.budget_key();
            let (application, _) = key.as_str().rsplit_once('|').unwrap_or_default();
            let limits = [tenant.limits, tenant.api_limits];
            let Some((first, place, known)) = self.budgets.get(application) else {
                let application = application.to_owned();
                let place = value.location(report);
                self.budgets.insert(application, (key, place, limits));
                continue;
            };
            let place = shown(place, report);
            if *first == key && *known != limits {
                let text = format!(
                    "has a different `quota` from {place}, with which it shares a budget; set the same for both"
                );
                value.warn(report, text);
            }
            if *first != key {
                let text = format!(
                    "has the same directory and application as {place} at another address of the API, which may count their calls together; lower `quota.use` for both"
                );
                value.warn(report, text);
            }
        }
    }
}

/// Another tenant's place: its path, and its file and line unless it is in the same file.
fn shown(place: &Location, report: &ConfigReport) -> String {
    if place.origin == report.origin() {
        place.key.clone()
    } else {
        place.to_string()
    }
}

/// An entry that goes on with the one before gets one message, not one for each key.
fn refuse_halves(
    items: &[YamlValue<'_>],
    report: &mut ConfigReport,
    defaults: &Defaults,
) -> Result<(), Reported> {
    let shared = !matches!(defaults.credential, Ok(None));
    let is_whole =
        |item: &YamlValue<'_>| item.has("tenant_id") && (shared || item.has("credential"));
    let continues = |pair: &&[YamlValue<'_>]| {
        let [before, item] = pair else { return false };
        !(item.has("name") || is_whole(before))
    };
    let Some([_, item]) = items.windows(2).find(continues) else {
        return Ok(());
    };
    let what = "`name` in each entry of the list";
    let found = "one that continues the previous entry";
    let advice = "write `- ` only before the first key of a tenant";
    Err(item.error(report, expected(what, found, advice)))
}
