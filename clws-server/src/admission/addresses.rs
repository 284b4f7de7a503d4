//! The number of connections from each IP address.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::lock::{Lock, rank};

/// Parts of the table, each with a lock, so that shards rarely wait for each other.
const PARTS: usize = 16;

/// A part with more capacity than this returns memory when most of it is unused.
const KEPT_CAPACITY: usize = 64;

/// Counts the connections from each address, and limits them. It holds nothing for addresses
/// without connections.
#[derive(Debug)]
pub(crate) struct Addresses {
    most: usize,
    ipv6_prefix: u32,
    hasher: RandomState,
    parts: [Lock<HashMap<Ipv6Addr, usize>, { rank::ADDRESSES }>; PARTS],
}

/// A connection that counts for its address until this is dropped.
#[derive(Debug)]
pub(crate) struct AddressPermit {
    addresses: Arc<Addresses>,
    key: Ipv6Addr,
}

impl Addresses {
    /// Allows `most` connections from each address. IPv6 addresses with the same first
    /// `ipv6_prefix` bits are one address.
    pub(crate) fn new(most: usize, ipv6_prefix: u8) -> Arc<Self> {
        Arc::new(Self {
            most,
            ipv6_prefix: u32::from(ipv6_prefix).min(128),
            hasher: RandomState::new(),
            parts: std::array::from_fn(|_| Lock::new(HashMap::new())),
        })
    }

    /// Counts a connection from `address`. Returns `None` if the address has as many as it may
    /// have.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<AddressPermit> {
        let key = self.key(address);
        let mut part = self.part(key).lock();
        let count = part.get(&key).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        part.insert(key, count + 1);
        Some(AddressPermit { addresses: Arc::clone(self), key })
    }

    /// The address under which a connection counts. IPv4 addresses have a range of IPv6 addresses,
    /// `::ffff:0:0/96`, in which no prefix of another address lies.
    fn key(&self, address: IpAddr) -> Ipv6Addr {
        match address.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - self.ipv6_prefix).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask)
            }
        }
    }

    fn part(&self, key: Ipv6Addr) -> &Lock<HashMap<Ipv6Addr, usize>, { rank::ADDRESSES }> {
        let hash = self.hasher.hash_one(key);
        #[expect(clippy::cast_possible_truncation, clippy::indexing_slicing, reason = "below PARTS")]
        &self.parts[(hash % PARTS as u64) as usize]
    }

    fn release(&self, key: Ipv6Addr) {
        let mut part = self.part(key).lock();
        match part.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                part.remove(&key);
                if part.capacity() > KEPT_CAPACITY && part.len() < part.capacity() / 8 {
                    let wanted = 2 * part.len();
                    part.shrink_to(wanted);
                }
            }
        }
    }

    /// The number of addresses with connections.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().len()).sum()
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        self.addresses.release(self.key);
    }
}

#[cfg(all(test, not(shuttle)))]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use super::*;

    fn take(addresses: &Arc<Addresses>, address: &str) -> Option<AddressPermit> {
        addresses.take(address.parse().unwrap())
    }

    #[test]
    fn limits_each_address_and_forgets_it() {
        let addresses = Addresses::new(2, 64);
        let first = take(&addresses, "192.0.2.1").unwrap();
        let second = take(&addresses, "192.0.2.1").unwrap();
        assert!(take(&addresses, "192.0.2.1").is_none());
        let other = take(&addresses, "192.0.2.2").unwrap();
        assert_eq!(addresses.len(), 2);
        drop(first);
        let third = take(&addresses, "192.0.2.1").unwrap();
        assert!(take(&addresses, "192.0.2.1").is_none());
        drop((second, third, other));
        assert_eq!(addresses.len(), 0);
    }

    #[test]
    fn ipv6_addresses_count_by_prefix() {
        for (prefix, first, second, same) in [
            (64, "2001:db8::1", "2001:db8::ffff:1", true),
            (64, "2001:db8:0:1::1", "2001:db8:0:2::1", false),
            (48, "2001:db8:0:1::1", "2001:db8:0:2::1", true),
            (128, "2001:db8::1", "2001:db8::2", false),
            (128, "2001:db8::1", "2001:db8::1", true),
            (1, "2001:db8::1", "::1", true),
            // An IPv4 address is itself, with any prefix, and is no IPv6 address.
            (1, "192.0.2.1", "192.0.2.2", false),
            (64, "::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            (64, "::ffff:192.0.2.1", "192.0.2.1", true),
            (95, "::fffe:192.0.2.1", "::ffff:192.0.2.1", false),
            (0, "::1", "0.0.0.0", false),
        ] {
            let addresses = Addresses::new(1, prefix);
            let _first = take(&addresses, first).unwrap();
            assert_eq!(take(&addresses, second).is_none(), same, "{first} {second} /{prefix}");
        }
    }

    #[test]
    fn returns_the_memory_of_addresses_that_have_left() {
        let addresses = Addresses::new(1, 64);
        let permits: Vec<_> =
            (0..20_000_u32).map(|n| addresses.take(std::net::Ipv4Addr::from(n).into()).unwrap()).collect();
        drop(permits);
        let capacity: usize = addresses.parts.iter().map(|part| part.lock().capacity()).sum();
        assert!(addresses.len() == 0 && capacity <= PARTS * 2 * KEPT_CAPACITY, "{capacity}");
    }

    #[test]
    fn many_threads_never_exceed_the_limit() {
        let addresses = Addresses::new(3, 64);
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let Some(permit) = take(&addresses, "192.0.2.1") else { continue };
                        assert!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(addresses.len(), 0);
    }
}
