//! How many codes may be sent, to whom and for whom. Devices that have signed in with the phone have every budget for
//! themselves, strangers share another (`docs/decisions/0014-budgets-of-codes.md`).

use std::net::{IpAddr, Ipv6Addr};

use entity::{
    Allowance, KnownDevice, OtpBudget, OtpBudgetKind, OtpVerdict, Shards, Standing, StoreError,
    value::{Millis, PhoneHash, Shard},
};

use super::{Config, Keys};

/// The numbers of one budget, for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetView {
    /// Its name.
    pub policy: &'static str,
    /// Codes that it holds when it is full.
    pub codes: u32,
    /// In how many seconds an empty one fills.
    pub window_s: u32,
    /// Codes that it has left.
    pub remaining: u32,
    /// Seconds until it is full again; of one that refused, until it has a code. Rounded up.
    pub reset_s: u32,
}

/// Who asks for a code, and for which phone; keyed hashes only.
#[derive(Clone)]
pub(super) struct Ask {
    phone_hash: PhoneHash,
    address_hash: [u8; 32],
    device_hash: Option<[u8; 32]>,
    known_device: Option<KnownDevice>,
}

/// Whose budgets a code is taken from: nobody on one side can spend what the other has.
#[derive(Clone, Copy)]
enum Side {
    /// Devices that have signed in with the phone.
    Known = 0,
    /// Everybody.
    Open = 1,
}

impl Ask {
    pub(super) fn new(keys: &Keys, phone_hash: PhoneHash, address: IpAddr, device_id: Option<&str>) -> Self {
        Self {
            phone_hash,
            address_hash: keys.lookup_hash("otp address", &[&network(address)]),
            device_hash: device_id.map(|id| keys.lookup_hash("otp device", &[id.as_bytes()])),
            known_device: device_id.map(|id| known_device(keys, phone_hash, id)),
        }
    }

    /// Asks every budget for one code: if the device is known its own ones, then those that are open to everybody. The
    /// verdict that admits, or else the one with the shorter wait. Nothing is taken.
    pub(super) async fn verdict(
        &self,
        shards: &Shards,
        config: &Config,
        keys: &Keys,
        now: Millis,
    ) -> Result<OtpVerdict, StoreError> {
        let is_known = match self.known_device {
            Some(device) => device.is_known(shards.read(self.phone_hash.shard()), now).await?,
            None => false,
        };
        let own = match is_known {
            true => Some(OtpBudget::ask(shards, &self.budgets(config, keys, Side::Known), now).await?),
            false => None,
        };
        let own = match own {
            Some(own) if own.wait_ms() == 0 => return Ok(own),
            own => own,
        };
        let open = OtpBudget::ask(shards, &self.budgets(config, keys, Side::Open), now).await?;
        Ok(own.filter(|own| own.wait_ms() < open.wait_ms()).unwrap_or(open))
    }

    fn budgets(&self, config: &Config, keys: &Keys, side: Side) -> Vec<OtpBudget> {
        let budget = |kind, codes, who: &[&[u8]]| {
            let name = policy(kind);
            let side = [side as u8];
            let parts: Vec<&[u8]> = std::iter::once(&side[..]).chain(who.iter().copied()).collect();
            let key_hash = keys.lookup_hash(name, &parts);
            let shard = match kind {
                // With the phone, as its challenge.
                OtpBudgetKind::Phone | OtpBudgetKind::PhoneAddress => self.phone_hash.shard(),
                OtpBudgetKind::Address | OtpBudgetKind::Device | OtpBudgetKind::Global => {
                    Shard::from_first_bits(&key_hash)
                }
            };
            OtpBudget { shard, kind, key_hash, allowance: Allowance::new(codes, config.otp_window_s) }
        };
        let mut budgets = vec![
            budget(OtpBudgetKind::Phone, config.otp_per_phone, &[&self.phone_hash.0]),
            budget(
                OtpBudgetKind::PhoneAddress,
                config.otp_per_phone_address,
                &[&self.phone_hash.0, &self.address_hash],
            ),
            budget(OtpBudgetKind::Address, config.otp_per_address, &[&self.address_hash]),
            budget(OtpBudgetKind::Global, config.otp_global, &[]),
        ];
        budgets.extend(self.device_hash.map(|hash| budget(OtpBudgetKind::Device, config.otp_per_device, &[&hash])));
        budgets
    }
}

/// The budgets that were asked.
pub(super) fn asked(verdict: &OtpVerdict) -> Vec<OtpBudget> {
    verdict.standings().map(|(budget, _)| *budget).collect()
}

/// The budgets that refuse; empty when none does.
pub(super) fn refusals(verdict: &OtpVerdict) -> Vec<BudgetView> {
    let refusal = |(budget, standing): &(OtpBudget, Standing)| match standing {
        Standing::Admits { .. } => None,
        Standing::Refuses { wait_ms } => Some(view(budget, 0, *wait_ms)),
    };
    verdict.standings().filter_map(refusal).collect()
}

/// What is left of the budgets that are the asker's own. What others asked for the same phone, or at all, is not told.
pub(super) fn own(verdict: &OtpVerdict, now: Millis) -> Vec<BudgetView> {
    let own = |(budget, standing): &(OtpBudget, Standing)| match (budget.kind, standing) {
        (OtpBudgetKind::Phone | OtpBudgetKind::Global, _) | (_, Standing::Refuses { .. }) => None,
        (
            OtpBudgetKind::PhoneAddress | OtpBudgetKind::Address | OtpBudgetKind::Device,
            Standing::Admits { full_at, remaining },
        ) => Some(view(budget, *remaining, full_at.since_ms(now))),
    };
    verdict.standings().filter_map(own).collect()
}

fn view(budget: &OtpBudget, remaining: u32, reset_ms: i64) -> BudgetView {
    let seconds = |ms: i64| u32::try_from(ms).unwrap_or(u32::MAX) / 1000;
    BudgetView {
        policy: policy(budget.kind),
        codes: budget.allowance.codes(),
        window_s: seconds(budget.allowance.window_ms()),
        remaining,
        reset_s: seconds(reset_ms.saturating_add(999)),
    }
}

/// What a client reads.
fn policy(kind: OtpBudgetKind) -> &'static str {
    match kind {
        OtpBudgetKind::Phone => "otp-phone",
        OtpBudgetKind::PhoneAddress => "otp-phone-address",
        OtpBudgetKind::Address => "otp-address",
        OtpBudgetKind::Device => "otp-device",
        OtpBudgetKind::Global => "otp-global",
    }
}

/// What a device is known by once it has signed in with the phone.
pub(super) fn known_device(keys: &Keys, phone_hash: PhoneHash, device_id: &str) -> KnownDevice {
    let device_hash = keys.lookup_hash("known device", &[&phone_hash.0, device_id.as_bytes()]);
    KnownDevice { phone_hash, device_hash }
}

/// What counts as one address: an IPv4 address (also one written as IPv6), an IPv6 /64, which is what one customer gets.
fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => Ipv6Addr::octets(&v6)[..8].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_address_and_an_ipv4_address_is_one_however_it_is_written() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
    }
}
