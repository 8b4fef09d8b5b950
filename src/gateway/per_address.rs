//! How many connections one address has, and how fast it opens them: so that one of them does not
//! take what there is for all.
//!
//! **What an address is.** One of version 4, or the first 64 bits of one of version 6: whoever has
//! one of those has all of them (RFC 6177).
//!
//! **The rate** is that of a bucket that leaks: [`BURST_S`] seconds' worth may come at once, as after
//! a restart, when everybody behind an address comes back.
//!
//! **Who is exempt.** Networks where an address stands for many: a load balancer, a reverse proxy.
//! By default those that are not routed in the Internet (RFC 1918, RFC 4193, RFC 6598) and the machine
//! itself. There the total is the bound, and the proxy can bound its clients.
//!
//! **Memory.** An address has a row, of 24 bytes in a hash table, while it has connections, and for
//! [`BURST_S`] seconds at most behind them, until it may open as many as any other. So there are at
//! most as many rows as connections, and those of whom came and left within that time. The number is
//! bounded besides: beyond it an address that has no row is let in uncounted, for the total to bound.
//!
//! # State
//! The table, under a lock that is held for one look-up; once in a while, when twice as many rows
//! have come as were left by the last time, for one walk over all of them.
//!
//! # Who may touch what
//! The accepting task adds; whoever ends a connection takes away, by dropping its [`Held`].
//!
//! # Orderings
//! The lock's.
//!
//! # Races considered
//! A connection ends between two looks of the accepting task: it is taken away under the lock, before
//! or after. The count is that of connections whose [`Held`] lives, so never too low.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::base::limits::HttpLimits;
use crate::base::network::Network;
use crate::http::ConnectionRefused;

/// Seconds' worth of connections that may come at once.
const BURST_S: u64 = 10;

/// Rows below which none are looked for that are over.
const SWEEP_MIN: usize = 1_024;

/// Rows for addresses whose connections are over, besides those that have some: 1.5 MiB.
const ROWS_SPARE: usize = 1 << 16;

const US_PER_S: u64 = 1_000_000;

/// The bounds, as they are now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits<'a> {
    pub(super) connections_max: usize,
    pub(super) connects_per_s_max: u32,
    pub(super) exempt: &'a [Network],
    /// Most addresses that are kept.
    pub(super) rows_max: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct PerAddress {
    began: Instant,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    rows: HashMap<u64, Row>,
    /// How many rows there are when those that are over are looked for again.
    sweep_at: usize,
}

#[derive(Debug)]
struct Row {
    connections: u32,
    /// When its bucket is empty, in microseconds since `began`.
    empty_at_us: u64,
}

impl Row {
    fn is_over(&self, now_us: u64) -> bool {
        self.connections == 0 && self.empty_at_us <= now_us
    }
}

/// One connection of an address, for as long as it lives.
#[derive(Debug)]
pub(super) struct Held {
    per_address: Arc<PerAddress>,
    key: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.per_address.leave(self.key, Instant::now());
    }
}

impl<'a> Limits<'a> {
    /// Of a gateway that has room for so many connections.
    pub(super) fn new(http: &HttpLimits, connections_max: u64, exempt: &'a [Network]) -> Self {
        let most = usize::try_from(connections_max).unwrap_or(usize::MAX);
        Self {
            // However few there are, one address leaves some for others.
            connections_max: http.connections_per_address_max.min(most / 2).max(1),
            connects_per_s_max: http.connects_per_address_per_s_max,
            exempt,
            rows_max: most.saturating_add(ROWS_SPARE),
        }
    }
}

impl PerAddress {
    pub(super) fn new() -> Arc<Self> {
        let table = Table { rows: HashMap::new(), sweep_at: SWEEP_MIN };
        Arc::new(Self { began: Instant::now(), table: Mutex::new(table) })
    }

    /// Counts one more connection of this address; `None` if it is not counted.
    ///
    /// # Errors
    /// Why it is not let in.
    pub(super) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
        limits: &Limits<'_>,
    ) -> Result<Option<Held>, ConnectionRefused> {
        if limits.exempt.iter().any(|network| network.contains(address)) {
            return Ok(None);
        }
        let key = key(address);
        let is_counted = self.enter(key, now, limits)?;
        Ok(is_counted.then(|| Held { per_address: self.clone(), key }))
    }

    #[cfg(test)]
    fn addresses(&self) -> usize {
        self.table.lock().rows.len()
    }

    fn enter(
        &self,
        key: u64,
        now: Instant,
        limits: &Limits<'_>,
    ) -> Result<bool, ConnectionRefused> {
        let now_us = self.us(now);
        let cost_us = US_PER_S / u64::from(limits.connects_per_s_max.max(1));
        let mut table = self.table.lock();
        table.sweep(now_us);
        let has_room = table.rows.len() < limits.rows_max;
        let row = match table.rows.entry(key) {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(_) if !has_room => return Ok(false),
            Entry::Vacant(place) => place.insert(Row { connections: 0, empty_at_us: 0 }),
        };
        if row.connections as usize >= limits.connections_max {
            return Err(ConnectionRefused::AddressCount);
        }
        let empty_at_us = row.empty_at_us.max(now_us) + cost_us;
        if empty_at_us > now_us + BURST_S * US_PER_S {
            return Err(ConnectionRefused::AddressRate);
        }
        row.connections += 1;
        row.empty_at_us = empty_at_us;
        Ok(true)
    }

    fn leave(&self, key: u64, now: Instant) {
        let now_us = self.us(now);
        let mut table = self.table.lock();
        if let Entry::Occupied(mut row) = table.rows.entry(key) {
            row.get_mut().connections -= 1;
            if row.get().is_over(now_us) {
                row.remove();
            }
        }
    }

    fn us(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_micros() as u64
    }
}

impl Table {
    /// Removes the rows that are over, if it is time. The cost is spread: as many rows have come since
    /// the last time as are looked at.
    fn sweep(&mut self, now_us: u64) {
        if self.rows.len() < self.sweep_at {
            return;
        }
        self.rows.retain(|_, row| !row.is_over(now_us));
        self.rows.shrink_to(2 * self.rows.len());
        self.sweep_at = SWEEP_MIN.max(2 * self.rows.len());
    }
}

/// What an address is counted as. Those of version 4 stand where version 6 has none that are in use:
/// all of `::/8` is reserved (RFC 4291 section 2.4).
fn key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits<'_> =
        Limits { connections_max: 3, connects_per_s_max: 1, exempt: &[], rows_max: 10_000 };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_no_other_is_touched() {
        let table = PerAddress::new();
        let now = Instant::now();
        let admit = |text: &str| table.admit(address(text), now, &LIMITS);
        let mut held: Vec<_> = (0..3).map(|_| admit("192.0.2.1").unwrap().unwrap()).collect();
        assert_eq!(admit("192.0.2.1").unwrap_err(), ConnectionRefused::AddressCount);
        assert_eq!(admit("::ffff:192.0.2.1").unwrap_err(), ConnectionRefused::AddressCount);
        assert!(admit("192.0.2.2").unwrap().is_some());
        held.pop();
        assert!(admit("192.0.2.1").is_ok());
    }

    #[test]
    fn version_six_is_counted_by_64_bits() {
        let table = PerAddress::new();
        let now = Instant::now();
        let admit = |text: &str| table.admit(address(text), now, &LIMITS);
        let held: Vec<_> =
            ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:1"].map(&admit).into();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(admit("2001:db8::4").unwrap_err(), ConnectionRefused::AddressCount);
        assert!(admit("2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn ten_seconds_worth_may_come_at_once_and_then_so_many_a_second() {
        let limits = Limits { connects_per_s_max: 2, ..LIMITS };
        let table = PerAddress::new();
        let began = Instant::now();
        let admit = |ms: u64| {
            // Not held: each is over at once.
            table.admit(address("192.0.2.1"), began + Duration::from_millis(ms), &limits).map(drop)
        };
        for _ in 0..20 {
            admit(0).unwrap();
        }
        for ms in [0, 1, 400] {
            assert_eq!(admit(ms), Err(ConnectionRefused::AddressRate), "after {ms} ms");
        }
        admit(501).unwrap();
        assert_eq!(admit(502), Err(ConnectionRefused::AddressRate));
        for ms in [1_001, 1_501, 2_001] {
            admit(ms).unwrap();
        }
        for _ in 0..20 {
            admit(60_000).unwrap();
        }
        assert_eq!(admit(60_000), Err(ConnectionRefused::AddressRate));
    }

    #[test]
    fn who_is_exempt_is_not_counted() {
        let exempt = ["10.0.0.0/8".parse().unwrap()];
        let limits = Limits { exempt: &exempt, ..LIMITS };
        let table = PerAddress::new();
        for _ in 0..100 {
            assert!(table.admit(address("10.1.2.3"), Instant::now(), &limits).unwrap().is_none());
        }
        assert_eq!(table.addresses(), 0);
    }

    #[test]
    fn a_flood_of_addresses_leaves_nothing_behind() {
        let limits = Limits { connects_per_s_max: 100, ..LIMITS };
        let table = PerAddress::new();
        let began = Instant::now();
        // Each comes and goes, a hundred thousand a second.
        for number in 0..100_000_u32 {
            let now = began + Duration::from_micros(10 * u64::from(number));
            assert!(table.admit(IpAddr::V4(number.into()), now, &limits).is_ok());
        }
        assert!(table.addresses() <= 4_096, "{} rows", table.addresses());
    }

    #[test]
    fn the_table_does_not_grow_beyond_its_bound() {
        let limits = Limits { rows_max: 5, ..LIMITS };
        let table = PerAddress::new();
        let now = Instant::now();
        let admit = |number: u32| table.admit(IpAddr::V4(number.into()), now, &limits).unwrap();
        let held: Vec<_> = (0..20).filter_map(admit).collect();
        assert_eq!((held.len(), table.addresses()), (5, 5));
        // Who is counted already still is.
        assert!(admit(0).is_some());
    }
}
