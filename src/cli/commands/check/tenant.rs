//! The steps of one tenant's check. Each is taken if those that it needs worked.

use std::time::Duration;

use super::call_budget::{CallBudget, TenantBudget, reserve};
use super::report::{Checked, Finding, Outcome, Step};
use crate::budget::Scope;
use crate::clock::Clock;
use crate::config::{Credential, Metrics, Tenant};
use crate::defender::advice;
use crate::defender::{
    ApiError, AuthError, Bearer, Client, FromWire, HttpClient, Page, Permissions, TokenSource,
    reach,
};
use crate::exposition::catalog;
use crate::model::health::Collector;
use crate::model::{Definition, DefinitionId};
use crate::polling::tenant::publishes;
use crate::schedule::{AGENTS_SHARE, DEFINITIONS_SHARE};

/// The longest time for one tenant.
const LONGEST: Duration = Duration::from_secs(45);

/// A client secret or certificate that expires sooner is worth a word.
const SOON: Duration = Duration::from_hours(30 * 24);

/// Takes all steps, or as many as there is time for.
pub(super) async fn check(
    tenant: &Tenant,
    http: HttpClient,
    all_calls: &CallBudget,
    metrics: &Metrics,
    clock: Clock,
) -> Checked {
    let mut steps = Vec::new();
    let mut calls = 0;
    match all_calls.budget(tenant).await {
        Ok(budget) => {
            let mut check = Check {
                tenant,
                http: http.clone(),
                client: Client::new(http.clone(), tenant.api_base_url.clone(), clock.clone())
                    .of_version(tenant.api_version.as_deref()),
                tokens: TokenSource::new(tenant, http, clock.clone()),
                clock,
                budget,
                series_per_definition: catalog::series_per_definition(metrics),
                permissions: None,
                steps,
            };
            if tokio::time::timeout(LONGEST, check.run()).await.is_err() {
                check.run_out();
            }
            (steps, calls) = (check.steps, check.budget.spent());
        }
        Err(error) => {
            let text = error.to_string();
            steps.push(Finding::failed(Step::Budget, text, advice::STATE));
        }
    }
    steps.sort_by_key(|finding| finding.step);
    Checked {
        tenant: tenant.name.to_string(),
        ok: steps.iter().all(|step| step.outcome != Outcome::Failed),
        calls,
        steps,
    }
}

/// A check under way.
struct Check<'t> {
    tenant: &'t Tenant,
    http: HttpClient,
    client: Client,
    tokens: TokenSource,
    clock: Clock,
    budget: TenantBudget,
    /// The most that are published.
    series_per_definition: usize,
    /// Those in the token, if it can be read.
    permissions: Option<Permissions>,
    steps: Vec<Finding>,
}

/// The rest of the steps cannot be taken, for that reason.
struct Stop(&'static str);

/// Why a call brought nothing.
enum CallError {
    Permit(&'static str),
    Auth(AuthError),
    Api(ApiError),
}

impl Check<'_> {
    async fn run(&mut self) {
        self.configuration();
        let (http, tenant) = (self.http.clone(), self.tenant);
        let (sign_in, api) = tokio::join!(
            async {
                if signs_in(&tenant.credential) {
                    Some(reach(&http, &tenant.authority_host).await)
                } else {
                    None
                }
            },
            reach(&http, &tenant.api_base_url)
        );
        self.host(Step::SignInHost, sign_in, advice::SIGN_IN_CONNECTION);
        self.host(Step::ApiHost, Some(api), advice::API_CONNECTION);
        if let Err(Stop(why)) = self.poll().await {
            self.skip_rest(why);
        }
        self.budget();
    }

    fn configuration(&mut self) {
        let tenant = self.tenant;
        let text = format!("{}, scope {}", tenant.credential.kind(), tenant.scope);
        self.note(Finding::ok(Step::Configuration, text));
    }

    fn host(&mut self, step: Step, reached: Option<Result<(), ApiError>>, otherwise: &'static str) {
        let url = match step {
            Step::SignInHost => &self.tenant.authority_host,
            _ => &self.tenant.api_base_url,
        };
        let origin = url.origin().ascii_serialization();
        let secure = url.scheme() == "https";
        self.note(match reached {
            None => Finding::skipped(step, "the credential does not need it"),
            Some(Ok(())) if secure => Finding::ok(
                step,
                format!("{origin}: name resolution, connection and TLS work"),
            ),
            Some(Ok(())) => Finding::ok(step, format!("{origin}: the connection works")),
            Some(Err(error)) => {
                let advice = match &error {
                    ApiError::Connect(causes) | ApiError::Unanswered(causes) => {
                        causes.advice(otherwise)
                    }
                    _ => otherwise,
                };
                Finding::of_api(step, &error).about(&origin, advice)
            }
        });
    }

    /// The steps that need a token.
    async fn poll(&mut self) -> Result<(), Stop> {
        if self.failed(Step::SignInHost) {
            return Err(Stop("the sign-in host cannot be reached"));
        }
        let mut bearer = self.token().await?;
        if self.failed(Step::ApiHost) {
            return Err(Stop("the API cannot be reached"));
        }
        if let Some(pause) = self.budget.pause {
            let seconds = Duration::from_secs(pause.as_secs() + 1);
            let text = format!(
                "the service is throttling requests, for another {}",
                humantime::format_duration(seconds)
            );
            self.note(Finding::failed(Step::Definitions, text, advice::THROTTLED));
            return Err(Stop("the service is throttling requests"));
        }
        let listed = self.definitions(&mut bearer).await?;
        let configured = self.tenant.definitions.ids.first();
        let seen = listed.as_ref().and_then(|page| page.items.first());
        let id = configured.or(seen.map(|definition| &definition.id));
        self.history(id.cloned(), &mut bearer).await?;
        self.agents(&mut bearer).await?;
        match listed {
            Some(page) => self.seen(&page),
            None => self.note(Finding::skipped(
                Step::DefinitionsSeen,
                "the list could not be fetched",
            )),
        }
        Ok(())
    }

    async fn token(&mut self) -> Result<Bearer, Stop> {
        let bearer = match self.tokens.token().await {
            Ok(bearer) => bearer,
            Err(error) => {
                self.note(Finding::of_auth(Step::Token, &error));
                return Err(Stop("there is no token"));
            }
        };
        let end = self.tokens.expiry();
        let mut text =
            end.map_or_else(|| "obtained".to_owned(), |end| format!("valid until {end}"));
        self.permissions = Permissions::of(&bearer);
        if let Some(permissions) = &self.permissions {
            text = format!("{text}, with {permissions}");
        }
        let secret = self.tenant.credential_expires;
        let secret = secret.map(|end| (end, "client secret", advice::SECRET));
        let certificate = self.tokens.certificate_expiry();
        let certificate = certificate.map(|end| (end, "client certificate", advice::CERTIFICATE));
        let now = self.clock.wall();
        self.note(match secret.or(certificate) {
            // The secret has just worked: the configuration is behind.
            Some((end, what @ "client secret", _)) if end < now => {
                let text = format!("{text}; but `expires` says that the {what} expired at {end}");
                Finding::warning(Step::Token, text, advice::EXPIRES)
            }
            Some((end, what, advice)) if end.since(now) < SOON => {
                let text = format!("{text}; but the {what} expires at {end}");
                Finding::warning(Step::Token, text, advice)
            }
            _ => Finding::ok(Step::Token, text),
        });
        Ok(bearer)
    }

    async fn definitions(&mut self, bearer: &mut Bearer) -> Result<Option<Page<Definition>>, Stop> {
        let mut page = self.list(bearer).await;
        if let Err(CallError::Api(ApiError::Unauthorized(_))) = &page {
            self.tokens.refuse(bearer.clone());
            page = match self.tokens.token().await {
                Ok(renewed) => {
                    *bearer = renewed;
                    self.list(bearer).await
                }
                Err(error) => Err(CallError::Auth(error)),
            };
        }
        if let Err(CallError::Api(ApiError::Unauthorized(detail))) = &page {
            page = Err(CallError::Auth(AuthError::refused_with(detail)));
        }
        self.conclude(Step::Definitions, page)
    }

    async fn list(&mut self, bearer: &Bearer) -> Result<Page<Definition>, CallError> {
        let permit = self.budget.permit(Collector::Definitions).await;
        let permit = permit.map_err(CallError::Permit)?;
        let answer = self.client.definitions(permit, bearer, None).await;
        answer.result.map_err(CallError::Api)
    }

    async fn history(&mut self, id: Option<DefinitionId>, bearer: &mut Bearer) -> Result<(), Stop> {
        let Some(id) = id else {
            let why = "there is no definition to query";
            self.note(Finding::skipped(Step::History, why));
            return Ok(());
        };
        let page = match self.budget.permit(Collector::History).await {
            Ok(permit) => {
                let answer = self.client.history(permit, bearer, &[id], None).await;
                answer.result.map_err(CallError::Api)
            }
            Err(why) => Err(CallError::Permit(why)),
        };
        self.conclude(Step::History, page).map(drop)
    }

    async fn agents(&mut self, bearer: &mut Bearer) -> Result<(), Stop> {
        if self.tenant.poll.agents.is_zero() {
            let why = "switched off by poll.agents";
            self.note(Finding::skipped(Step::Agents, why));
            return Ok(());
        }
        let page = match self.budget.permit(Collector::Agents).await {
            Ok(permit) => {
                let answer = self.client.agents(permit, bearer, None).await;
                answer.result.map_err(CallError::Api)
            }
            Err(why) => Err(CallError::Permit(why)),
        };
        self.conclude(Step::Agents, page).map(drop)
    }

    /// Notes how a call went; after some failures no other call would fare better.
    fn conclude<T: FromWire>(
        &mut self,
        step: Step,
        page: Result<Page<T>, CallError>,
    ) -> Result<Option<Page<T>>, Stop> {
        let trouble = match page {
            Ok(page) => {
                let unread = &page.unread;
                let fields: Vec<_> = unread.values.keys().copied().collect();
                self.note(if let Some(error) = unread.failure(&page.items) {
                    Finding::of_api(step, &error.into())
                } else if !fields.is_empty() {
                    let text = format!(
                        "can be read, except for some values of {}",
                        fields.join(", ")
                    );
                    Finding::warning(step, text, advice::UNREADABLE_VALUES)
                } else if !unread.unknown.is_empty() {
                    let fields = unread.unknown.join(", ");
                    let text =
                        format!("can be read; fields that this version does not use: {fields}");
                    Finding::ok(step, text)
                } else {
                    Finding::ok(step, "can be read")
                });
                return Ok(Some(page));
            }
            Err(trouble) => trouble,
        };
        let (finding, rest) = match &trouble {
            CallError::Permit(why) => (
                Finding::failed(step, *why, advice::THROTTLED),
                Some("there are no calls left"),
            ),
            CallError::Auth(error) => (
                Finding::of_auth(step, error),
                Some("the API refuses the token"),
            ),
            CallError::Api(
                error @ (ApiError::BadRequestOrId(_) | ApiError::BatchTooLarge { .. }),
            ) => (Finding::of_ids(step, error), None),
            CallError::Api(error) => {
                let why = match error {
                    ApiError::Throttled { .. } => Some("the service is throttling requests"),
                    ApiError::Unauthorized(_) => Some("the API refuses the token"),
                    _ => None,
                };
                let finding = Finding::of_api(step, error);
                let finding = match (error, &self.permissions) {
                    (ApiError::Forbidden(_), Some(permissions)) if permissions.suffice() => {
                        finding.with_advice(advice::PERMITTED)
                    }
                    (ApiError::Forbidden(_), Some(_)) => finding.with_advice(advice::NO_PERMISSION),
                    _ => finding,
                };
                (finding, why)
            }
        };
        self.note(finding);
        rest.map_or(Ok(None), |why| Err(Stop(why)))
    }

    fn seen(&mut self, page: &Page<Definition>) {
        let filter = &self.tenant.definitions;
        let published = page.items.iter();
        let published = published.filter(|found| publishes(filter, found)).count();
        let (seen, more) = (page.items.len(), page.next.is_some());
        let further = if more {
            " on the first page, and there are more"
        } else {
            ""
        };
        let text = format!("{seen}{further}, of which {published} are published");
        self.note(if let Some(why) = page.refused_link.clone() {
            Finding::of_api(Step::DefinitionsSeen, &ApiError::RefusedLink(why))
        } else if seen == 0 {
            Finding::warning(Step::DefinitionsSeen, text, advice::NO_DEFINITIONS)
        } else if published == 0 && !more {
            Finding::warning(Step::DefinitionsSeen, text, advice::NONE_PUBLISHED)
        } else {
            Finding::ok(Step::DefinitionsSeen, text)
        });
        if !more {
            self.cost(published);
        }
    }

    /// What polling and publishing the definitions comes to, as docs/polling.md has it for lists
    /// of one page.
    fn cost(&mut self, published: usize) {
        let poll = self.tenant.poll;
        let hour = self.tenant.limits.hour;
        // A list is fetched less often than configured if it would take more than its share.
        let rounds = |interval: Duration, share: usize| {
            let rounds = hour.window.as_millis().div_ceil(interval.as_millis());
            let share = (hour.calls / share).max(1);
            usize::try_from(rounds).map_or(share, |rounds| rounds.min(share))
        };
        let lists = rounds(poll.definitions, DEFINITIONS_SHARE);
        let agents = if poll.agents.is_zero() {
            0
        } else {
            rounds(poll.agents, AGENTS_SHARE)
        };
        let least = lists + agents;
        // Each list may find runs that ended, and cause a batch; the sweep takes one more.
        let most = least + published.min(lists) + 1;
        let (most, each) = match self.tenant.limits.scope {
            Scope::Application => (most.min(hour.calls), ""),
            Scope::Endpoint => (most, " for each endpoint"),
        };
        let text = format!(
            "{least} to {most} calls an hour, of {} allowed{each}; up to {} time series for definitions",
            hour.calls,
            published * self.series_per_definition
        );
        self.note(Finding::ok(Step::Cost, text));
    }

    fn budget(&mut self) {
        let spent = self.budget.spent();
        let Some([minute, hour]) = self.budget.usage() else {
            let text = if self.budget.is_of_an_exporter() {
                format!("calls made: {spent}, out of the budget of the running exporter")
            } else {
                let [minute, hour] = reserve(self.tenant);
                format!(
                    "calls made: {spent}, out of a reserve of {minute} a minute and {hour} an hour"
                )
            };
            self.note(Finding::ok(Step::Budget, text));
            return;
        };
        let left = |usage: crate::budget::Usage| usage.limit.saturating_sub(usage.used);
        let whose = match self.tenant.limits.scope {
            Scope::Application => "",
            Scope::Endpoint => "for the endpoint with the fewest, ",
        };
        let text = format!(
            "{whose}{} of {} calls are left this minute, and {} of {} this hour; calls made: {spent}",
            left(minute),
            minute.limit,
            left(hour),
            hour.limit
        );
        self.note(if left(minute).min(left(hour)) == 0 {
            Finding::warning(Step::Budget, text, advice::BUDGET)
        } else {
            Finding::ok(Step::Budget, text)
        });
    }

    fn note(&mut self, finding: Finding) {
        self.steps.push(finding);
    }

    fn failed(&self, step: Step) -> bool {
        let of_step = self.steps.iter().find(|finding| finding.step == step);
        of_step.is_some_and(|finding| finding.outcome == Outcome::Failed)
    }

    /// Steps that were not taken, besides those that need not and the last, which always is.
    fn missing(&self) -> Vec<Step> {
        let taken = |step: &Step| self.steps.iter().any(|finding| finding.step == *step);
        let steps = Step::ALL.into_iter();
        steps
            .filter(|step| !matches!(step, Step::Cost | Step::Budget) && !taken(step))
            .collect()
    }

    fn skip_rest(&mut self, why: &'static str) {
        let rest = self.missing().into_iter();
        self.steps
            .extend(rest.map(|step| Finding::skipped(step, why)));
    }

    /// There was no time for the rest: the first of it was under way.
    fn run_out(&mut self) {
        if let Some(step) = self.missing().first() {
            let text = format!(
                "not finished within {}",
                humantime::format_duration(LONGEST)
            );
            self.note(Finding::failed(*step, text, advice::UNFINISHED));
        }
        self.skip_rest("there is no time left");
        self.budget();
    }
}

/// Whether the credential asks the sign-in host by the exporter's own connections.
fn signs_in(credential: &Credential) -> bool {
    matches!(
        credential,
        Credential::ClientSecret { .. }
            | Credential::ClientCertificate { .. }
            | Credential::WorkloadIdentity { .. }
    )
}
