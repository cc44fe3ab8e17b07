//! Keeps strangers from guessing keys: an address that was refused too often is refused unheard.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Over how long refusals are counted.
const SPAN: Duration = Duration::from_secs(60);
/// Addresses remembered at once. Beyond it the oldest are forgotten, which only forgives them.
const MAX_ADDRESSES: usize = 10_000;

/// Refusals by address over the last minute.
#[derive(Debug)]
pub struct Refusals {
    bound: u32,
    by_address: HashMap<IpAddr, (Instant, u32)>,
}

impl Refusals {
    /// With at most `bound` refusals in a minute heard.
    #[must_use]
    pub fn new(bound: u32) -> Self {
        Self { bound, by_address: HashMap::new() }
    }

    /// Whether `address` is to be refused unheard at `now`.
    #[must_use]
    pub fn is_barred(&self, address: IpAddr, now: Instant) -> bool {
        self.by_address
            .get(&network_of(address))
            .is_some_and(|&(since, count)| now.saturating_duration_since(since) < SPAN && count >= self.bound)
    }

    /// Counts a refusal.
    pub fn count(&mut self, address: IpAddr, now: Instant) {
        if self.by_address.len() >= MAX_ADDRESSES {
            self.by_address.retain(|_, (since, _)| now.saturating_duration_since(*since) < SPAN);
            if self.by_address.len() >= MAX_ADDRESSES
                && let Some(oldest) =
                    self.by_address.iter().min_by_key(|(_, (since, _))| *since).map(|(key, _)| *key)
            {
                self.by_address.remove(&oldest);
            }
        }
        let (since, count) = self.by_address.entry(network_of(address)).or_insert((now, 0));
        if now.saturating_duration_since(*since) >= SPAN {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
    }
}

/// One host is one IPv4 address, but a /64 of IPv6 (RFC 6177), which it may draw addresses from at will.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let bits = v6.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(std::net::Ipv6Addr::from_bits(bits))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for times that the test sets itself")]
    fn an_address_is_barred_for_the_rest_of_its_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut refusals = Refusals::new(3);
        for second in 0..3 {
            assert!(!refusals.is_barred(one, at(second)));
            refusals.count(one, at(second));
        }
        assert!(refusals.is_barred(one, at(3)));
        assert!(!refusals.is_barred(other, at(3)));
        assert!(!refusals.is_barred(one, at(60)));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for times that the test sets itself")]
    fn memory_is_bounded_whatever_addresses_come() {
        let start = Instant::now();
        let mut refusals = Refusals::new(3);
        for i in 0..12_000u32 {
            refusals.count(IpAddr::V4(i.into()), start);
        }
        assert!(refusals.by_address.len() <= MAX_ADDRESSES);
    }
}
