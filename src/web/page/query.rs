//! What the reader of the status page asked for: the part of the URL after `?`.
//!
//! Whatever stands there is understood or left out; nothing is a mistake.

use url::form_urlencoded::{Serializer, parse};

use super::status::Condition;

/// What the rows are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// What needs attention most first.
    #[default]
    Status,
    Name,
    Tenant,
    Type,
    /// The age of the newest run.
    Last,
    Interval,
    Overdue,
    Targets,
    Agent,
}

impl Sort {
    /// All members, in the order of the columns.
    pub(super) const ALL: [Self; 9] = [
        Self::Name,
        Self::Tenant,
        Self::Type,
        Self::Status,
        Self::Last,
        Self::Interval,
        Self::Overdue,
        Self::Targets,
        Self::Agent,
    ];

    /// As the URL names it.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Name => "name",
            Self::Tenant => "tenant",
            Self::Type => "type",
            Self::Last => "last",
            Self::Interval => "interval",
            Self::Overdue => "overdue",
            Self::Targets => "targets",
            Self::Agent => "agent",
        }
    }

    /// The column's title.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Status => "Status",
            Self::Name => "Name",
            Self::Tenant => "Tenant",
            Self::Type => "Type",
            Self::Last => "Last scan",
            Self::Interval => "Interval",
            Self::Overdue => "Overdue by",
            Self::Targets => "Targets",
            Self::Agent => "Agent",
        }
    }

    /// Whether a first click puts the largest first.
    pub(super) const fn largest_first(self) -> bool {
        matches!(self, Self::Overdue)
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// Words that all must be in a definition's name, id or agent.
    pub(super) search: String,
    pub(super) tenant: Option<String>,
    pub(super) condition: Option<Condition>,
    pub(super) scan_type: Option<String>,
    /// Overdue ones alone.
    pub(super) overdue: bool,
    pub(super) sort: Sort,
    pub(super) descending: bool,
    /// Counted from 1.
    pub(super) page: usize,
    /// All tenants and agents, however many there are.
    pub(super) all: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            search: String::new(),
            tenant: None,
            condition: None,
            scan_type: None,
            overdue: false,
            sort: Sort::default(),
            descending: false,
            page: 1,
            all: false,
        }
    }
}

impl Query {
    /// Reads the part of a URL after `?`. Of several values the last counts.
    pub(super) fn read(text: &str) -> Self {
        let mut query = Self::default();
        let mut order = None;
        for (key, value) in parse(text.as_bytes()) {
            let given = (!value.is_empty()).then(|| value.clone().into_owned());
            match &*key {
                "q" => value.trim().clone_into(&mut query.search),
                "tenant" => query.tenant = given,
                "status" => query.condition = Condition::from_key(&value),
                "type" => query.scan_type = given,
                "overdue" => query.overdue = given.is_some(),
                "sort" => {
                    let known = Sort::ALL.into_iter().find(|sort| sort.key() == value);
                    query.sort = known.unwrap_or_default();
                }
                "order" => order = Some(value.into_owned()),
                "page" => query.page = value.parse().unwrap_or(1).max(1),
                "all" => query.all = value == "1",
                _ => {}
            }
        }
        query.descending = match order.as_deref() {
            Some("asc") => false,
            Some("desc") => true,
            _ => query.sort.largest_first(),
        };
        query
    }

    /// A link, relative to the status page, to what is asked for after `change`.
    pub(super) fn link(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut query = self.clone();
        change(&mut query);
        query.write()
    }

    /// A link to the same with other rows, from their first page on.
    pub(super) fn first_page(&self, change: impl FnOnce(&mut Self)) -> String {
        self.link(|query| {
            query.page = 1;
            change(query);
        })
    }

    fn write(&self) -> String {
        let mut pairs = Serializer::new(String::new());
        if !self.search.is_empty() {
            pairs.append_pair("q", &self.search);
        }
        if let Some(tenant) = &self.tenant {
            pairs.append_pair("tenant", tenant);
        }
        if let Some(condition) = self.condition {
            pairs.append_pair("status", condition.key());
        }
        if let Some(scan_type) = &self.scan_type {
            pairs.append_pair("type", scan_type);
        }
        if self.overdue {
            pairs.append_pair("overdue", "1");
        }
        if self.sort != Sort::default() {
            pairs.append_pair("sort", self.sort.key());
        }
        if self.descending != self.sort.largest_first() {
            pairs.append_pair("order", if self.descending { "desc" } else { "asc" });
        }
        if self.page > 1 {
            pairs.append_pair("page", &self.page.to_string());
        }
        if self.all {
            pairs.append_pair("all", "1");
        }
        match pairs.finish() {
            pairs if pairs.is_empty() => "./".to_owned(),
            pairs => format!("./?{pairs}"),
        }
    }

    /// Whether some definitions are filtered out.
    pub(super) fn filters(&self) -> bool {
        let Self {
            search,
            tenant,
            condition,
            scan_type,
            overdue,
            ..
        } = self;
        !search.is_empty()
            || tenant.is_some()
            || condition.is_some()
            || scan_type.is_some()
            || *overdue
    }
}

/// A link, relative to the status page, to the page of one definition. Its id is
/// a parameter: as a part of the path, "." and ".." would lead elsewhere, and
/// many proxies do not let a "/" through.
pub(super) fn definition_link(tenant: &str, id: &str) -> String {
    let mut pairs = Serializer::new(String::new());
    pairs.append_pair("tenant", tenant).append_pair("id", id);
    format!("definition?{}", pairs.finish())
}

/// Reads what [`definition_link`] wrote: tenant and id.
pub(super) fn read_definition(text: &str) -> Option<(String, String)> {
    let value = |wanted: &str| {
        let mut pairs = parse(text.as_bytes());
        pairs.find_map(|(key, value)| (key == wanted).then(|| value.into_owned()))
    };
    Some((value("tenant")?, value("id")?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_understood_is_left_out() {
        for text in [
            "",
            "&&=&=&%",
            "page=0&sort=nothing&status=odd&order=up",
            "page=-1&q=++&tenant=&type=&overdue=&status=",
            "page=99999999999999999999999",
            "sort",
        ] {
            assert_eq!(Query::read(text), Query::default(), "{text}");
        }
        assert_eq!(Query::read("q=%ff%00<").search, "\u{fffd}\0<");
        assert!(Query::read("sort=overdue").descending);
        assert!(!Query::read("sort=overdue&order=asc").descending);
    }

    proptest! {
        #[test]
        fn a_link_says_what_was_read(text in ".*") {
            let query = Query::read(&text);
            let link = query.link(|_| ());
            let text = link.strip_prefix("./").expect("it is relative");
            prop_assert_eq!(Query::read(text.trim_start_matches('?')), query);
        }

        #[test]
        fn any_id_comes_back(tenant in ".*", id in ".*") {
            let link = definition_link(&tenant, &id);
            let text = link.strip_prefix("definition?").expect("it is relative");
            prop_assert!(text.is_ascii() && !text.contains(['"', '<', '#', ' ']));
            prop_assert_eq!(read_definition(text), Some((tenant, id)));
        }
    }
}
