//! Edges at work, what they did, and whether it adds up.

use crate::process::{Process, addresses, configs};
use crate::support::linear::{Operation, Record};
use crate::support::*;
use proctor_proto::v1;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Edges that lease and settle until the account has no more; what they did is written down.
#[derive(Clone)]
pub struct Load {
    pub history: Arc<Mutex<Vec<Record>>>,
    pub spent: Arc<AtomicU64>,
    pub slowest_ms: Arc<AtomicU64>,
    pub stop: Arc<AtomicBool>,
}

impl Load {
    pub fn new() -> Self {
        Self {
            history: Arc::default(),
            spent: Arc::default(),
            slowest_ms: Arc::default(),
            stop: Arc::default(),
        }
    }

    pub fn record(&self, asked: Instant, operation: Operation) {
        let answered = Instant::now();
        let took = u64::try_from((answered - asked).as_millis()).unwrap();
        self.slowest_ms.fetch_max(took, Ordering::Relaxed);
        self.history.lock().unwrap().push(Record {
            asked,
            answered,
            operation,
        });
    }

    /// One edge: takes up to `wanted`, spends most of it, gives back a little, until there is no more for anybody.
    pub async fn run(self, addresses: Vec<SocketAddr>, number: u8, wanted: u64, pause: Duration) {
        let edge = Client::edge(&addresses, number, now()).await;
        let mut turn = u64::from(number);
        while !self.stop.load(Ordering::Relaxed) {
            turn += 1;
            let asked = Instant::now();
            let granted = match edge.lease(vec![want(tenant_account(), wanted, 1)]).await {
                Ok(granted) => granted,
                Err(refused) => {
                    self.record(
                        asked,
                        Operation::Refused {
                            minimum: 1,
                            left: refused.left,
                        },
                    );
                    if refused.why() == v1::refused::Why::Exhausted {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(refused.retry_after_ms)).await;
                    continue;
                }
            };
            let grant = granted.grants[0];
            self.record(
                asked,
                Operation::Granted {
                    wanted,
                    minimum: 1,
                    units: grant.units,
                    left: grant.left,
                },
            );
            let returned = if turn.is_multiple_of(5) {
                1.min(grant.units)
            } else {
                0
            };
            let spend = v1::Spend {
                spent: grant.units - returned,
                returned,
                overrun: 0,
            };
            self.spent.fetch_add(spend.spent, Ordering::Relaxed);
            let asked = Instant::now();
            edge.settle(granted.lease, vec![spend]).await;
            self.record(asked, Operation::Returned(returned));
            tokio::time::sleep(pause).await;
        }
    }

    pub fn start(
        &self,
        addresses: &[SocketAddr],
        edges: u8,
        wanted: u64,
        pause: Duration,
    ) -> Vec<tokio::task::JoinHandle<()>> {
        let run =
            |number| tokio::spawn(self.clone().run(addresses.to_vec(), number, wanted, pause));
        (1..=edges).map(run).collect()
    }

    /// To the unit, on all nodes, and in an order that makes sense.
    pub async fn check(&self, nodes: &[Process], limit: u64) {
        agree(&configs(nodes)).await;
        let usage = Client::operator(&addresses(nodes), now()).usage().await;
        assert_eq!(
            (usage[0].spent, usage[0].leased),
            (self.spent.load(Ordering::Relaxed), 0)
        );
        assert!(usage[0].spent <= limit);
        let history = self.history.lock().unwrap().clone();
        linear::check(&history, limit);
    }
}
