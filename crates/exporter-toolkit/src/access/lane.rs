//! Checks of passwords that wait for a thread: fair by who asks, bounded, and each
//! made once however many ask for it.
//!
//! Clients take turns, and none has two checks at once. Of one client's the newest
//! comes first: whoever tries passwords by the hundred is behind whoever asks now. What
//! is too much is given up, the oldest first.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use tokio::sync::oneshot;

use crate::config::PasswordHash;

/// Checks that may wait for one client, and for all.
const EACH: usize = 256;
const ALL: usize = 1024;

/// Who asks: see `Peer::group`.
pub(super) type Client = Option<IpAddr>;

/// Who waits for a check; dropped, if it is given up.
type Answer = oneshot::Sender<bool>;

/// A check to be made.
pub(super) struct Check {
    /// The same for the same user, hash and password.
    pub(super) key: u128,
    pub(super) hash: PasswordHash,
    pub(super) password: Vec<u8>,
    answers: Vec<Answer>,
}

impl Check {
    /// A check that nobody waits for yet.
    pub(super) fn new(key: u128, hash: PasswordHash, password: Vec<u8>) -> Self {
        Self {
            key,
            hash,
            password,
            answers: Vec::new(),
        }
    }
}

/// Checks, some of which are made at once.
pub(super) struct Lane {
    /// How many are made at once.
    threads: usize,
    running: HashMap<u128, (Client, Vec<Answer>)>,
    /// The client whose turn it is first; of each client's checks the newest last.
    waiting: VecDeque<(Client, VecDeque<Check>)>,
}

impl Lane {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads,
            running: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Adds a check, or who asks for it to the same one.
    pub(super) fn ask(&mut self, client: Client, check: Check) -> oneshot::Receiver<bool> {
        let (answer, outcome) = oneshot::channel();
        if let Some((_, answers)) = self.running.get_mut(&check.key) {
            answers.push(answer);
            return outcome;
        }
        let mut check = self.withdraw(check.key).unwrap_or(check);
        check.answers.push(answer);
        let found = self.waiting.iter_mut().find(|(other, _)| *other == client);
        if let Some((_, checks)) = found {
            checks.push_back(check);
            if checks.len() > EACH {
                checks.pop_front();
            }
        } else {
            self.waiting.push_back((client, [check].into()));
        }
        if self.waiting() > ALL {
            let longest = self
                .waiting
                .iter_mut()
                .max_by_key(|(_, checks)| checks.len());
            longest.and_then(|(_, checks)| checks.pop_front());
            self.waiting.retain(|(_, checks)| !checks.is_empty());
        }
        outcome
    }

    /// The next check to be made, if a thread may make it.
    pub(super) fn next(&mut self) -> Option<Check> {
        while self.running.len() < self.threads {
            let idle = |(client, _): &(Client, _)| {
                let mut running = self.running.values();
                !running.any(|(other, _)| other == client)
            };
            let index = self.waiting.iter().position(idle)?;
            let (client, mut checks) = self.waiting.remove(index)?;
            let check = checks.pop_back();
            if !checks.is_empty() {
                self.waiting.push_back((client, checks));
            }
            // Nobody waits for it if all have hung up.
            if let Some(mut check) = check
                && check.answers.iter().any(|answer| !answer.is_closed())
            {
                let answers = std::mem::take(&mut check.answers);
                self.running.insert(check.key, (client, answers));
                return Some(check);
            }
        }
        None
    }

    /// A check is made, or given up if there is no outcome.
    pub(super) fn end(&mut self, key: u128, outcome: Option<bool>) {
        let (_, answers) = self.running.remove(&key).unwrap_or_default();
        for (answer, good) in answers.into_iter().zip(std::iter::repeat(outcome)) {
            // Whoever asked may have gone.
            let _ = good.map(|good| answer.send(good));
        }
    }

    fn withdraw(&mut self, key: u128) -> Option<Check> {
        for (_, checks) in &mut self.waiting {
            let index = checks.iter().position(|check| check.key == key);
            if let Some(check) = index.and_then(|index| checks.remove(index)) {
                self.waiting.retain(|(_, checks)| !checks.is_empty());
                return Some(check);
            }
        }
        None
    }

    fn waiting(&self) -> usize {
        self.waiting.iter().map(|(_, checks)| checks.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::sync::oneshot::Receiver;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;
    use crate::config::WebConfig;

    fn check(key: u128) -> Check {
        let hash = bcrypt::hash("s3cr3t", 4).unwrap();
        let text = format!("basic_auth_users: {{alice: '{hash}'}}");
        let (config, _) = WebConfig::parse(&text, "test").unwrap();
        Check::new(key, config.users["alice"].clone(), Vec::new())
    }

    /// Asks for checks of these keys, each for its client.
    fn ask(lane: &mut Lane, asked: &[(u8, u128)]) -> Vec<Receiver<bool>> {
        let hash = check(0).hash;
        let asked = asked.iter().map(|(number, key)| {
            let check = Check::new(*key, hash.clone(), Vec::new());
            let client = Ipv4Addr::new(192, 0, 2, *number).into();
            lane.ask(Some(client), check)
        });
        asked.collect()
    }

    #[test]
    fn clients_take_turns_and_the_newest_comes_first() {
        let mut lane = Lane::new(1);
        let _answers = ask(&mut lane, &[(1, 11), (1, 12), (1, 13), (2, 21)]);
        let mut order = Vec::new();
        while let Some(check) = lane.next() {
            assert!(lane.next().is_none(), "one at once");
            order.push(check.key);
            lane.end(check.key, Some(false));
        }
        assert_eq!(order, [13, 21, 12, 11]);
    }

    #[test]
    fn no_client_takes_all_threads() {
        let mut lane = Lane::new(2);
        let _answers = ask(&mut lane, &[(1, 11), (1, 12)]);
        assert_eq!(lane.next().unwrap().key, 12);
        assert!(lane.next().is_none());
        let _answers = ask(&mut lane, &[(2, 21)]);
        assert_eq!(lane.next().unwrap().key, 21);
    }

    #[test]
    fn who_asks_the_same_waits_for_the_same() {
        let mut lane = Lane::new(1);
        let mut answers = ask(&mut lane, &[(1, 1), (2, 1)]);
        let check = lane.next().unwrap();
        answers.extend(ask(&mut lane, &[(3, 1)]));
        lane.end(check.key, Some(true));
        assert!(lane.next().is_none());
        for mut answer in answers {
            assert_eq!(answer.try_recv(), Ok(true));
        }
    }

    #[test]
    fn what_nobody_waits_for_is_not_made() {
        let mut lane = Lane::new(1);
        drop(ask(&mut lane, &[(1, 1), (1, 2)]));
        assert!(lane.next().is_none());
        assert_eq!(lane.waiting(), 0);
    }

    #[test]
    fn what_waits_is_bounded_and_whoever_asks_most_loses() {
        let mut lane = Lane::new(1);
        let mut good = ask(&mut lane, &[(0, 0)]);
        let many: Vec<_> = (1..=u128::try_from(EACH).unwrap() + 1).collect();
        let mut first = Vec::new();
        for number in 1..=20 {
            let asked: Vec<_> = many
                .iter()
                .map(|key| (number, u128::from(number) << 64 | key))
                .collect();
            first.push(ask(&mut lane, &asked).remove(0));
        }
        assert!(lane.waiting() <= ALL);
        assert_eq!(first[0].try_recv(), Err(TryRecvError::Closed), "given up");
        assert_eq!(good[0].try_recv(), Err(TryRecvError::Empty), "still waits");
    }
}
