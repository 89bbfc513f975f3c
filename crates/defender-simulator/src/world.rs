//! The living world: tenants, their definitions and their agents.
//!
//! It has no task of its own. Whoever locks it first lets everything happen
//! that is due by the clock, then looks; so an accelerated clock just works.

use std::time::Duration;

use fastrand::Rng;

use super::definition::{Definition, Draft, Outcome, guid};
use super::{Federation, MachineIdentity, Options, TenantIdentity};
use exporter_clock::{Clock, Timestamp};

/// A machine that runs scans.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The id.
    pub id: String,
    /// The machine's id, forty hexadecimal digits.
    pub machine_id: String,
    /// The machine's DNS name.
    pub machine_name: String,
    /// From when on it was no longer seen, if it falls silent.
    pub silent_from: Option<Timestamp>,
}

impl Agent {
    /// When it was last seen, at `now`: it reports each minute.
    #[must_use]
    pub fn last_seen(&self, now: Timestamp) -> Timestamp {
        let seen = self.silent_from.map_or(now, |silent| silent.min(now));
        let millis = seen.unix_millis();
        Timestamp::from_unix_millis(millis - millis.rem_euclid(60_000))
    }
}

#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) identity: TenantIdentity,
    pub(super) secret_expired: bool,
    /// The application permissions that new tokens have.
    pub(super) roles: Vec<String>,
    /// Registered certificates, DER.
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) federation: Option<Federation>,
    pub(super) org_id: String,
    pub(super) definitions: Vec<Definition>,
    pub(super) agents: Vec<Agent>,
    /// How many definitions it ever had.
    created: usize,
    rng: Rng,
}

/// Everything there is, and all that may be done to it.
///
/// Tenants are counted from 0; a tenant that does not exist has no definitions
/// and no agents. What names a definition by id says whether there is one.
#[derive(Debug)]
pub struct World {
    clock: Clock,
    pub(super) tenants: Vec<Tenant>,
    pub(super) secrets: Vec<String>,
    /// Of the machine that has the metadata service.
    pub(super) identities: Vec<MachineIdentity>,
    /// What App Service's metadata service wants to see.
    pub(super) identity_header: String,
}

impl World {
    pub(super) fn new(options: &Options) -> Self {
        let clock = options.clock.clone();
        let start = clock.wall();
        let mut world = Self {
            clock,
            tenants: Vec::new(),
            secrets: Vec::new(),
            identities: Vec::new(),
            identity_header: String::new(),
        };
        let mut rng = Rng::with_seed(options.seed);
        for _ in 0..options.tenants {
            let tenant = Tenant::new(rng.fork(), options, start);
            world.secrets.extend([
                tenant.identity.client_secret.clone(),
                tenant.identity.assertion.clone(),
            ]);
            let known = tenant.definitions.iter();
            world.secrets.extend(known.map(Definition::secret_line));
            world.tenants.push(tenant);
        }
        // Ids that errors show come from the same seed: numbers of its own make no secret of one.
        world.identity_header = guid(&mut Rng::with_seed(!options.seed));
        world.secrets.push(world.identity_header.clone());
        world
    }

    /// Lets everything happen that is due.
    pub(super) fn settle(&mut self) {
        let now = self.clock.wall();
        for tenant in &mut self.tenants {
            for definition in &mut tenant.definitions {
                definition.settle(now);
            }
        }
    }

    /// The wall-clock time of this world.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// The definitions of a tenant, in the order of their answers.
    #[must_use]
    pub fn definitions(&self, tenant: usize) -> &[Definition] {
        self.tenants
            .get(tenant)
            .map_or(&[], |tenant| tenant.definitions.as_slice())
    }

    /// One definition.
    #[must_use]
    pub fn definition(&self, tenant: usize, id: &str) -> Option<&Definition> {
        self.definitions(tenant).iter().find(|known| known.id == id)
    }

    /// The agents of a tenant.
    #[must_use]
    pub fn agents(&self, tenant: usize) -> &[Agent] {
        self.tenants
            .get(tenant)
            .map_or(&[], |tenant| tenant.agents.as_slice())
    }

    /// Adds a definition without a past and returns its id; `None` if there is
    /// no such tenant.
    pub fn add_definition(&mut self, tenant: usize, draft: Draft) -> Option<String> {
        let now = self.clock.wall();
        let tenant = self.tenants.get_mut(tenant)?;
        let definition = Definition::new(tenant.rng.u64(..), tenant.created, draft, now);
        tenant.created += 1;
        let id = definition.id.clone();
        self.secrets.push(definition.secret_line());
        tenant.definitions.push(definition);
        Some(id)
    }

    /// Takes a definition and its history away.
    pub fn remove_definition(&mut self, tenant: usize, id: &str) -> bool {
        self.tenants.get_mut(tenant).is_some_and(|tenant| {
            let before = tenant.definitions.len();
            tenant.definitions.retain(|known| known.id != id);
            tenant.definitions.len() < before
        })
    }

    /// Lets a definition run, over at once; returns the session's id.
    pub fn run_now(&mut self, tenant: usize, id: &str, status: Outcome) -> Option<String> {
        let now = self.clock.wall();
        self.definition_mut(tenant, id)
            .map(|definition| definition.run_now(status, now))
    }

    /// Changes how a run went: it ends, or the service corrects itself.
    pub fn set_outcome(&mut self, tenant: usize, id: &str, session: &str, status: Outcome) -> bool {
        let runs = self.definition_mut(tenant, id).map(|known| &mut known.runs);
        runs.and_then(|runs| runs.iter_mut().find(|run| run.session_id == session))
            .map(|run| run.end(status))
            .is_some()
    }

    /// Switches a definition on or off.
    pub fn set_active(&mut self, tenant: usize, id: &str, active: bool) -> bool {
        let now = self.clock.wall();
        self.definition_mut(tenant, id)
            .map(|definition| definition.set_active(active, now))
            .is_some()
    }

    /// Renames a definition, to whatever text.
    pub fn set_name(&mut self, tenant: usize, id: &str, name: &str) -> bool {
        self.definition_mut(tenant, id)
            .map(|definition| name.clone_into(&mut definition.name))
            .is_some()
    }

    /// From now on the definition stays active and no longer runs.
    pub fn stop_happening(&mut self, tenant: usize, id: &str) -> bool {
        let now = self.clock.wall();
        self.definition_mut(tenant, id)
            .map(|definition| definition.stop_happening(now))
            .is_some()
    }

    /// Takes an agent away.
    pub fn remove_agent(&mut self, tenant: usize, id: &str) -> bool {
        self.tenants.get_mut(tenant).is_some_and(|tenant| {
            let before = tenant.agents.len();
            tenant.agents.retain(|known| known.id != id);
            tenant.agents.len() < before
        })
    }

    /// From now on the agent is no longer seen.
    pub fn silence_agent(&mut self, tenant: usize, id: &str) -> bool {
        let now = self.clock.wall();
        let agents = self.tenants.get_mut(tenant).map(|known| &mut known.agents);
        agents
            .and_then(|agents| agents.iter_mut().find(|known| known.id == id))
            .map(|agent| agent.silent_from = Some(now))
            .is_some()
    }

    /// Lets the client secret expire, or be valid again.
    pub fn set_secret_expired(&mut self, tenant: usize, expired: bool) {
        if let Some(tenant) = self.tenants.get_mut(tenant) {
            tenant.secret_expired = expired;
        }
    }

    /// Grants these application permissions and no others; tokens that were issued keep theirs.
    pub fn set_roles(&mut self, tenant: usize, roles: &[&str]) {
        if let Some(tenant) = self.tenants.get_mut(tenant) {
            tenant.roles = roles.iter().map(|role| (*role).to_owned()).collect();
        }
    }

    /// Registers a certificate (DER) with a tenant's application: assertions
    /// signed with its RSA key (PS256) are then accepted.
    pub fn trust_certificate(&mut self, tenant: usize, der: &[u8]) {
        if let Some(tenant) = self.tenants.get_mut(tenant) {
            tenant.certificates.push(der.to_vec());
        }
    }

    /// Trusts the tokens of another issuer for a tenant's application, instead of certificates.
    pub fn federate(&mut self, tenant: usize, federation: Federation) {
        if let Some(tenant) = self.tenants.get_mut(tenant) {
            tenant.federation = Some(federation);
        }
    }

    /// Gives an identity to the machine that has the metadata service.
    pub fn assign_identity(&mut self, identity: MachineIdentity) {
        self.identities.push(identity);
    }

    /// Gives the tenant a new client secret; the old one is wrong from now on.
    pub fn rotate_secret(&mut self, tenant: usize) -> Option<String> {
        let tenant = self.tenants.get_mut(tenant)?;
        tenant.identity.client_secret = client_secret(&mut tenant.rng);
        tenant.secret_expired = false;
        self.secrets.push(tenant.identity.client_secret.clone());
        Some(tenant.identity.client_secret.clone())
    }

    fn definition_mut(&mut self, tenant: usize, id: &str) -> Option<&mut Definition> {
        self.tenants
            .get_mut(tenant)?
            .definitions
            .iter_mut()
            .find(|known| known.id == id)
    }
}

impl Tenant {
    fn new(mut rng: Rng, options: &Options, start: Timestamp) -> Self {
        let identity = TenantIdentity {
            tenant_id: guid(&mut rng),
            client_id: guid(&mut rng),
            client_secret: client_secret(&mut rng),
            assertion: super::token::jwt(&serde_json::json!({ "sub": guid(&mut rng) }), &mut rng),
        };
        let org_id = guid(&mut rng);
        let definitions = (0..options.definitions)
            .map(|ordinal| Definition::native(rng.u64(..), ordinal, start))
            .collect();
        let agents = (0..options.agents)
            .map(|ordinal| Agent {
                id: guid(&mut rng),
                machine_id: format!("{:032x}{:08x}", rng.u128(..), rng.u32(..)),
                machine_name: format!("scanner{ordinal}.corp.example"),
                silent_from: match ordinal % 4 {
                    1 => Some(start + Duration::from_hours(6)),
                    3 => Some(start - Duration::from_hours(72)),
                    _ => None,
                },
            })
            .collect();
        Self {
            identity,
            secret_expired: false,
            roles: vec!["Machine.Read.All".to_owned()],
            certificates: Vec::new(),
            federation: None,
            org_id,
            definitions,
            agents,
            created: options.definitions,
            rng,
        }
    }
}

/// How every client's secret begins. Its length is a multiple of three, so that it is one
/// in base64 too.
pub(super) const SECRET_START: &str = "Sim8Q~ClientSecret";

fn client_secret(rng: &mut Rng) -> String {
    format!("{SECRET_START}{:032x}", rng.u128(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options::new(Clock::anchored(Timestamp::from_unix_millis(
            1_700_000_000_123,
        )))
    }

    fn runs(world: &World) -> Vec<String> {
        let definitions = world.tenants.iter().flat_map(|tenant| &tenant.definitions);
        definitions
            .map(|known| format!("{} {:?}", known.id, known.runs))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_seed_decides_however_often_one_looks() {
        let options = options();
        let mut watched = World::new(&options);
        let mut ignored = World::new(&options);
        for _ in 0..100 {
            tokio::time::advance(Duration::from_mins(31)).await;
            watched.settle();
        }
        ignored.settle();
        assert_eq!(runs(&watched), runs(&ignored));
        let other = World::new(&Options { seed: 2, ..options });
        assert_ne!(runs(&other), runs(&ignored));
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_start_every_status_is_there_and_some_are_stale() {
        for seed in 0..50 {
            let world = World::new(&Options { seed, ..options() });
            let known = world.definitions(0);
            let now = world.now();
            for status in [Outcome::Partial, Outcome::Failure] {
                assert!(
                    known
                        .iter()
                        .filter_map(Definition::latest)
                        .any(|run| run.status == status)
                );
            }
            assert!(known.iter().any(|known| known.runs.is_empty()));
            assert!(known.iter().any(|known| !known.active));
            assert!(known.iter().any(|known| known.interval_hours.is_none()));
            let stale = known.iter().filter(|known| known.active).filter(|known| {
                let hours = u64::from(known.interval_hours.unwrap_or(u32::MAX));
                known
                    .latest()
                    .is_some_and(|run| now.since(run.at) > Duration::from_hours(3 * hours))
            });
            assert_eq!(stale.count(), 1);
            let all = known.iter().flat_map(|known| &known.runs);
            assert!(all.clone().all(|run| run.finished <= now));
            assert!(all.clone().any(|run| run.status == Outcome::Success));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fading_definition_stays_out_and_comes_back() {
        let mut world = World::new(&options());
        let mut longest = Duration::ZERO;
        for _ in 0..48 {
            tokio::time::advance(Duration::from_hours(1)).await;
            world.settle();
            // Number 5 fades; it has runs before the start.
            let latest = world.definitions(0)[5].latest().unwrap();
            longest = longest.max(world.now().since(latest.at));
        }
        assert!(longest > Duration::from_hours(10), "{longest:?}");
        let latest = world.definitions(0)[5].runs.len();
        assert!(latest > 15, "{latest}");
    }

    #[tokio::test(start_paused = true)]
    async fn told_what_to_do_it_obeys() {
        let mut world = World::new(&options());
        let id = world.add_definition(0, Draft::manual("a\"b\n")).unwrap();
        let first = world.run_now(0, &id, Outcome::Partial).unwrap();
        let second = world.run_now(0, &id, Outcome::Failure).unwrap();
        let runs = &world.definition(0, &id).unwrap().runs;
        assert_eq!(
            [&runs[0].session_id, &runs[1].session_id],
            [&first, &second]
        );
        assert!(runs[0].at < runs[1].at);
        assert!(world.set_name(0, &id, "c"));
        assert!(world.remove_definition(0, &id));
        assert!(!world.remove_definition(0, &id));

        let steady = world.definitions(0)[0].id.clone();
        let before = world.definition(0, &steady).unwrap().runs.len();
        assert!(world.stop_happening(0, &steady));
        tokio::time::advance(Duration::from_hours(5)).await;
        world.settle();
        assert_eq!(world.definition(0, &steady).unwrap().runs.len(), before);

        let agent = world.agents(0)[0].id.clone();
        assert!(world.silence_agent(0, &agent));
        assert!(world.remove_agent(0, &agent));
    }
}
