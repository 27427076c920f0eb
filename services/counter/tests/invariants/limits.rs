//! A grant never takes an account past its limit.

use proctor_counter::account::AccountKey;
use proctor_counter::book::Book;
use proctor_model::TenantId;

/// To be called after a lease was granted on these accounts.
pub fn check(book: &Book, tenant: &TenantId, granted: &[AccountKey]) {
    for info in book
        .accounts(tenant, None, None)
        .filter(|info| granted.contains(&info.account))
    {
        if let Some(limit) = info.limit {
            assert!(
                info.spent + info.leased <= limit,
                "{:?}: {} spent, {} leased, {limit} allowed",
                info.account,
                info.spent,
                info.leased
            );
        }
    }
}
