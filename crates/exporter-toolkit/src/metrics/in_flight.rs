//! Slots of the requests under way, half of which one client address has at most: whoever holds
//! all that it can get keeps nobody else out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The slots; clones are the same ones.
#[derive(Clone)]
pub(super) struct InFlight {
    all: usize,
    taken: Arc<Mutex<Taken>>,
}

/// How many each has.
type Taken = HashMap<Option<IpAddr>, usize>;

/// A slot, which is free again once this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    taken: Arc<Mutex<Taken>>,
    client: Option<IpAddr>,
}

impl InFlight {
    /// So many slots; 0: as many as are wanted.
    pub(super) fn new(all: usize) -> Self {
        Self {
            all: if all == 0 { usize::MAX } else { all },
            taken: Arc::default(),
        }
    }

    /// A slot for `client`, see `Peer::remote`; `None` has no share of its own.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn take(&self, client: Option<IpAddr>) -> Result<Slot, &'static str> {
        let mut taken = lock(&self.taken);
        if taken.values().sum::<usize>() >= self.all {
            return Err("too many scrapes at once, see --web.max-requests\n");
        }
        let own = taken.get(&client).copied().unwrap_or_default();
        if client.is_some() && own >= self.all.div_ceil(2) {
            return Err("too many scrapes at once from one address, see --web.max-requests\n");
        }
        taken.insert(client, own + 1);
        Ok(Slot {
            taken: Arc::clone(&self.taken),
            client,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(own) = taken.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    // Counts, which are right whatever happened to who held them.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    /// Takes as many as it can get.
    fn take_all(slots: &InFlight, client: impl Into<Option<IpAddr>>) -> Vec<Slot> {
        let client = client.into();
        let taken = (0..100).map_while(|_| slots.take(client).ok());
        taken.collect()
    }

    #[test]
    fn one_address_has_half_of_the_slots_at_most() {
        for (all, half) in [(40, 20), (3, 2), (2, 1), (1, 1)] {
            let slots = InFlight::new(all);
            let first = take_all(&slots, address(1));
            assert_eq!(first.len(), half, "of {all}");
            let second = take_all(&slots, address(2));
            assert_eq!(second.len(), all - half, "of {all}");
            assert!(slots.take(Some(address(3))).is_err() && slots.take(None).is_err());
            drop(first);
            assert_eq!(take_all(&slots, address(3)).len(), half, "of {all}");
            drop(second);
            assert_eq!(take_all(&slots, None).len(), all, "they may be many");
            assert!(lock(&slots.taken).is_empty(), "all are given back");
        }
    }

    #[test]
    fn without_a_limit_nobody_is_turned_away() {
        let slots = InFlight::new(0);
        assert_eq!(take_all(&slots, address(1)).len(), 100);
    }
}
