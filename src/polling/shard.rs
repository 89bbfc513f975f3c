//! Which of several processes polls which tenant.
//!
//! Rendezvous hashing: a tenant belongs to the shard whose hash with its name is
//! the highest. One more shard takes its share from each of the others, and moves
//! nothing between them. The hash never changes, so that no version moves a tenant.

use siphasher::sip::SipHasher13;
use thiserror::Error;

use crate::model::TenantName;

/// The most shards there may be.
pub const MOST: u32 = 1_000;

/// One shard of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    ordinal: u32,
    total: u32,
}

/// The only one: all tenants belong to it.
impl Default for Shard {
    fn default() -> Self {
        Self {
            ordinal: 0,
            total: 1,
        }
    }
}

/// Why there is no such shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ShardError {
    /// There is none, or too many.
    #[error(
        "expected 1 to {MOST} shards, but found {0}; correct `--total-shards` or DEFENDER_EXPORTER_TOTAL_SHARDS"
    )]
    Total(u32),
    /// There are several, and none is chosen.
    #[error(
        "expected `--shard` or DEFENDER_EXPORTER_SHARD, as there are {0} shards, but found neither; give each exporter its own number, counted from 0"
    )]
    Missing(u32),
    /// The ordinal does not fit the total.
    #[error(
        "expected `--shard` below {total}, the number of shards, but found {ordinal}; shards count from 0, and all have the same `--total-shards`"
    )]
    Ordinal {
        /// As given.
        ordinal: u32,
        /// As given.
        total: u32,
    },
}

impl Shard {
    /// Shard `ordinal`, counted from 0, of `total`. Only a single shard needs no ordinal: were
    /// it 0 for each of several, all would poll the same tenants.
    ///
    /// # Errors
    /// [`ShardError`], if there is no such shard.
    pub fn new(ordinal: impl Into<Option<u32>>, total: u32) -> Result<Self, ShardError> {
        if !(1..=MOST).contains(&total) {
            return Err(ShardError::Total(total));
        }
        let ordinal = match ordinal.into() {
            Some(ordinal) => ordinal,
            None if total == 1 => 0,
            None => return Err(ShardError::Missing(total)),
        };
        if ordinal >= total {
            return Err(ShardError::Ordinal { ordinal, total });
        }
        Ok(Self { ordinal, total })
    }

    /// Whether `tenant` belongs to this shard; it belongs to exactly one.
    #[must_use]
    pub fn holds(self, tenant: &TenantName) -> bool {
        // Of two equal hashes the higher ordinal's counts.
        let owner = (0..self.total).max_by_key(|ordinal| weight(tenant, *ordinal));
        owner == Some(self.ordinal)
    }
}

/// The keys are part of what must never change, and are as good as any others.
fn weight(tenant: &TenantName, ordinal: u32) -> u64 {
    let ordinal = ordinal.to_le_bytes();
    let message = [&ordinal, tenant.as_str().as_bytes()].concat();
    SipHasher13::new_with_keys(0x7368_6172, 0x6420_6f66).hash(&message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner(name: &str, total: u32) -> u32 {
        let tenant = TenantName::new(name);
        let holds = |ordinal: &u32| Shard::new(*ordinal, total).unwrap().holds(&tenant);
        let owners: Vec<u32> = (0..total).filter(holds).collect();
        assert_eq!(owners.len(), 1, "{name} of {total}: {owners:?}");
        owners[0]
    }

    /// The values come from another implementation of the hash.
    #[test]
    fn owners_are_the_same_in_every_version() {
        let names = ["contoso", "fabrikam", "northwind", "tenant-0", "tenant-1"];
        let owners = |total| names.map(|name| owner(name, total));
        assert_eq!(owners(1), [0; 5]);
        assert_eq!(owners(2), [0, 1, 0, 1, 0]);
        assert_eq!(owners(3), [0, 1, 2, 1, 0]);
        assert_eq!(owners(10), [4, 1, 2, 3, 4]);
    }

    #[test]
    fn shards_are_about_equally_large() {
        let mut sizes = [0_u32; 4];
        for number in 0..1_000 {
            sizes[owner(&format!("tenant-{number}"), 4) as usize] += 1;
        }
        // Four standard deviations around a quarter.
        assert!(
            sizes.iter().all(|size| (195..=305).contains(size)),
            "{sizes:?}"
        );
    }

    #[test]
    fn there_is_no_shard_beyond_the_last() {
        assert_eq!(Shard::new(0, 0), Err(ShardError::Total(0)));
        assert_eq!(Shard::new(0, MOST + 1), Err(ShardError::Total(MOST + 1)));
        let beyond = ShardError::Ordinal {
            ordinal: 3,
            total: 3,
        };
        assert_eq!(Shard::new(3, 3), Err(beyond));
        assert_eq!(Shard::new(0, 1), Ok(Shard::default()));
        assert_eq!(Shard::new(None, 1), Ok(Shard::default()));
        assert_eq!(Shard::new(None, 2), Err(ShardError::Missing(2)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn one_more_shard_takes_and_moves_nothing_else(
            names in proptest::collection::hash_set("[A-Za-z0-9_.-]{1,64}", 1..40),
            total in 1_u32..20,
        ) {
            for name in &names {
                let (before, after) = (owner(name, total), owner(name, total + 1));
                prop_assert!(after == before || after == total, "{} from {} to {}", name, before, after);
            }
        }

        #[test]
        fn one_more_shard_takes_its_share(salt in "[a-z]{8}", total in 1_u32..10) {
            let names = (0..600).map(|number| format!("{salt}-{number}"));
            let moved = names.filter(|name| owner(name, total) != owner(name, total + 1)).count();
            let share = 600.0 / f64::from(total + 1);
            // Six standard deviations of a fair draw, at most.
            let bound = share + 6.0 * share.sqrt();
            prop_assert!(moved > 0 && f64::from(u32::try_from(moved).unwrap()) <= bound, "{} of {}", moved, share);
        }
    }
}
