//! Sessions that are asked for by their ids.

use super::*;
use crate::model::{Details, SessionDetails, Targets};

/// A tenant with two definitions whose newest sessions are to be asked for.
fn asking() -> KnownTenant {
    let mut tenant = tenant(all());
    let now = Clock::system().now();
    let (a, b) = (DefinitionId::new("a"), DefinitionId::new("b"));
    tenant.apply_listing(vec![definition("a", false), definition("b", false)], now);
    let bare = |id: &str, definition: &DefinitionId| Session {
        definition_id: definition.clone(),
        details: Details::default(),
        ..session(id)
    };
    let mut history = vec![bare("a1", &a), bare("b1", &b)];
    let ids = [a.clone(), b.clone()];
    tenant.apply_history(&ids, &history, NOW);
    assert_eq!(tenant.take_bare(), [], "first sight");
    history.extend([bare("a2", &a), bare("b2", &b)]);
    tenant.apply_history(&ids, &history, NOW);
    tenant
}

fn named(ids: &[&str]) -> Vec<SessionId> {
    ids.iter().map(|id| SessionId::new(id)).collect()
}

fn details(id: &str) -> SessionDetails {
    SessionDetails {
        id: SessionId::new(id),
        details: Details {
            targets: Targets::new(Some(5), Some(4)),
            ..Details::default()
        },
    }
}

fn targets(tenant: &mut KnownTenant) -> Vec<Option<u32>> {
    let definitions = tenant.view().definitions;
    let newest = definitions.iter().map(|view| view.recent.last());
    newest.map(|known| known?.targets.total).collect()
}

#[test]
fn an_answer_finds_its_definition_by_what_was_asked_for() {
    let mut tenant = asking();
    let asked = tenant.take_bare();
    assert_eq!(asked, named(&["a2", "b2"]));
    tenant.detail(&asked, &[details("A2"), details("nobody"), details("a1")]);
    assert_eq!(targets(&mut tenant), [Some(5), None]);
    let a = &tenant.scans[&DefinitionId::new("a")];
    assert_eq!(a.view().recent[0].targets.total, None, "nobody asked");
    assert!(asked.iter().all(|id| !tenant.asks_for(id)), "given up");
    assert!(tenant.scans.values().all(|scan| scan.bare.is_empty()));
}

#[test]
fn what_vanished_is_not_asked_for_until_it_is_back() {
    let mut tenant = asking();
    let asked = tenant.take_bare();
    let now = Clock::system().now();
    tenant.apply_listing(vec![definition("b", false)], now);
    assert!(!tenant.asks_for(&asked[0]) && tenant.asks_for(&asked[1]));
    tenant.detail(&asked, &[details("a2")]);
    tenant.apply_listing(vec![definition("a", false), definition("b", false)], now);
    assert_eq!(tenant.take_bare(), named(&["a2"]));
    tenant.detail(&asked, &[details("a2")]);
    assert_eq!(targets(&mut tenant), [Some(5), None]);
}

#[test]
fn whoever_goes_on_asks_for_what_is_left() {
    let mut tenant = asking();
    let asked = tenant.take_bare();
    tenant.give_up(&asked[..1]);
    let now = Clock::system().now();
    let schedule = || Schedule::new(crate::config::Poll::default(), now.uptime, 1);
    let budget = tenant.budget.clone();
    let mut tenant = tenant.resume(
        &schedule(),
        &mut schedule(),
        TenantInfo::default(),
        all(),
        budget,
        now.uptime,
    );
    assert_eq!(tenant.take_bare(), asked[1..]);
}
