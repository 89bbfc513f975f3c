//! The status page: what needs attention, and whether the data can be trusted.

use maud::{Markup, html};

use super::query::{Query, Sort, definition_link};
use super::status::{AgentStatus, Condition, PAGE, Row, Status, TenantStatus, percent};
use super::text::{
    clean, condition, count, endings, gaps, host_or, moment, name, name_or, problem, rough, targets,
};
use crate::clock::Timestamp;

/// How many tenants, and how many agents, are listed if not all are asked for.
const LISTED: usize = 25;

/// The whole of it.
pub(super) fn body(status: &Status, query: &Query) -> Markup {
    html! {
        h1 { "Authenticated scans" }
        div #summary {
            (verdict(status))
            (summary(status, query))
            (problems(status))
        }
        section aria-labelledby="definitions-title" {
            h2 #definitions-title { "Definitions" }
            (filters(status, query))
            p #count role="status" { (shown(status)) }
            div #results { (results(status, query)) }
        }
        section #tenants aria-labelledby="tenants-title" {
            h2 #tenants-title { "Tenants" }
            (tenants(status, query))
        }
        section #agents aria-labelledby="agents-title" {
            h2 #agents-title { "Agents" }
            (agents(status, query))
        }
    }
}

/// Both questions answered in a sentence each.
fn verdict(status: &Status) -> Markup {
    let troubled_by = |(condition, _): &&(Condition, usize)| {
        !matches!(condition, Condition::Succeeded | Condition::Inactive)
    };
    let troubled = status.counts.iter().filter(troubled_by);
    let troubled: usize = troubled.map(|(_, count)| count).sum();
    let counts = status.counts.iter().filter(troubled_by);
    let reasons: Vec<_> = counts
        .filter(|(_, count)| *count > 0)
        .map(|(condition, count)| format!("{count} {}", condition.as_str()))
        .collect();
    let (up, tenants) = (status.up(), status.tenants.len());
    let failing = status
        .tenants
        .iter()
        .filter(|tenant| !tenant.failures.is_empty());
    let failing = failing.count();
    html! {
        p.verdict {
            @match (troubled, status.overdue) {
                (0, 0) if up == tenants => "No scan needs attention. ",
                (0, 0) if status.definitions == 0 => "No scans are known. ",
                (0, 0) => "No known scan needs attention. ",
                (0, overdue) => { strong { (count(overdue, "definition")) " overdue" } "; all others are fine. " }
                (troubled, overdue) => {
                    strong {
                        (troubled) " of " (count(status.definitions, "scan"))
                        @if troubled == 1 { " needs attention" } @else { " need attention" }
                    }
                    ": " (reasons.join(", ")) "; " strong { (overdue) " overdue" } ". "
                }
            }
            @match (status.data_age(), tenants - up) {
                (_, _) if tenants == 0 => "No tenant has been polled yet.",
                (None, _) if failing > 0 => {
                    strong { (failing) " of " (count(tenants, "tenant")) " cannot be polled" } ": see below."
                }
                (None, _) => strong { "Not all tenants have been polled yet." },
                (Some(age), 0) => { "All tenants are up; the data is at most " (rough(age)) " old." }
                (Some(age), _) => {
                    strong { (up) " of " (count(tenants, "tenant")) " up" }
                    ": the data is up to " (rough(age)) " old."
                }
            }
        }
    }
}

fn summary(status: &Status, query: &Query) -> Markup {
    let plain = Query {
        sort: query.sort,
        descending: query.descending,
        ..Query::default()
    };
    let (up, tenants) = (status.up(), status.tenants.len());
    let budget = status.budget_used();
    let all = !query.filters();
    html! {
        ul.tiles aria-label="Summary" {
            li { a.tile href=(plain.link(|_| ())) aria-current=[all.then_some("true")] {
                strong { (status.definitions) } (if status.definitions == 1 { " definition" } else { " definitions" })
            } }
            @for (condition, count) in status.counts {
                @let current = query.condition == Some(condition);
                li { a.tile.(condition.key()).zero[count == 0] aria-current=[current.then_some("true")]
                    href=(plain.link(|query| query.condition = Some(condition))) {
                    strong { (count) } " " (condition.as_str())
                } }
            }
            li { a.tile.overdue.zero[status.overdue == 0] aria-current=[query.overdue.then_some("true")]
                href=(plain.link(|query| query.overdue = true)) {
                strong { (status.overdue) } " overdue"
            } }
            li.apart { a.tile.failed[up < tenants].fine[up == tenants] href="#tenants" {
                strong { (up) " of " (tenants) } " tenants up"
            } }
            li { a.tile.partial[budget > 90] href="#tenants" {
                strong { (budget) " %" } " budget used"
            } }
            li { a.tile href="#tenants" {
                strong { @match status.data_age() { Some(age) => (rough(age)), None => "none" } }
                " data age"
            } }
        }
    }
}

/// What is wrong with tenants, in words.
fn problems(status: &Status) -> Markup {
    let troubled = status
        .tenants
        .iter()
        .filter(|tenant| !tenant.failures.is_empty());
    let troubled: Vec<&TenantStatus> = troubled.take(LISTED).collect();
    html! {
        @if !troubled.is_empty() {
            section.problems aria-labelledby="problems-title" {
                h2 #problems-title { "Problems with polling" }
                @for tenant in troubled {
                    h3 { (name(tenant.view.name.as_str())) }
                    ul { @for failure in &tenant.failures { li { (problem(failure, status.now)) } } }
                }
            }
        }
    }
}

fn filters(status: &Status, query: &Query) -> Markup {
    let names = status
        .tenants
        .iter()
        .map(|tenant| tenant.view.name.as_str());
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let types: Vec<&str> = status.scan_types.iter().copied().collect();
    html! {
        form #filters role="search" aria-label="Definitions" method="get" action="./" {
            label.wide { span { "Search" }
                input #search type="search" name="q" value=(query.search) autocomplete="off"
                    spellcheck="false" placeholder="name, id or agent";
            }
            label { span { "Tenant" } (choice("tenant", "all", &names, query.tenant.as_deref())) }
            label { span { "Status" }
                select name="status" {
                    option value="" { "all" }
                    @for known in Condition::ALL {
                        option value=(known.key()) selected[query.condition == Some(known)] { (known.as_str()) }
                    }
                }
            }
            label { span { "Type" } (choice("type", "all", &types, query.scan_type.as_deref())) }
            label.narrow { span { "Sort by" }
                select name="sort" {
                    @for sort in Sort::ALL {
                        option value=(sort.key()) selected[query.sort == sort] { (sort.title()) }
                    }
                }
            }
            label.narrow { span { "Order" }
                select name="order" {
                    option value="asc" selected[!query.descending] { "ascending" }
                    option value="desc" selected[query.descending] { "descending" }
                }
            }
            label.check { input type="checkbox" name="overdue" value="1" checked[query.overdue]; span { "overdue only" } }
            button type="submit" { "Apply" }
            @if query.filters() { a href=(Query::default().link(|_| ())) { "Clear" } }
        }
    }
}

/// One of `known`, or what the URL asked for.
fn choice(key: &str, any: &str, known: &[&str], chosen: Option<&str>) -> Markup {
    let strange = chosen.filter(|chosen| !known.contains(chosen));
    html! {
        select name=(key) {
            option value="" { (any) }
            @for value in known.iter().copied().chain(strange) {
                option value=(value) selected[chosen == Some(value)] { (clean(value, 60)) }
            }
        }
    }
}

fn shown(status: &Status) -> String {
    let all = count(status.definitions, "definition");
    if status.pages == 1 && status.matching == status.definitions {
        return all;
    }
    let first = (status.page - 1) * PAGE;
    let range = match status.matching {
        0 => return format!("None of {all}"),
        _ if status.pages == 1 => String::new(),
        _ => format!("{}–{} of ", first + 1, first + status.rows.len()),
    };
    if status.matching == status.definitions {
        return format!("{range}{all}");
    }
    format!("{range}{} matching, of {all}", status.matching)
}

fn results(status: &Status, query: &Query) -> Markup {
    html! {
        @if status.rows.is_empty() {
            p.empty {
                @if status.definitions == 0 { "No definitions are known yet." }
                @else { "No definitions match. " a href=(Query::default().link(|_| ())) { "Show all" } }
            }
        } @else {
            div.scroll role="region" aria-labelledby="definitions-caption" tabindex="0" {
                table.definitions {
                    caption #definitions-caption {
                        "Scan definitions. Overdue: active, last run more than 2 intervals ago; "
                        "the time is counted from when the next run was due."
                    }
                    thead { tr { @for sort in Sort::ALL { (column(sort, query)) } } }
                    tbody { @for row in &status.rows { (definition(row)) } }
                }
            }
            (pages(status, query))
        }
    }
}

fn column(sort: Sort, query: &Query) -> Markup {
    let current = query.sort == sort;
    let direction = match (current, query.descending) {
        (false, _) => None,
        (true, false) => Some("ascending"),
        (true, true) => Some("descending"),
    };
    let link = query.first_page(|query| {
        query.descending = if current {
            !query.descending
        } else {
            sort.largest_first()
        };
        query.sort = sort;
    });
    html! { th scope="col" aria-sort=[direction] { a href=(link) { (sort.title()) } } }
}

fn definition(row: &Row) -> Markup {
    let definition = &row.view.definition;
    let link = definition_link(row.tenant.as_str(), definition.id.as_str());
    let title = |sort: Sort| sort.title();
    html! {
        tr {
            th scope="row" {
                a href=(link) { (name_or(&definition.scan_name, "no name")) }
                small.id { (name(definition.id.as_str())) }
            }
            td data-label=(title(Sort::Tenant)) { (name(row.tenant.as_str())) }
            td data-label=(title(Sort::Type)) { (name_or(row.scan_type().unwrap_or_default(), "none")) }
            td data-label=(title(Sort::Status)) { (condition(row.condition)) }
            td data-label=(title(Sort::Last)) {
                @match (&row.view.last_run, row.age) {
                    (Some(run), Some(age)) => { span { (rough(age)) " ago" } small { (moment(run.at)) } }
                    _ => span.absent { "never" },
                }
            }
            td data-label=(title(Sort::Interval)) {
                @match definition.interval {
                    Some(interval) => (rough(interval)),
                    None => span.absent { "once" },
                }
            }
            td data-label=(title(Sort::Overdue)) {
                @match row.overdue {
                    Some(overdue) => span.condition.overdue { (rough(overdue)) },
                    None => span.absent { "–" },
                }
            }
            td data-label=(title(Sort::Targets)) { (targets(row.view.targets)) }
            td data-label=(title(Sort::Agent)) { (host_or(row.agent_name, "none")) }
        }
    }
}

fn pages(status: &Status, query: &Query) -> Markup {
    let (page, pages) = (status.page, status.pages);
    let to = |page: usize| query.link(|query| query.page = page);
    html! {
        @if pages > 1 {
            nav.pages aria-label="Pages" {
                @if page > 1 { a href=(to(1)) { "First" } a href=(to(page - 1)) rel="prev" { "Previous" } }
                span aria-current="page" { "Page " (page) " of " (pages) }
                @if page < pages { a href=(to(page + 1)) rel="next" { "Next" } a href=(to(pages)) { "Last" } }
            }
        }
    }
}

/// The first of them, or all.
fn listed<'a, T>(all: &'a [T], query: &Query) -> &'a [T] {
    if query.all {
        all
    } else {
        &all[..LISTED.min(all.len())]
    }
}

/// The way from those that are listed to all, where there are more.
fn show_all(listed: usize, all: usize, section: &str, query: &Query) -> Markup {
    html! {
        @if listed < all {
            p { a href={ (query.link(|query| query.all = true)) "#" (section) } { "Show all " (all) " " (section) } }
        }
    }
}

fn tenants(status: &Status, query: &Query) -> Markup {
    let listed = listed(&status.tenants, query);
    html! {
        div.scroll role="region" aria-labelledby="tenants-caption" tabindex="0" {
            table.tenants {
                caption #tenants-caption {
                    "Tenants, their data and their call budgets; those with problems first"
                }
                thead { tr {
                    @for title in ["Tenant", "Polling", "Data age", "Definitions", "Agents", "Calls this minute", "Calls this hour"] {
                        th scope="col" { (title) }
                    }
                } }
                tbody { @for known in listed { (tenant(known, status.now, query)) } }
            }
        }
        (show_all(listed.len(), status.tenants.len(), "tenants", query))
    }
}

fn agents(status: &Status, query: &Query) -> Markup {
    let listed = listed(&status.agents, query);
    html! {
        @if listed.is_empty() {
            p.empty { "No agents are known." }
        } @else {
            div.scroll role="region" aria-labelledby="agents-caption" tabindex="0" {
                table.agents {
                    caption #agents-caption {
                        "Scanning agents; the one that has been silent longest first"
                    }
                    thead { tr {
                        @for title in ["Agent", "Tenant", "Last seen", "Active scans", "Scanner"] {
                            th scope="col" { (title) }
                        }
                    } }
                    tbody { @for known in listed { (agent(known, status.now)) } }
                }
            }
        }
        (show_all(listed.len(), status.agents.len(), "agents", query))
    }
}

fn agent(known: &AgentStatus, now: Timestamp) -> Markup {
    let agent = known.agent;
    let id = agent.id.as_str();
    html! {
        tr {
            th scope="row" { (host_or(&agent.computer_dns_name, "no name")) small.id { (name(id)) } }
            td data-label="Tenant" { (name(known.tenant.as_str())) }
            td data-label="Last seen" {
                @match agent.last_seen {
                    Some(seen) => { span { (rough(now.since(seen))) " ago" } small { (moment(seen)) } }
                    None => span.absent { "never" },
                }
            }
            td data-label="Active scans" { (known.definitions) }
            td data-label="Scanner" { (name_or(&agent.scanner_version, "unknown")) }
        }
    }
}

fn tenant(tenant: &TenantStatus, now: Timestamp, query: &Query) -> Markup {
    let view = tenant.view;
    let filtered = query.first_page(|query| query.tenant = Some(view.name.as_str().to_owned()));
    let (class, word) = match view.health.up {
        Some(true) => ("succeeded", "up"),
        Some(false) => ("failed", "down"),
        None => ("never", "not polled yet"),
    };
    let windows = [
        ("Calls this minute", tenant.usage[0]),
        ("Calls this hour", tenant.usage[1]),
    ];
    html! {
        tr {
            th scope="row" { a href=(filtered) { (name(view.name.as_str())) } }
            td data-label="Polling" {
                span.condition.(class) { (word) }
                @if let Some(until) = tenant.throttled_until { small { "throttled until " (moment(until)) } }
                @if let Some(until) = tenant.reserve_until { small { "slower until " (moment(until)) ": it is not known which calls were made before" } }
                (gaps(&view.health))
                (endings(&view.health))
                @if let Some(at) = view.health.credential_expiry {
                    @if at <= now { strong { "credential expired " (rough(now.since(at))) " ago" } }
                    @else { small { "credential expires in " (rough(at.since(now))) } }
                }
                @if view.health.restarts > 0 { small { "polling was restarted " (count(usize::try_from(view.health.restarts).unwrap_or(usize::MAX), "time")) " after an internal error" } }
                @if view.health.quarantined > 0 { small { (count(view.health.quarantined, "definition")) " in quarantine" } }
            }
            td data-label="Data age" {
                @match tenant.data_age { Some(age) => (rough(age)), None => span.absent { "none" } }
            }
            td data-label="Definitions" { (view.definitions.len()) }
            td data-label="Agents" { (view.agents.len()) }
            @for (label, usage) in windows {
                td data-label=(label) {
                    span { (usage.used) " of " (usage.limit) }
                    meter min="0" max="100" high="90" value=(percent(usage).min(100))
                        aria-label={ (label) " by " (view.name) ", in percent" } {}
                }
            }
        }
    }
}
