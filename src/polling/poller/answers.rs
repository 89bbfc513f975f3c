//! What an answer says beside what was asked for: how long it took, that the endpoint will end,
//! that the next page is elsewhere, that some of it cannot be read.

use std::collections::BTreeMap;

use super::Poller;
use crate::clock::Uptime;
use crate::defender::Answer;
use crate::model::health::{Collector, Lifecycle, Skipped};

/// What has been logged of each collector's answers, so that each change is logged once.
#[derive(Debug, Default)]
pub(super) struct Announced {
    lifecycles: BTreeMap<Collector, Lifecycle>,
    pub(super) refused_links: BTreeMap<Collector, String>,
    /// When what is left out was last logged, by the reason; `None`: values that cannot be read.
    pub(super) left_out: BTreeMap<(Collector, Option<Skipped>), Uptime>,
}

impl Poller {
    /// Counts an answer, and logs what it says beside its page.
    pub(super) fn note_answer<T>(&mut self, collector: Collector, answer: &Answer<T>) {
        let (status, seconds) = (answer.status, answer.elapsed.as_secs_f64());
        tracing::debug!(tenant = %self.tenant.name(), collector = collector.as_label(), status, seconds, "called");
        self.tenant
            .health
            .collector_mut(collector)
            .count(answer.status, answer.elapsed);
        if let Some(lifecycle) = answer.lifecycle {
            self.note_lifecycle(collector, lifecycle);
        }
        let page = answer.result.as_ref().ok();
        if let Some(why) = page.and_then(|page| page.refused_link.as_ref()) {
            self.note_refused_link(collector, why);
        }
        if let Some(page) = page {
            self.count_unread(collector, &page.unread);
        }
    }

    fn note_lifecycle(&mut self, collector: Collector, said: Lifecycle) {
        let health = self.tenant.health.collector_mut(collector);
        health.hear(said, self.clock.wall());
        let sunset = health.lifecycle.sunset;
        if said == Lifecycle::default()
            || self.announced.lifecycles.insert(collector, said) == Some(said)
        {
            return;
        }
        tracing::warn!(
            tenant = %self.tenant.name(),
            endpoint = collector.as_label(),
            deprecated = said.is_deprecated,
            sunset = sunset.map(tracing::field::display),
            gone = said.is_gone,
            "the API announces the retirement of an endpoint; look for a newer version of the exporter"
        );
    }

    fn note_refused_link(&mut self, collector: Collector, why: &str) {
        self.tenant.health.links_refused += 1;
        let before = self
            .announced
            .refused_links
            .insert(collector, why.to_owned());
        if before.is_none_or(|before| before != why) {
            tracing::warn!(
                tenant = %self.tenant.name(),
                collector = collector.as_label(),
                "the link to the next page {why}; it was not followed, so the list is incomplete"
            );
        }
    }
}
