//! How much one network is sent over UDP, where anybody can forge the address that asks.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use registrator_web::Network;

/// Networks are counted in so many cells, whoever asks and from wherever: memory is bounded, and two
/// networks that share a cell share its budget. Nobody outside knows which do.
const CELLS: usize = 8192;

/// Budgets of bytes, one for each network, each refilled steadily and holding a second's worth.
pub(super) struct Limiter {
    /// Nanoseconds that one byte costs; 0 where nothing is limited.
    cost: u64,
    cells: Box<[Cell]>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    /// When all that was sent is paid for, in nanoseconds.
    paid: u64,
    /// Whether the next query beyond the budget is dropped.
    drop: bool,
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it.
    Send,
    /// Send an empty, truncated one instead.
    Truncate,
    /// Send nothing.
    Drop,
}

impl Limiter {
    pub(super) fn new(bytes_per_second: u32) -> Self {
        let cost =
            if bytes_per_second == 0 { 0 } else { nanoseconds(Duration::from_secs(1)) / u64::from(bytes_per_second) };
        let cells = if cost == 0 { 0 } else { CELLS };
        Self { cost, cells: vec![Cell::default(); cells].into(), hasher: RandomState::new() }
    }

    /// Judges an answer of so many bytes to an address, so long after the start.
    pub(super) fn judge(&mut self, address: IpAddr, bytes: usize, now: Duration) -> Verdict {
        let address = address.to_canonical();
        if self.cost == 0 || address.is_loopback() {
            return Verdict::Send;
        }
        let index = self.hasher.hash_one(Network::of_client(address).first()) % CELLS as u64;
        let Some(cell) = usize::try_from(index).ok().and_then(|index| self.cells.get_mut(index)) else {
            return Verdict::Send;
        };
        let now = nanoseconds(now);
        let paid = cell.paid.max(now).saturating_add(self.cost.saturating_mul(bytes as u64));
        if paid - now <= nanoseconds(Duration::from_secs(1)) {
            cell.paid = paid;
            return Verdict::Send;
        }
        cell.drop = !cell.drop;
        if cell.drop { Verdict::Truncate } else { Verdict::Drop }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_gets_a_seconds_worth_at_once_and_then_every_second_query_a_truncated_answer() {
        let mut limiter = Limiter::new(1000);
        for host in 1..=10 {
            assert_eq!(limiter.judge(ip(&format!("192.0.2.{host}")), 100, START), Verdict::Send);
        }
        let beyond: Vec<_> = (1..=4).map(|_| limiter.judge(ip("192.0.2.77"), 100, START)).collect();
        assert_eq!(beyond, [Verdict::Truncate, Verdict::Drop, Verdict::Truncate, Verdict::Drop]);
    }

    #[test]
    fn a_budget_refills() {
        let mut limiter = Limiter::new(1000);
        assert_eq!(limiter.judge(ip("2001:db8::1"), 1000, START), Verdict::Send);
        assert_ne!(limiter.judge(ip("2001:db8:0:ff::2"), 100, START), Verdict::Send);
        assert_eq!(limiter.judge(ip("2001:db8::3"), 100, START + Duration::from_millis(110)), Verdict::Send);
    }

    #[test]
    fn other_networks_do_not_pay_for_one() {
        let mut limiter = Limiter::new(1000);
        limiter.judge(ip("192.0.2.1"), 1000, START);
        let sent = (0..100)
            .filter(|third| limiter.judge(ip(&format!("198.51.{third}.1")), 1000, START) == Verdict::Send)
            .count();
        assert!(sent > 90, "{sent} of 100 other networks were answered");
    }

    #[test]
    fn loopback_and_a_limit_of_zero_are_not_limited() {
        let mut limiter = Limiter::new(1);
        assert!((0..9).all(|_| limiter.judge(ip("127.0.0.1"), 500, START) == Verdict::Send));
        assert!((0..9).all(|_| limiter.judge(ip("::ffff:127.0.0.9"), 500, START) == Verdict::Send));
        let mut limiter = Limiter::new(0);
        assert!((0..9).all(|_| limiter.judge(ip("192.0.2.1"), 60_000, START) == Verdict::Send));
    }
}
