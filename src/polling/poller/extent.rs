//! How far rounds of pages go: counted, and logged once per change.

use super::Poller;
use crate::model::health::{Collector, Incomplete};
use crate::schedule::Request;

/// How far a round of pages went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// To the last page.
    Whole,
    /// To the last page: an answer was cut short, and `$skip` brought the rest.
    Continued,
    /// To the last page, but some records could not be read, which are counted and logged apart.
    Unreadable,
    /// To where an answer was cut short: `$skip` brought no more.
    Truncated,
    /// To a page whose link to the next is not followed, which is counted and logged apart.
    Refused,
    /// To a page that brought nothing new, or whose link to the next came before.
    Endless,
}

impl Extent {
    /// Whether nothing is missing.
    pub(super) fn is_whole(self) -> bool {
        self.incomplete().is_none()
    }

    /// Why something is missing, if it is.
    fn incomplete(self) -> Option<Incomplete> {
        match self {
            Self::Whole | Self::Continued => None,
            Self::Truncated => Some(Incomplete::CutShort),
            Self::Refused => Some(Incomplete::RefusedLink),
            Self::Endless => Some(Incomplete::Endless),
            Self::Unreadable => Some(Incomplete::Unreadable),
        }
    }

    fn text(self, collector: Collector) -> &'static str {
        match self {
            Self::Whole => "responses are complete again",
            Self::Continued => {
                "the response was truncated without a link to the next page; the rest was fetched with $skip"
            }
            Self::Unreadable => "records cannot be read, so no known record is removed",
            Self::Truncated if collector.payer() == Collector::History => {
                "the response was truncated without a link to the next page, and $skip returned nothing more; the ids are requested in smaller batches, and for a single id the partial response is used"
            }
            Self::Truncated => {
                "the response was truncated without a link to the next page, and $skip returned nothing more; the partial response is used, and no known record is removed"
            }
            Self::Refused => "the link to the next page was rejected",
            Self::Endless => {
                "the links to next pages never end; the pages fetched so far are used, and no known record is removed"
            }
        }
    }
}

impl Poller {
    /// Counts a round that does not end, and logs it when rounds go another way than before.
    pub(super) fn note_extent(&mut self, request: &Request, extent: Extent) {
        let collector = request.collector();
        if extent == Extent::Endless {
            self.tenant.health.collector_mut(collector).endless += 1;
        }
        if matches!(request, Request::Definitions | Request::Agents) {
            self.tenant.health.collector_mut(collector).incomplete = extent.incomplete();
        }
        let ids = request.ids();
        let before = self.extents.get(&collector).copied();
        let (tenant, label) = (self.tenant.name(), collector.as_label());
        if extent == Extent::Whole {
            // An answer about fewer ids says nothing of one about more.
            if before.is_some_and(|(_, asked)| asked <= ids) {
                self.extents.remove(&collector);
                self.announced.refused_links.remove(&collector);
                tracing::info!(%tenant, collector = label, "{}", extent.text(collector));
            }
            return;
        }
        if extent != Extent::Refused {
            self.announced.refused_links.remove(&collector);
        }
        let is_logged_apart = matches!(extent, Extent::Refused | Extent::Unreadable);
        if !is_logged_apart && before.is_none_or(|(before, _)| before != extent) {
            tracing::warn!(%tenant, collector = label, "{}", extent.text(collector));
        }
        self.extents.insert(collector, (extent, ids));
    }
}
