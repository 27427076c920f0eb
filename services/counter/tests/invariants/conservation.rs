//! No unit appears or vanishes: all that was ever granted is settled, given back, or still out; and what is out is
//! exactly what the open leases say.

use proctor_counter::account::AccountKey;
use proctor_counter::book::Book;
use proctor_model::TenantId;
use std::collections::BTreeMap;

pub fn check(book: &Book, tenant: &TenantId) {
    let mut out: BTreeMap<AccountKey, u64> = BTreeMap::new();
    for lease in book.leases(tenant, 0) {
        for part in lease.held.parts {
            let settled = part.settled.spent + part.settled.returned;
            let granted = part.granted.unwrap_or(settled);
            assert!(settled <= granted, "lease {}", lease.lease);
            *out.entry(part.account).or_default() += granted - settled;
        }
    }
    for info in book.accounts(tenant, None, None) {
        let totals = info.totals;
        assert_eq!(
            totals.granted,
            totals.settled + totals.returned + info.leased,
            "{:?}",
            info.account
        );
        assert_eq!(
            out.remove(&info.account).unwrap_or(0),
            info.leased,
            "{:?}",
            info.account
        );
    }
    assert!(
        out.values().all(|units| *units == 0),
        "leases without an account: {out:?}"
    );
}
