//! Listings in pages: where one goes on, and what may be wrong with that.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::api::{Call, items};
use super::faults::Fault;
use super::wire::{Refusal, number};
use super::{Endpoint, Shared, lock};

/// How many next links of a tenant's endpoint stay good: the latest.
const KEPT_PAGES: usize = 16;
/// The most that `$top` may ask for.
const MOST: usize = 10_000;

/// How a list never ends: its last page has a next link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endless {
    /// To the last page again, each time by another link.
    Growing,
    /// To a page without records, each time by another link.
    Blank,
    /// To the last page again, each time by another link and with ids that were not there.
    Invented,
    /// Back to an earlier page, by the link that led there before. So does the page that so
    /// many links led to, whether or not it is the last.
    Circle(usize),
}

/// What becomes of `$skip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// So many records are left out.
    Obeyed,
    /// The answer is the same as without.
    Ignored,
    /// It is answered with this status.
    Refused(u16),
}

/// The rests of answers that go on at a next link, by whose they are.
#[derive(Debug, Default)]
pub(super) struct Pages {
    rests: HashMap<(usize, Endpoint), BTreeMap<u64, Rest>>,
    latest: u64,
}

/// Where a listing goes on. Its pages share the records.
#[derive(Clone, Debug)]
struct Rest {
    records: Arc<[Value]>,
    offset: usize,
    /// The links that led here, the first one first.
    links: Vec<u64>,
    /// Whether a page without records comes in between.
    blank: bool,
}

impl Pages {
    fn rest(&self, owner: (usize, Endpoint), token: &str) -> Option<Rest> {
        let token = token.parse().ok()?;
        self.rests.get(&owner)?.get(&token).cloned()
    }

    fn keep(&mut self, owner: (usize, Endpoint), mut rest: Rest) -> u64 {
        self.latest += 1;
        rest.links.push(self.latest);
        let rests = self.rests.entry(owner).or_default();
        rests.insert(self.latest, rest);
        if rests.len() > KEPT_PAGES {
            rests.pop_first();
        }
        self.latest
    }
}

/// The page that a call asks for.
pub(super) fn page(shared: &Shared, call: &Call, fault: Option<&Fault>) -> Result<Value, Refusal> {
    let owner = (call.tenant, call.endpoint);
    let rest = match call.query.get("$skiptoken") {
        None => first(shared, call, fault)?,
        Some(token) => lock(&shared.pages)
            .rest(owner, token)
            .filter(|_| !matches!(fault, Some(Fault::ExpiredPages)))
            .ok_or_else(|| Refusal::bad_request("the skip token is invalid"))?,
    };
    let size = if rest.blank {
        0
    } else {
        shared.options.page_size.max(1)
    };
    let end = rest.offset.saturating_add(size).min(rest.records.len());
    let context = call.path.trim_start_matches("/api/");
    let mut records = rest.records[rest.offset..end].to_vec();
    if let (Some(Fault::Endless(Endless::Invented)), [.., link]) = (fault, rest.links.as_slice()) {
        for record in &mut records {
            rename(record, *link);
        }
    }
    let mut answer = json!({
        "@odata.context": format!("{}/api/$metadata#{context}", call.origin),
        "value": records,
    });
    if let Some(Fault::NextLink(link)) = fault {
        answer["@odata.nextLink"] = link.as_str().into();
        return Ok(answer);
    }
    let Some(token) = next(shared, call, fault, rest, end) else {
        return Ok(answer);
    };
    let origin = match fault {
        Some(Fault::NextLinkElsewhere(origin)) => origin,
        _ => &call.origin,
    };
    let link = format!("{origin}{}?$skiptoken={token}", call.path);
    answer["@odata.nextLink"] = link.into();
    Ok(answer)
}

/// The token of the link to the page after this one, which ends before `end`.
fn next(
    shared: &Shared,
    call: &Call,
    fault: Option<&Fault>,
    rest: Rest,
    end: usize,
) -> Option<u64> {
    let is_last = end == rest.records.len();
    let same = call.query.get("$skiptoken").and(rest.links.last().copied());
    let history = matches!(call.endpoint, Endpoint::History | Endpoint::Sessions);
    // The last record comes again on the next page, as it happens when the list grows in between.
    let overlap = usize::from(history && shared.options.page_size > 2 && end > rest.offset);
    let offset = match fault {
        Some(Fault::NextLinkLoop) if same.is_some() => return same,
        Some(Fault::Endless(Endless::Circle(pages))) if is_last || rest.links.len() >= *pages => {
            let back = rest.links.len().saturating_sub(*pages);
            match rest.links.get(back) {
                Some(link) => return Some(*link),
                None => rest.offset,
            }
        }
        Some(Fault::NextLinkLoop) => rest.offset,
        Some(Fault::Endless(Endless::Growing | Endless::Invented)) if is_last => rest.offset,
        Some(Fault::Endless(Endless::Blank)) => end,
        _ if is_last => return None,
        Some(Fault::NextLinkElsewhere(_)) => end,
        _ => end - overlap,
    };
    let blank = matches!(fault, Some(Fault::BlankPages)) && !rest.blank;
    let rest = Rest {
        offset,
        blank,
        ..rest
    };
    Some(lock(&shared.pages).keep((call.tenant, call.endpoint), rest))
}

/// Gives a record an id that was not there.
fn rename(record: &mut Value, mark: u64) {
    for name in ["id", "Id", "sessionId", "SessionIds"] {
        if let Some(id) = record.get_mut(name) {
            *id = format!("{}-{mark}", id.as_str().unwrap_or_default()).into();
        }
    }
}

/// The beginning of a listing.
fn first(shared: &Shared, call: &Call, fault: Option<&Fault>) -> Result<Rest, Refusal> {
    let (max, received) = (shared.options.max_batch, call.ids.len());
    if call.endpoint != Endpoint::Agents && received > max {
        return Err(Refusal::too_many(received, max));
    }
    let mut skip = number(&call.query, "$skip")?.unwrap_or(0);
    let top = number(&call.query, "$top")?;
    if top.is_some_and(|top| top > MOST) {
        let text = "the limit of '10000' for Top query has been exceeded";
        return Err(Refusal::bad_request(text));
    }
    let mut most = top.unwrap_or(usize::MAX);
    if let Some(Fault::Cap { records, skip: how }) = fault {
        most = most.min(*records);
        match how {
            Skip::Refused(status) if skip > 0 => return Err(Refusal::no_skip(*status)),
            Skip::Ignored => skip = 0,
            _ => {}
        }
    }
    let all = items(shared, &shared.world(), call)?;
    Ok(Rest {
        records: all.into_iter().skip(skip).take(most).collect(),
        offset: 0,
        links: Vec::new(),
        blank: false,
    })
}
